"""A fake of ElevenLabs' speech: both WebSocket endpoints and the lists of voices.

    async with FakeElevenLabs() as fake:
        fake.script(Plan(Voiced(odd=True)), Plan(Voiced(), Cut(sent=2, code=1011)))
        ... connect below fake.base_url with fake.api_key ...
        (await fake.exchange(0)).received

It refuses what the service refuses: a wrong key, an unknown voice, a context that does not begin with a
space, settings that come late or out of range, a language for a model that takes none, too many contexts,
silence. Audio is a ramp of samples that goes on over a whole context, so that a lost byte shows.
"""

import asyncio
import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.websocket import FakeSockets, GoneError, Line, Refusal

__all__ = ["FakeElevenLabs", "Voiced", "elevenlabs_error", "ramp"]

RATE = 24_000
MAX_CONTEXTS = 5
MAX_INACTIVITY_S = 180
FIRST_CHUNK_CHARS = 120  # of a context that is not flushed, and not in automatic mode
PAGE = 2  # voices on one page, unless fewer are asked for
_LANGUAGES = {"en", "de", "fr", "es", "ja", "zh"}


@dataclass(frozen=True, slots=True)
class Voiced:
    """How one connection speaks."""

    ms_per_char: int = 40
    chunk_chars: int = 12  # of text in one message of audio
    alignment: bool = True
    normalized: bool = True
    odd: bool = False  # messages end in the middle of a sample
    snake_case: bool = False  # context_id and is_final, as some versions of the service
    problem: dict[str, Any] | None = None  # the answer to the first text; then the socket is closed


@dataclass(slots=True)
class _Context:
    id: str | None
    line: Line
    reply: Voiced
    speed: float = 1.0
    text: str = ""  # not spoken yet
    spoken: int = 0  # samples so far
    rest: bytes = b""
    jobs: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)

    async def run(self) -> None:
        while (text := await self.jobs.get()) is not None:
            for message in self.messages(text):
                await self.line.send(self.addressed(message))
        await self.line.send(self.addressed({"is_final" if self.reply.snake_case else "isFinal": True}))

    def addressed(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.id is None:
            return message
        return {**message, "context_id" if self.reply.snake_case else "contextId": self.id}

    def messages(self, text: str) -> Iterator[dict[str, Any]]:
        ms = round(self.reply.ms_per_char / self.speed)
        for start in range(0, len(text), self.reply.chunk_chars):
            piece = text[start : start + self.reply.chunk_chars]
            count = RATE * ms * len(piece) // 1000
            pcm = self.rest + ramp(self.spoken, count)
            self.spoken += count
            last = start + self.reply.chunk_chars >= len(text)
            cut = len(pcm) - 1 if self.reply.odd and not last else len(pcm)
            self.rest = pcm[cut:]
            message: dict[str, Any] = {"audio": base64.b64encode(pcm[:cut]).decode(), "isFinal": None}
            times = {
                "chars": list(piece),
                "charStartTimesMs": [ms * index for index in range(len(piece))],
                "charDurationsMs": [ms] * len(piece),
            }
            message["alignment"] = times if self.reply.alignment else None
            message["normalizedAlignment"] = times if self.reply.normalized else None
            yield message


class FakeElevenLabs(FakeSockets):
    """The server. `voices` maps ids to names; the account has no others."""

    def __init__(self, *, voices: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(**{"default": Voiced(), **options})
        self.voices = voices or {
            "JBFqnCBsd6RMkjVDRZzb": "George",
            "EXAVITQu4vr4xnSDxMaL": "Sarah",
            "abcdefghij0123456789": "Mine",
        }
        self.listings: list[dict[str, str]] = []  # queries of the requests for voices
        self.voices_answer: Any = None  # instead of the list: an object of JSON

    def routes(self) -> list[web.RouteDef]:
        below = "/v1/text-to-speech/{voice}"
        return [
            self.socket(below + "/multi-stream-input", self._converse_multi),
            self.socket(below + "/stream-input", self._converse_single),
            web.get("/v2/voices", self._list_voices),
            web.get("/v1/voices", self._list_voices_v1),
        ]

    def refusal(self, http: web.Request) -> Refusal | None:
        if http.headers.get("xi-api-key") == self.api_key:
            return None
        detail = {"status": "invalid_api_key", "message": f"Invalid key {http.headers.get('xi-api-key')}"}
        return Refusal(401, {"detail": detail})

    # --- Voices ------------------------------------------------------------------------------------------

    async def _list_voices(self, http: web.Request) -> web.Response:
        if (refusal := self.refusal(http)) is not None:
            return web.json_response(refusal.body, status=refusal.status)
        self.listings.append(dict(http.query))
        if self.voices_answer is not None:
            return web.json_response(self.voices_answer)
        size = min(PAGE, int(http.query.get("page_size", "10")))
        start = int(http.query.get("next_page_token", "0"))
        voices = self._voices()
        more = start + size < len(voices)
        token = str(start + size) if more else None
        page = {"voices": voices[start : start + size], "has_more": more, "next_page_token": token}
        return web.json_response({**page, "total_count": len(voices)})

    async def _list_voices_v1(self, http: web.Request) -> web.Response:
        if (refusal := self.refusal(http)) is not None:
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response({"voices": self._voices()})

    def _voices(self) -> list[dict[str, Any]]:
        return [
            {"voice_id": id, "name": name, "category": "premade", "labels": {"language": "en"}}
            for id, name in self.voices.items()
        ]

    # --- Speech ------------------------------------------------------------------------------------------

    async def _check(self, line: Line) -> float:
        """Refuse what is wrong with the address; gives the seconds of silence that are allowed."""
        voice = line.exchange.path.split("/")[3]
        if voice not in self.voices:
            await _fail(line, "voice_id_does_not_exist", f"A voice with voice_id {voice} does not exist.")
        query = line.query
        if query.get("output_format") != f"pcm_{RATE}":
            await _fail(line, "invalid_output_format", "This fake speaks pcm_24000 only.")
        if "language_code" in query and "v2_5" not in query.get("model_id", ""):
            await _fail(line, "unsupported_language", "Model does not take a language_code.")
        if query.get("language_code", "en") not in _LANGUAGES:
            await _fail(line, "unsupported_language", "Unsupported language.")
        silence = float(query.get("inactivity_timeout", "20"))
        if silence > MAX_INACTIVITY_S:
            await _fail(line, "invalid_inactivity_timeout", "Longest inactivity_timeout is 180.")
        return silence

    async def _converse_multi(self, line: Line) -> None:
        silence = await self._check(line)
        contexts: dict[str | None, _Context] = {}
        speaking: set[asyncio.Task[None]] = set()  # closed contexts say what was flushed before
        async with asyncio.TaskGroup() as tasks:
            try:
                while (message := await _next(line, silence)) is not None:
                    if message.get("close_socket"):
                        for context in contexts.values():
                            context.jobs.put_nowait(context.text)
                            context.jobs.put_nowait(None)
                        await asyncio.gather(*speaking)
                        return
                    id = message.get("context_id")
                    if id in contexts:
                        await _take(line, contexts[id], message)
                        if message.get("close_context"):
                            contexts.pop(id).jobs.put_nowait(None)
                    elif message.get("close_context") or message.get("flush") or message.get("text") == "":
                        continue  # there is nothing to close, or to keep alive
                    elif len(speaking) >= MAX_CONTEXTS:
                        await _fail(line, "max_active_conversations", "Too many contexts.", context=id)
                    else:
                        contexts[id] = await _begin(line, id, message)
                        task = tasks.create_task(contexts[id].run())
                        speaking.add(task)
                        task.add_done_callback(speaking.discard)
            finally:
                for task in speaking:
                    task.cancel()

    async def _converse_single(self, line: Line) -> None:
        silence = await self._check(line)
        first = await _next(line, silence)
        if first is None:
            return
        context = await _begin(line, None, first)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(context.run())
            while (message := await _next(line, silence)) is not None:
                if message.get("text") == "":
                    context.jobs.put_nowait(context.text)
                    context.jobs.put_nowait(None)
                    return
                await _take(line, context, message)
            task.cancel()


async def _next(line: Line, silence: float) -> dict[str, Any] | None:
    try:
        message = await line.receive(silence)
    except TimeoutError:
        await _fail(line, "input_timeout_exceeded", "Timed out waiting for the next input.")
    if message is not None and not isinstance(message, dict):
        await _fail(line, "invalid_message", "Could not parse the message.")
    return message if isinstance(message, dict) else None


async def _begin(line: Line, id: str | None, message: dict[str, Any]) -> _Context:
    if message.get("text") != " ":
        await _fail(line, "invalid_initialization", "A context begins with a single space.", context=id)
    settings = message.get("voice_settings") or {}
    for name, (low, high) in {"speed": (0.7, 1.2), "stability": (0, 1), "similarity_boost": (0, 1)}.items():
        value = settings.get(name)
        if value is not None and not low <= value <= high:
            await _fail(line, "invalid_voice_settings", f"{name} is out of range", context=id)
    return _Context(id, line, line.reply, settings.get("speed") or 1.0)


async def _take(line: Line, context: _Context, message: dict[str, Any]) -> None:
    if "voice_settings" in message:
        await _fail(
            line, "voice_settings_not_first", "Settings belong to the first message.", context=context.id
        )
    text = message.get("text") or ""
    if text and context.reply.problem is not None:
        await line.send(context.addressed(context.reply.problem))
        await line.close(1008, str(context.reply.problem.get("message", "")))
    context.text += text
    automatic = line.query.get("auto_mode") == "true"
    if message.get("flush"):
        ready = len(context.text)
    elif automatic or len(context.text) >= FIRST_CHUNK_CHARS:
        ready = context.text.rfind(" ") + 1  # the rest may be half a word
    else:
        ready = 0
    if ready:
        context.jobs.put_nowait(context.text[:ready])
        context.text = context.text[ready:]


def elevenlabs_error(error: str, message: str, code: int = 1008) -> dict[str, Any]:
    """An error as it comes over the socket."""
    return {"message": message, "error": error, "code": code}


async def _fail(line: Line, error: str, message: str, *, context: str | None = None) -> None:
    told = elevenlabs_error(error, message)
    await line.send(told if context is None else {**told, "contextId": context})
    await line.close(1008, message)
    raise GoneError


def ramp(start: int, count: int) -> bytes:
    """Samples that count up from a number, so that every place in them can be told."""
    return struct.pack(f"<{count}h", *((start + index) % 30_000 for index in range(count)))
