"""Cartesia over its WebSocket: each reply is a context, and all voices and models share the sockets."""

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.errors import ProviderError
from providers.http import HttpClient
from providers.socket_pool import SocketPool
from providers.tts.remote import Done, Mark, Pcm, Sound, speak
from providers.tts.words import WordFinder, audio_from, number
from providers.websockets import Socket, connect

__all__ = ["SAMPLE_RATE", "VOICES", "CartesiaTts", "list_voices", "open_pool"]

SAMPLE_RATE = 24_000
IDLE_S = 240.0  # the service closes a silent socket after about five minutes
PAGE_SIZE = 100
MAX_PAGES = 50

_CODES = (
    "en fr de es pt zh ja hi it ko nl pl ru sv tr tl bg ro ar cs el fi hr ms sk da ta uk hu no vi bn th he "
    "ka id te gu kn ml mr pa or ur"
)
_LANGUAGES = frozenset(_CODES.split())
# Codes that others use for the same language.
_SAME = {"fil": "tl", "nb": "no", "nn": "no", "cmn": "zh", "iw": "he"}


# Voices of the library that are recommended for conversations; there are hundreds.
_LIBRARY = {
    "Katie": "f786b574-daa5-4673-aa0c-cbe3e8534c02",
    "Kiefer": "228fca29-3a0a-435c-8728-5cb483251068",
    "Blake": "a167e0f3-df7e-4d52-a9c3-f949145efdab",
    "Brooke": "e07c00bc-4134-4eae-9ea4-1a55fb45746b",
    "Jacqueline": "9626c31c-bec5-4cca-baa8-f8ba9e84c8bc",
    "Kyle": "c961b81c-a935-4c17-bfb3-ba2239de8c2f",
    "Ronald": "5ee9feff-1265-424a-9d7f-8e4d431a12c7",
    "Tessa": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b",
}
VOICES = tuple(Voice(id, name, "en") for name, id in _LIBRARY.items())
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|voice_\w{1,64}")


class CartesiaTts:
    """One model. Marks come at the end of each word. All models and voices share the sockets."""

    sample_rate = SAMPLE_RATE
    speeds = (0.6, 1.5)
    tags = (
        r"<(?:break\s+time|speed\s+ratio|volume\s+ratio|emotion\s+value)=\"[^\"<>]{1,32}\"\s*/?>"
        r"|</?spell>|\[laughter\]"
    )

    def __init__(self, http: HttpClient, pool: SocketPool, model: str) -> None:
        self.voices: tuple[Voice, ...] | None = VOICES
        self._http = http
        self._pool = pool
        self._model = model
        self._ids = {voice.name.casefold(): voice.id for voice in VOICES}

    def knows_voice(self, voice: str) -> bool:
        """Ids are accepted, whosever they are, and the names of the voices that are known."""
        return _ID.fullmatch(voice) is not None or voice.casefold() in self._ids

    async def list_voices(self) -> tuple[Voice, ...]:
        """What the account may use, by name from then on. Raises every kind of `ProviderError`."""
        voices = await list_voices(self._http)
        for voice in voices:
            self._ids.setdefault(voice.name.casefold(), voice.id)
        return voices

    async def warm(self) -> None:
        """Have a socket ready."""
        await self._pool.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream cancels its context."""
        stream = speak(
            self._pool,
            _Wire(self._request(options)),
            text,
            rate=SAMPLE_RATE,
            provider=self._http.provider,
            begins_within=self._http.timeouts.first_byte,
        )
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    def _request(self, options: TtsOptions) -> dict[str, Any]:
        """What all messages of one context have in common: the service refuses any difference."""
        request: dict[str, Any] = {
            "model_id": self._model,
            "voice": {"mode": "id", "id": self._ids.get(options.voice.casefold(), options.voice)},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE},
            "add_timestamps": True,
            "use_normalized_timestamps": False,  # words as they are written
            "max_buffer_delay_ms": 0,  # segments are clauses, so nothing needs to be gathered
        }
        language = (options.language or "").split("-")[0].lower()
        language = _SAME.get(language, language)
        if language in _LANGUAGES:
            request["language"] = language
        if config := dict(_generation_config(options)):
            request["generation_config"] = config
        if isinstance(dictionary := options.settings.get("pronunciation_dict_id"), str):
            request["pronunciation_dict_id"] = dictionary
        return request


class _Wire:
    """One reply as a context."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request

    async def begin(self, socket: Socket) -> None:
        self._socket = socket
        self._context = uuid.uuid4().hex
        self._words = WordFinder()

    async def send(self, socket: Socket, text: str) -> None:
        self._words.add(text)
        await self._generate(socket, text, more=True)  # pieces are joined as they are

    async def finish(self, socket: Socket) -> None:
        await self._generate(socket, "", more=False)

    async def cancel(self, socket: Socket) -> bool:
        await socket.send_json({"context_id": self._context, "cancel": True})
        return True

    async def _generate(self, socket: Socket, text: str, *, more: bool) -> None:
        piece = {"transcript": text, "continue": more, "context_id": self._context}
        await socket.send_json({**self._request, **piece})

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Sound]:
        if isinstance(message, bytes):
            raise self._socket.bad("sent binary data")
        context = message.get("context_id")
        if context is not None and context != self._context:
            return
        match message.get("type"):
            case "chunk":
                audio = audio_from(message.get("data"))
                if audio is None:
                    raise self._socket.bad("sent audio that is not base64")
                yield Pcm(audio)
            case "timestamps":
                yield from self._marks(message.get("word_timestamps"))
            case "done":
                yield Done()
            case "error":
                raise self._problem(message)

    def _marks(self, timings: Any) -> Iterator[Mark]:
        if not isinstance(timings, dict):
            return
        words, ends = timings.get("words"), timings.get("end")
        if not isinstance(words, list) or not isinstance(ends, list):
            return
        for word, end in zip(words, ends, strict=False):
            seconds = number(end)
            if isinstance(word, str) and seconds is not None:
                chars = self._words.find(word)
                if chars is not None:
                    yield Mark(chars, seconds)

    def _problem(self, message: dict[str, Any]) -> ProviderError:
        status = message.get("status_code")
        if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status < 600:
            status = 500
        told = [message.get(name) for name in ("title", "message", "error")]
        text = ": ".join(part for part in told if isinstance(part, str) and part)
        code = message.get("error_code")
        return self._socket.problem(status, text, code if isinstance(code, str) else "")


def open_pool(http: HttpClient) -> SocketPool:
    """The sockets of one account."""

    async def open() -> Socket:
        return await connect(http, "/tts/websocket")

    return SocketPool(open, idle_s=IDLE_S)


async def list_voices(http: HttpClient) -> tuple[Voice, ...]:
    """All voices that the account may use, page by page. Raises every kind of `ProviderError`."""
    voices: list[Voice] = []
    params = {"limit": str(PAGE_SIZE)}
    for _ in range(MAX_PAGES):
        async with http.get("/voices", params) as answer:
            if answer.status != 200:
                raise (await answer.problem()).to_error(http.provider)
            page = await answer.json()
            entries = page.get("data") if isinstance(page, dict) else None
            if not isinstance(entries, list):
                raise answer.bad("listed no voices")
        found = list(_voices(entries))
        voices += found
        if not page.get("has_more", len(entries) == PAGE_SIZE) or not found:
            break
        params["starting_after"] = found[-1].id
    return tuple(voices)


def _voices(entries: list[Any]) -> Iterator[Voice]:
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(id := entry.get("id"), str) or not id:
            continue
        name, language = entry.get("name"), entry.get("language")
        yield Voice(id, name if isinstance(name, str) else id, language if isinstance(language, str) else "")


def _generation_config(options: TtsOptions) -> Iterator[tuple[str, Any]]:
    if options.speed != 1.0:
        slowest, fastest = CartesiaTts.speeds
        yield "speed", min(max(options.speed, slowest), fastest)
    volume, emotion = number(options.settings.get("volume")), options.settings.get("emotion")
    if volume is not None and 0.5 <= volume <= 2.0:
        yield "volume", volume
    if isinstance(emotion, str) and emotion:
        yield "emotion", emotion
