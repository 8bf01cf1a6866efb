"""ElevenLabs over `multi-stream-input`: each reply is a context of a socket that later replies use again."""

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.errors import ProviderError
from providers.http import HttpClient
from providers.socket_pool import SocketPool
from providers.tts.pools import PoolsByKey
from providers.tts.remote import Done, Mark, Pcm, Sound, speak
from providers.tts.words import WordFinder, audio_from, is_ideograph, number
from providers.websockets import Socket, connect

__all__ = ["SAMPLE_RATE", "VOICES", "ElevenLabsTts", "list_voices"]

SAMPLE_RATE = 24_000
INACTIVITY_S = 180  # after which the service closes a socket that says nothing; the longest it allows
IDLE_S = 150.0  # so we close it first
PAGE_SIZE = 100
MAX_PAGES = 50
MAX_CANCELLED = 3  # contexts that may still speak on a socket that is kept; the service closes it at six

# The voices that every account has, by their lasting ids.
_DEFAULTS = {
    "George": "JBFqnCBsd6RMkjVDRZzb",
    "Sarah": "EXAVITQu4vr4xnSDxMaL",
    "Alice": "Xb7hH8MSUJpSbSDYk0k2",
    "Bill": "pqHfZKP75CvOlQylNhV4",
    "Brian": "nPczCjzI2devNBz1zQrb",
    "Callum": "N2lVS1w4EtoT3dr4eOWO",
    "Charlie": "IKne3meq5aSn9XLyUdCD",
    "Chris": "iP95p4xoKVk53GoZ742B",
    "Daniel": "onwK4e9ZLuTAKqWW03F9",
    "Eric": "cjVigY5qzO86Huf0OWal",
    "Jessica": "cgSgspJ2msm6clMCkdW9",
    "Laura": "FGY2WhTYpPnrIDTdsKH5",
    "Liam": "TX3LPaxmHKxFdv7VOQHJ",
    "Lily": "pFZP5JQG7iQjIQuC4Bku",
    "Matilda": "XrExE9yKIg1WjnnlVkGX",
    "River": "SAz9YHcvj6GT2YYXdXww",
    "Roger": "CwhRBWXzGAHq8TQ4Fs17",
    "Will": "bIHbv24MWmeRgasZH58o",
}
VOICES = tuple(Voice(id, name, "en") for name, id in _DEFAULTS.items())
_ID = re.compile(r"[A-Za-z0-9]{20}")

# What a language code may be sent for: other models refuse the request because of it.
_CODES = "ar bg cs da de el en es fi fil fr hi hr hu id it ja ko ms nl no pl pt ro ru sk sv ta tr uk vi zh"
_FLASH_LANGUAGES = frozenset(_CODES.split())
_TAKES_LANGUAGE = re.compile(r"_(?:flash|turbo)_v2_5$")

_BREAK = r"<break\s+time=\"[^\"<>]{1,12}\"\s*/?>"
_SETTINGS = ("stability", "similarity_boost", "style", "use_speaker_boost")

# Words of `error` and `code`, and the HTTP status that fits.
_STATUSES = (
    (401, re.compile(r"api_?key|unauthori[sz]ed|authenticat|sign_in|permission|forbidden")),
    (429, re.compile(r"quota|credits?|too_many|rate_limit|concurren|max_active")),
    (503, re.compile(r"busy|overload|unavailable|internal|server_error|generation_failed")),
    (504, re.compile(r"timeout|timed_out")),
    (404, re.compile(r"not_found|does_not_exist")),
)

# The contexts of each socket that were closed before they had said everything.
Cancelled = WeakKeyDictionary[Socket, set[str]]
PoolKey = tuple[str, tuple[tuple[str, str], ...]]  # the voice, and the rest of the query


class ElevenLabsTts:
    """One model. Marks come at the end of each word.

    Of the two endpoints this uses the one with contexts, whose sockets outlive a reply: a reply costs no
    handshake, and an interruption closes a context, not a connection. The voice is part of the address, so
    sockets are kept for each voice.
    """

    sample_rate = SAMPLE_RATE
    speeds = (0.7, 1.2)

    def __init__(self, http: HttpClient, model: str, *, ssml: bool = True) -> None:
        """`ssml` has the service look for tags, which then are none of the text."""
        self.tags = _BREAK if ssml else ""
        self.voices: tuple[Voice, ...] | None = VOICES
        self._http = http
        self._model = model
        self._ids = {voice.name.casefold(): voice.id for voice in VOICES}
        self._pools = PoolsByKey[PoolKey](self._pool)
        self._cancelled: Cancelled = WeakKeyDictionary()

    def knows_voice(self, voice: str) -> bool:
        """Ids of every account are accepted, and the names of the voices that all accounts have."""
        return _ID.fullmatch(voice) is not None or voice.casefold() in self._ids

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices of this account, whose names may be used from then on. Raises `ProviderError`."""
        voices = await list_voices(self._http)
        for voice in voices:
            # "George - Warm storyteller" is also known as George.
            self._ids[voice.name.casefold()] = voice.id
            self._ids.setdefault(voice.name.split(" - ")[0].casefold(), voice.id)
        return voices

    async def warm(self) -> None:
        """Open a socket for the voice used last; before the first use, look the name up at least."""
        if not await self._pools.warm():
            await self._http.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its context."""
        voice = self._ids.get(options.voice.casefold(), options.voice)
        wire = _Wire(_voice_settings(options), self._cancelled)
        async with self._pools.use((voice, tuple(self._query(options)))) as pool:
            stream = speak(
                pool,
                wire,
                text,
                rate=SAMPLE_RATE,
                provider=self._http.provider,
                begins_within=self._http.timeouts.first_byte,
            )
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def aclose(self) -> None:
        """Close the idle sockets."""
        await self._pools.aclose()

    def _pool(self, key: PoolKey) -> SocketPool:
        voice, query = key

        async def open() -> Socket:
            path = f"/v1/text-to-speech/{quote(voice, safe='')}/multi-stream-input"
            return await connect(self._http, path, params=dict(query))

        return SocketPool(open, idle_s=IDLE_S)

    def _query(self, options: TtsOptions) -> Iterator[tuple[str, str]]:
        yield "model_id", self._model
        yield "output_format", f"pcm_{SAMPLE_RATE}"
        yield "auto_mode", "true"  # segments are clauses, so nothing needs to be gathered
        yield "sync_alignment", "true"
        if self.tags:
            yield "enable_ssml_parsing", "true"
        yield "inactivity_timeout", str(INACTIVITY_S)
        language = (options.language or "").split("-")[0].lower()
        if language in _FLASH_LANGUAGES and _TAKES_LANGUAGE.search(self._model):
            yield "language_code", language
        if (normalization := options.settings.get("apply_text_normalization")) in ("auto", "on", "off"):
            yield "apply_text_normalization", normalization


class _Wire:
    """One reply as a context."""

    def __init__(self, voice_settings: Mapping[str, Any], cancelled: Cancelled) -> None:
        self._voice_settings = voice_settings
        self._cancelled = cancelled

    async def begin(self, socket: Socket) -> None:
        self._socket = socket
        self._context = uuid.uuid4().hex
        self._closed = False
        self._words = WordFinder()
        self._bytes = 0  # of PCM that came
        self._word, self._word_end = "", 0.0
        first: dict[str, Any] = {"text": " ", "context_id": self._context}
        if self._voice_settings:
            first["voice_settings"] = self._voice_settings
        await socket.send_json(first)

    async def send(self, socket: Socket, text: str) -> None:
        self._words.add(text)
        # Text that ends in a word waits for the rest of that word.
        spaced = text if text.endswith(" ") else text + " "
        await socket.send_json({"text": spaced, "context_id": self._context, "flush": True})

    async def finish(self, socket: Socket) -> None:
        if not self._closed:
            self._closed = True
            await socket.send_json({"context_id": self._context, "close_context": True})

    async def cancel(self, socket: Socket) -> bool:
        await self.finish(socket)
        # A context that is closed still says what was flushed, and counts until then.
        others = self._cancelled.setdefault(socket, set())
        others.add(self._context)
        return len(others) < MAX_CANCELLED

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Sound]:
        if isinstance(message, bytes):
            raise self._socket.bad("sent binary data")
        context = message.get("contextId", message.get("context_id"))
        final = message.get("isFinal") is True or message.get("is_final") is True
        if context is not None and context != self._context:
            if final and isinstance(context, str):
                self._cancelled.get(self._socket, set()).discard(context)
            return
        if message.get("error") or (message.get("code") and message.get("message")):
            raise self._problem(message)
        if message.get("audio"):
            audio = audio_from(message["audio"])
            if audio is None:
                raise self._socket.bad("sent audio that is not base64")
            # Times count from the start of the audio that they come with.
            offset = self._bytes / (2 * SAMPLE_RATE)
            self._bytes += len(audio)
            yield Pcm(audio)
            yield from self._marks(message, offset)
        elif message.get("audio") is not None and not isinstance(message["audio"], str):
            raise self._socket.bad("sent audio that is not base64")
        if final:
            yield from self._mark()
            yield Done()

    def _marks(self, message: dict[str, Any], offset: float) -> Iterator[Mark]:
        alignment = message.get("alignment") or message.get("normalizedAlignment")
        if not isinstance(alignment, dict):
            return
        names = ("chars", "charStartTimesMs", "charDurationsMs")
        lists = [alignment.get(name) for name in names]
        if not all(isinstance(one, list) for one in lists):
            return
        for character, start, duration in zip(*lists, strict=False):
            begins, lasts = number(start), number(duration)
            if not isinstance(character, str) or begins is None or lasts is None:
                continue
            if character.isspace():
                yield from self._mark()
                continue
            if is_ideograph(character):
                yield from self._mark()
            self._word += character
            self._word_end = offset + (begins + lasts) / 1000
            if is_ideograph(character):
                yield from self._mark()

    def _mark(self) -> Iterator[Mark]:
        """A word is complete."""
        chars = self._words.find(self._word)
        if chars is not None:
            yield Mark(chars, self._word_end)
        self._word = ""

    def _problem(self, message: dict[str, Any]) -> ProviderError:
        told = [message.get(name) for name in ("error", "code", "message")]
        words = " ".join(text.lower() for text in told[:2] if isinstance(text, str))
        meant = next((status for status, pattern in _STATUSES if pattern.search(words)), None)
        code = told[1]
        if meant is None:
            meant = code if isinstance(code, int) and 400 <= code < 600 else 500 if code == 1011 else 400
        text = next((text for text in (told[2], told[0]) if isinstance(text, str)), "")
        return self._socket.problem(meant, text)


async def list_voices(http: HttpClient) -> tuple[Voice, ...]:
    """All voices of the account, page by page. Raises every kind of `ProviderError`."""
    voices: list[Voice] = []
    params = {"page_size": str(PAGE_SIZE), "include_total_count": "false"}
    for _ in range(MAX_PAGES):
        async with http.get("/v2/voices", params) as answer:
            if answer.status != 200:
                raise (await answer.problem()).to_error(http.provider)
            page = await answer.json()
            entries = page.get("voices") if isinstance(page, dict) else None
            if not isinstance(entries, list):
                raise answer.bad("listed no voices")
        voices += _voices(entries)
        token = page.get("next_page_token")
        if not page.get("has_more") or not isinstance(token, str):
            break
        params["next_page_token"] = token
    return tuple(voices)


def _voices(entries: list[Any]) -> Iterator[Voice]:
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(id := entry.get("voice_id"), str) or not id:
            continue
        name, labels = entry.get("name"), entry.get("labels")
        language = labels.get("language") if isinstance(labels, dict) else None
        yield Voice(id, name if isinstance(name, str) else id, language if isinstance(language, str) else "")


def _voice_settings(options: TtsOptions) -> dict[str, Any]:
    """What the first message of a context says about the voice; empty: as the account has it."""
    settings: dict[str, Any] = {}
    for name in _SETTINGS:
        value = options.settings.get(name)
        if name == "use_speaker_boost":
            if isinstance(value, bool):
                settings[name] = value
        elif (level := number(value)) is not None and 0 <= level <= 1:
            settings[name] = level
    if options.speed != 1.0:
        slowest, fastest = ElevenLabsTts.speeds
        settings["speed"] = min(max(options.speed, slowest), fastest)
    return settings
