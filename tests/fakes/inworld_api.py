"""A fake of Inworld's API on a free loopback port: transcription, speech both ways, voices, chat completions.

    async with FakeInworld() as fake:
        fake.script(Plan(Heard((Turn("hello there"),)), Cut(heard=3)))    # the next WebSocket
        fake.speech.script(failure(8, "Slow down."))                      # the next POST of speech
        fake.chat.script(RoutedReply(text="Hi.", metadata={...}))
        ... use fake.base_url and fake.api_key ...

It refuses what the real API refuses, in the shape of gRPC's gateway: a wrong key, messages out of order, an
unknown context, texts that are too long, settings out of range. Free of any test framework.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.fakes.inworld_replies import (
    Heard,
    RoutedReply,
    Spoken,
    SpokenReply,
    Turn,
    failure,
    sound,
    status,
    timings,
)
from tests.fakes.openai_api import Endpoint, FakeOpenAI
from tests.fakes.openai_replies import ChatReply, Reply
from tests.fakes.websocket import FakeSockets, Line, Message, Refusal

__all__ = [
    "FakeInworld",
    "Heard",
    "RoutedReply",
    "Spoken",
    "SpokenReply",
    "Turn",
    "failure",
    "sound",
    "status",
    "timings",
]

MAX_CONTEXTS = 5  # per connection
MAX_MESSAGE_CHARS = 1000
MAX_REQUEST_CHARS = 2000
MODELS = ("inworld-tts-1.5-mini", "inworld-tts-1.5-max", "inworld-tts-2")
VOICES = ("Dennis", "Clive", "Olivia", "Sarah", "Ashley", "Luna", "Alex", "Hades", "Jason")


class FakeInworld(FakeSockets):
    """The server. Its key is sent as Basic, as it is."""

    def __init__(self, *, api_key: str = "ZmFrZS1rZXktMDE6ZmFrZS1zZWNyZXQtMDE=") -> None:
        super().__init__(api_key=api_key)
        self._http = _Http(self)
        self.chat = self._http.chat
        self.speech = Endpoint(SpokenReply())
        self.listed = [
            {
                "name": f"workspaces/inworld/voices/{name}",
                "voiceId": name,
                "langCode": "EN_US",
                "displayName": name,
                "description": "A voice.",
                "tags": ["clear"],
                "source": "SYSTEM",
            }
            for name in VOICES
        ]
        self.listings: list[dict[str, str]] = []  # the queries of each request for voices

    def routes(self) -> list[web.RouteDef]:
        return [
            self.socket("/stt/v1/transcribe:streamBidirectional", self._listen),
            self.socket("/tts/v1/voice:streamBidirectional", self._talk),
            web.post("/tts/v1/voice:stream", self._http.speak),
            web.post("/v1/chat/completions", self._http.complete),
            web.get("/voices/v1/voices", self._list),
        ]

    def refusal(self, http: web.Request) -> Refusal | None:
        if self.knows(http):
            return None
        return Refusal(401, status(16, f"Invalid authorization: {http.headers.get('Authorization', '')}"))

    def knows(self, http: web.Request) -> bool:
        """Whether the key is right, and sent as it must be."""
        return http.headers.get("Authorization") == f"Basic {self.api_key}"

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.end()
        await super().__aexit__(kind, value, trace)

    # --- Transcription -----------------------------------------------------------------------------------

    async def _listen(self, line: Line) -> None:
        heard = line.reply if isinstance(line.reply, Heard) else Heard()
        ears: _Ears | None = None
        async for name, value in _messages(line):
            if ears is None:
                problem = _config_problem(name, value)
                if problem is not None:
                    return await _refuse(line, problem)
                ears = _Ears(line, heard, value)
            elif name == "audioChunk":
                pcm = _decoded(value.get("content"))
                if pcm is None or len(pcm) % 2:
                    return await _refuse(line, "Invalid audio")
                await ears.hear(pcm)
            elif name == "endTurn":
                await ears.end_turn()
            elif name == "closeStream":
                await ears.close()
                if heard.closes:
                    return None
            else:
                return await _refuse(line, f"Unexpected message {name}")
        return None

    # --- Speech ------------------------------------------------------------------------------------------

    async def _talk(self, line: Line) -> None:
        spoken = line.reply if isinstance(line.reply, Spoken) else Spoken()
        contexts: dict[str, _Context] = {}
        try:
            async for name, value in _messages(line, besides="contextId"):
                context = line.exchange.texts[-1].get("contextId", "")
                if name == "create":
                    if (wrong := _create_problem(value, context, contexts)) is not None:
                        await line.send({"result": {"contextId": context, "status": wrong}})
                        continue
                    contexts[context] = _Context(line, context, spoken, value, contexts)
                    await contexts[context].tell({"contextCreated": value})
                elif context not in contexts:
                    gone = status(5, f"Context {context} not found")
                    await line.send({"result": {"contextId": context, "status": gone}})
                elif name == "cancel_context":
                    contexts.pop(context).cancel()
                else:
                    await contexts[context].take(name, value)
        finally:
            for one in contexts.values():
                one.cancel()

    # --- Voices ------------------------------------------------------------------------------------------

    async def _list(self, http: web.Request) -> web.Response:
        self.listings.append(dict(http.query))
        if not self.knows(http):
            return web.json_response(status(16, "Invalid authorization"), status=401)
        start = int(http.query.get("pageToken", "1-0").partition("-")[2])
        size = int(http.query.get("pageSize", "2000"))
        page: dict[str, Any] = {"voices": self.listed[start : start + size], "totalSize": len(self.listed)}
        if start + size < len(self.listed):
            page["nextPageToken"] = f"1-{start + size}"
        return web.json_response(page)


async def _messages(line: Line, besides: str = "") -> Any:
    """The messages of a client, each as its one member's name and value; a bad one ends the connection."""
    while (message := await line.receive()) is not None:
        named = _named(message, besides)
        if named is None:
            await _refuse(line, "Invalid message")
            return
        yield named


def _named(message: Message, besides: str) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(message, dict):
        return None
    members = [(name, value) for name, value in message.items() if name != besides]
    if len(members) != 1 or not isinstance(members[0][1], dict):
        return None
    return members[0]


async def _refuse(line: Line, message: str) -> None:
    await line.send({"error": status(3, message)})


def _decoded(content: Any) -> bytes | None:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return None


def _config_problem(name: str, config: Mapping[str, Any]) -> str | None:
    if name != "transcribeConfig":
        return "The first message must be transcribeConfig"
    if not isinstance(config.get("modelId"), str) or "/" not in config["modelId"]:
        return "modelId must be provider/model"
    if config.get("audioEncoding") != "LINEAR16":
        return "audioEncoding must be LINEAR16 when streaming"
    own = {**(config.get("inworldSttV1Config") or {}), **(config.get("assemblyaiConfig") or {})}
    ranges = (
        (config.get("endOfTurnConfidenceThreshold", 0.5), 0, 1),
        ((config.get("voiceProfileConfig") or {}).get("topN", 10), 1, 20),
        (own.get("vadThreshold", 0.5), 0, 1),
        (own.get("maxTurnSilence", 20), 20, 5000),
    )
    for value, low, high in ranges:
        if not low <= value <= high:
            return f"{value} is out of range"
    prompts = config.get("prompts", [])
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        return "prompts must be a list of strings"
    return None


class _Ears:
    """What was heard on one connection."""

    def __init__(self, line: Line, heard: Heard, config: dict[str, Any]) -> None:
        self._line = line
        self._heard = heard
        self._rate = config.get("sampleRateHertz", 16_000)
        self._model = config["modelId"]
        self._seconds = 0.0
        self._waiting = list(heard.timeline(config))
        self._open = False  # whether a turn is under way

    async def hear(self, pcm: bytes) -> None:
        self._seconds += len(pcm) / 2 / self._rate
        while self._waiting and self._waiting[0][0] <= self._seconds + 1e-6:
            await self._tell(self._waiting.pop(0)[1])

    async def end_turn(self) -> None:
        """One final, of what the turn has said so far."""
        final: dict[str, Any] = {"transcription": {"transcript": "", "isFinal": True}}
        if self._open:
            while self._waiting:
                at, event = self._waiting.pop(0)
                heard = event.get("transcription")
                if heard is not None and (heard["isFinal"] or at > self._seconds + 0.25):
                    final = {"transcription": {**heard, "isFinal": True}}
                    break
        await self._tell(final)

    async def close(self) -> None:
        if self._open or self._heard.last_final:
            await self.end_turn()
        if self._heard.usage:
            usage = {"transcribedAudioMs": round(self._seconds * 1000), "modelId": self._model}
            await self._tell({"usage": usage})

    async def _tell(self, event: dict[str, Any]) -> None:
        if (heard := event.get("transcription")) is not None:
            self._open = not heard["isFinal"]
        elif "speechStarted" in event:
            self._open = True
        await self._line.send({"result": event})


def _create_problem(
    settings: Mapping[str, Any], context: str, contexts: Mapping[str, "_Context"]
) -> dict[str, Any] | None:
    if context in contexts:
        return status(6, f"Context {context} exists already")
    if len(contexts) >= MAX_CONTEXTS:
        return status(8, "Too many contexts on this connection")
    return _speech_problem(settings)


def _speech_problem(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    model, voice = settings.get("modelId"), settings.get("voiceId")
    if model not in MODELS:
        return status(3, f"Unknown model: {model}")
    if not voice or (voice not in VOICES and "__" not in voice):
        return status(5, f"Unknown voice: {voice} not found!")
    audio = settings.get("audioConfig") or {}
    if not 0.5 <= audio.get("speakingRate", 1.0) <= 1.5:
        return status(3, "speakingRate must be between 0.5 and 1.5")
    if not 8000 <= audio.get("sampleRateHertz", 48_000) <= 48_000:
        return status(3, "sampleRateHertz must be between 8000 and 48000")
    if not 0 < settings.get("temperature", 1.0) <= 2:
        return status(3, "temperature must be within (0, 2]")
    if settings.get("bufferCharThreshold", 250) > MAX_MESSAGE_CHARS:
        return status(3, "bufferCharThreshold must be at most 1000")
    if settings.get("deliveryMode", "BALANCED") not in ("STABLE", "BALANCED", "CREATIVE"):
        return status(3, "Unknown deliveryMode")
    return None


@dataclass(slots=True)
class _Context:
    """One context. Its sound is sent by a task of its own, so that contexts interleave."""

    line: Line
    name: str
    spoken: Spoken
    settings: dict[str, Any]
    siblings: dict[str, "_Context"]
    text: str = ""
    work: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    task: "asyncio.Task[None] | None" = None

    async def take(self, name: str, value: Mapping[str, Any]) -> None:
        if name == "send_text":
            text = value.get("text")
            if not isinstance(text, str) or len(text) > MAX_MESSAGE_CHARS:
                await self._fail(status(3, "text must have at most 1000 characters"))
                return
            self.text += text
            if "flush_context" in value or len(self.text) > self.settings.get("bufferCharThreshold", 250):
                self._flush()
        elif name == "flush_context":
            self._flush()
        elif name == "update_config":
            self._flush()
            self.settings |= {key: new for key, new in value.items() if key != "modelId"}
            await self.tell({"contextUpdated": self.settings})
        elif name == "close_context":
            if self.text:
                self._flush()
            self._add(None)
        else:
            await self._fail(status(3, f"Unknown message {name}"))

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    async def tell(self, event: Mapping[str, Any]) -> None:
        fine = {"code": 0, "message": "", "details": []}
        await self.line.send({"result": {"contextId": self.name, "status": fine, **event}})

    async def _fail(self, problem: dict[str, Any]) -> None:
        await self.line.send({"result": {"contextId": self.name, "status": problem}})

    def _flush(self) -> None:
        text, self.text = self.text, ""
        self._add(text)

    def _add(self, work: str | None) -> None:
        self.work.put_nowait(work)
        if self.task is None:
            self.task = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        try:
            while (text := await self.work.get()) is not None:
                for chunk in self.spoken.chunks(text, self.settings) if text else ():
                    await self.tell({"audioChunk": chunk})
                await self.tell({"flushCompleted": {}})
            self.siblings.pop(self.name, None)
            await self.tell({"contextClosed": {}})
        except ConnectionError:
            pass  # by a fault, or by the client


class _Http(FakeOpenAI):
    """The paths that answer over HTTP, with the manners of the other fake."""

    def __init__(self, fake: FakeInworld) -> None:
        super().__init__()
        self.chat.default = ChatReply(text="Hello from a routed model.")
        self._fake = fake

    async def complete(self, http: web.Request) -> web.StreamResponse:
        return await self._chat(http)

    async def speak(self, http: web.Request) -> web.StreamResponse:
        return await self._json(http, self._fake.speech, _request_problem)

    def end(self) -> None:
        """Let those go that wait for ever."""
        self._closing.set()

    def _unauthorized(self, http: web.Request) -> Reply | None:
        if self._fake.knows(http):
            return None
        return failure(16, f"Invalid authorization: {http.headers.get('Authorization', '')}")

    def _refused(self, body: dict[str, Any]) -> Reply | None:
        return None if "modelId" in body else super()._refused(body)


def _request_problem(body: dict[str, Any]) -> Reply | None:
    text = body.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_REQUEST_CHARS:
        return failure(3, "text must have 1 to 2000 characters")
    problem = _speech_problem(body)
    return None if problem is None else failure(problem["code"], problem["message"])
