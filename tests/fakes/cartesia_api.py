"""A fake of Cartesia's speech: the WebSocket with its contexts, and the list of voices.

    async with FakeCartesia() as fake:
        fake.script(Plan(Spoken(odd=True)), Plan(Spoken(), Cut(sent=2, code=1011)))
        ... connect below fake.base_url with fake.api_key ...
        (await fake.exchange(0)).received

It refuses what the service refuses: a wrong key, a missing version, an unknown voice, fields that are out of
range or differ within a context, and more contexts at once than the plan allows. Audio is a ramp of samples
that goes on over a whole context, so that a lost byte shows.
"""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.elevenlabs_api import ramp
from tests.fakes.websocket import FakeSockets, Line, Refusal

__all__ = ["FakeCartesia", "Spoken", "cartesia_error"]

RATES = (8000, 16000, 22050, 24000, 44100, 48000)
MODELS = ("sonic-3", "sonic-3.5", "sonic-3.6", "sonic-latest")
PAGE = 2  # voices on one page, unless fewer are asked for


@dataclass(frozen=True, slots=True)
class Spoken:
    """How one connection speaks."""

    ms_per_char: int = 40
    chunk_ms: int = 300  # of audio in one message
    odd: bool = False  # messages end in the middle of a sample
    late_timestamps: bool = False  # after their audio instead of before it
    after_cancel: int = 0  # messages of audio that still come
    problem: dict[str, Any] | None = None  # the answer to the first text


@dataclass(slots=True)
class _Context:
    id: str
    line: Line
    reply: Spoken
    request: dict[str, Any]  # the fields that all messages share
    text: str = ""  # not spoken yet
    spoken: int = 0  # samples so far
    rest: bytes = b""
    jobs: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    task: "asyncio.Task[None] | None" = None
    flushes: int = 0
    ended: bool = False  # no more text may come

    async def run(self) -> None:
        while (text := await self.jobs.get()) is not None:
            if text == FLUSHED:
                self.flushes += 1
                await self.tell("flush_done", flush_done=True, flush_id=self.flushes)
                continue
            for kind, fields in self.messages(text):
                await self.tell(kind, **fields)
        await self.tell("done", done=True)

    async def tell(self, kind: str, *, done: bool = False, **fields: Any) -> None:
        status = 200 if done else 206
        message = {"type": kind, "context_id": self.id, "done": done, "status_code": status, **fields}
        await self.line.send(message)

    def messages(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rate = self.request["output_format"]["sample_rate"]
        speed = (self.request.get("generation_config") or {}).get("speed") or 1.0
        per_char = round(rate * self.reply.ms_per_char / 1000 / speed)
        start = self.spoken
        timings = ("timestamps", {"word_timestamps": _timings(text, start / rate, per_char / rate)})
        if self.request.get("add_timestamps") and not self.reply.late_timestamps:
            yield timings
        total = per_char * len(text)
        step = rate * self.reply.chunk_ms // 1000
        for offset in range(0, total, step):
            count = min(step, total - offset)
            pcm = self.rest + ramp(self.spoken, count)
            self.spoken += count
            cut = len(pcm) - 1 if self.reply.odd and offset + step < total else len(pcm)
            self.rest = pcm[cut:]
            yield "chunk", {"data": base64.b64encode(pcm[:cut]).decode(), "step_time": 12.5}
        if self.request.get("add_timestamps") and self.reply.late_timestamps:
            yield timings


FLUSHED = "\0flushed"


class FakeCartesia(FakeSockets):
    """The server. `voices` maps ids to names; the account has no others."""

    def __init__(
        self, *, voices: dict[str, str] | None = None, most_contexts: int = 15, **options: Any
    ) -> None:
        super().__init__(**{"default": Spoken(), **options})
        self.voices = voices or {
            "f786b574-daa5-4673-aa0c-cbe3e8534c02": "Katie",
            "228fca29-3a0a-435c-8728-5cb483251068": "Kiefer",
            "01234567-89ab-cdef-0123-456789abcdef": "Mine",
        }
        self.most_contexts = most_contexts
        self.cancelled: list[str] = []  # ids of the contexts that were cancelled while they spoke
        self.listings: list[dict[str, str]] = []  # queries of the requests for voices
        self.voices_answer: Any = None  # instead of the list: an object of JSON
        self._contexts = 0

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/tts/websocket", self._converse_tts), web.get("/voices", self._list_voices)]

    def refusal(self, http: web.Request) -> Refusal | None:
        given = http.headers.get("Authorization", "").removeprefix("Bearer ")
        given = given or http.headers.get("X-API-Key", "") or http.query.get("api_key", "")
        if given != self.api_key:
            return Refusal(401, _body(401, "Unauthorized", f"Invalid API key: {given}"))
        if not (http.headers.get("Cartesia-Version") or http.query.get("cartesia_version")):
            return Refusal(400, _body(400, "Bad request", "Cartesia-Version is missing"))
        return None

    async def _list_voices(self, http: web.Request) -> web.Response:
        if (refusal := self.refusal(http)) is not None:
            return web.json_response(refusal.body, status=refusal.status)
        self.listings.append(dict(http.query))
        if self.voices_answer is not None:
            return web.json_response(self.voices_answer)
        ids = list(self.voices)
        after = http.query.get("starting_after")
        start = ids.index(after) + 1 if after else 0
        size = min(PAGE, int(http.query.get("limit", "10")))
        data = [_voice(id, self.voices[id]) for id in ids[start : start + size]]
        return web.json_response({"data": data, "has_more": start + size < len(ids)})

    async def _converse_tts(self, line: Line) -> None:
        contexts: dict[str, _Context] = {}
        async with asyncio.TaskGroup() as tasks:
            try:
                while (message := await line.receive()) is not None:
                    problem = self._problem(message, contexts)
                    if problem is not None:
                        await line.send(problem)
                        continue
                    assert isinstance(message, dict)
                    id = message["context_id"]
                    if message.get("cancel"):
                        await self._cancel(contexts.pop(id, None))
                        continue
                    if id not in contexts or contexts[id].ended:
                        self._contexts += 1
                        contexts[id] = _Context(id, line, line.reply, _shared(message))
                        contexts[id].task = task = tasks.create_task(contexts[id].run())
                        task.add_done_callback(lambda _: self._end())
                    if message["transcript"] and line.reply.problem is not None:
                        await line.send({**line.reply.problem, "context_id": id})
                        continue
                    _take(contexts[id], message)
            finally:
                for context in contexts.values():
                    if context.task is not None:
                        context.task.cancel()

    def _end(self) -> None:
        self._contexts -= 1

    async def _cancel(self, context: _Context | None) -> None:
        if context is None or context.task is None or context.task.done():
            return
        self.cancelled.append(context.id)
        context.task.cancel()
        await asyncio.wait([context.task])
        for _ in range(context.reply.after_cancel):
            await context.tell("chunk", data=base64.b64encode(bytes(200)).decode(), step_time=1.0)

    def _problem(self, message: Any, contexts: dict[str, _Context]) -> dict[str, Any] | None:
        if not isinstance(message, dict) or not isinstance(id := message.get("context_id"), str):
            return cartesia_error(400, "Invalid request", "context_id is missing")
        if message.get("cancel"):
            return None
        what = self._invalid(message)
        known = contexts.get(id)
        if what is None and known is not None and not known.ended and known.request != _shared(message):
            what = "fields differ from those of the context"
        if what is not None:
            return cartesia_error(400, "Invalid request", what, context=id)
        if message["voice"]["id"] not in self.voices:
            return cartesia_error(404, "Voice not found", f"no voice {message['voice']['id']}", context=id)
        if id not in contexts and self._contexts >= self.most_contexts:
            text = "Too many concurrent contexts"
            return cartesia_error(429, "Concurrency limited", text, "concurrency_limited", context=id)
        return None

    def _invalid(self, message: dict[str, Any]) -> str | None:
        form, voice = message.get("output_format"), message.get("voice")
        config = message.get("generation_config") or {}
        if message.get("model_id") not in MODELS:
            return f"unknown model {message.get('model_id')}"
        if not isinstance(message.get("transcript"), str):
            return "transcript is missing"
        if not isinstance(voice, dict) or voice.get("mode") != "id" or not isinstance(voice.get("id"), str):
            return "voice is invalid"
        if not isinstance(form, dict) or form.get("container") != "raw":
            return "output_format is invalid"
        if form.get("encoding") != "pcm_s16le" or form.get("sample_rate") not in RATES:
            return "this fake speaks pcm_s16le only"
        if not 0.6 <= config.get("speed", 1) <= 1.5 or not 0.5 <= config.get("volume", 1) <= 2:
            return "generation_config is out of range"
        if not 0 <= message.get("max_buffer_delay_ms", 3000) <= 5000:
            return "max_buffer_delay_ms is out of range"
        return None


def _take(context: _Context, message: dict[str, Any]) -> None:
    context.text += message["transcript"]
    # With a delay, text waits for more of it; here, for its end.
    if not message.get("max_buffer_delay_ms", 3000) or message.get("flush") or not message.get("continue"):
        if context.text:
            context.jobs.put_nowait(context.text)
        context.text = ""
    if message.get("flush"):
        context.jobs.put_nowait(FLUSHED)
    if not message.get("continue"):
        context.ended = True
        context.jobs.put_nowait(None)


def _shared(message: dict[str, Any]) -> dict[str, Any]:
    own = ("transcript", "continue", "flush")
    return {name: value for name, value in message.items() if name not in own}


def _timings(text: str, start: float, per_char: float) -> dict[str, Any]:
    words: list[str] = []
    starts: list[float] = []
    ends: list[float] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        words.append(word)
        starts.append(start + at * per_char)
        at += len(word)
        ends.append(start + at * per_char)
    return {"words": words, "start": starts, "end": ends}


def _voice(id: str, name: str) -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "description": f"{name} speaks",
        "tagline": "",
        "language": "en",
        "locales": [{"locale": "en-US", "is_native": True}],
        "access": "public",
        "visibility": "all",
        "is_owner": False,
        "created_at": "2026-01-02T03:04:05Z",
    }


def _body(status: int, title: str, message: str) -> dict[str, Any]:
    return {"error_code": "", "title": title, "message": message, "status_code": status}


def cartesia_error(
    status: int, title: str, message: str, code: str = "", *, context: str | None = None
) -> dict[str, Any]:
    """An error as it comes over the socket."""
    told = {"type": "error", "done": True, "title": title, "message": message, "status_code": status}
    told["error_code"] = code or "invalid_request"
    return told if context is None else {**told, "context_id": context}
