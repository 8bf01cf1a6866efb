"""A fake of the OpenAI HTTP API on a free loopback port: chat completions, transcriptions, speech, models.

    async with FakeOpenAI() as fake:
        fake.chat.script(rate_limited(2.0), ChatReply(text="Hello."))   # the next two answers
        fake.speech.default = SpeechReply(pace_s=0.02)                  # all others
        ... use fake.base_url and fake.api_key ...
        fake.chat.requests[0].body["messages"]

It refuses what the real API refuses, in the same shape: a wrong key, an unknown model, tool messages that
follow no call, options that need others, texts and files that are too long. Free of any test framework.
"""

import asyncio
import io
import json
import wave
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web

from tests.fakes.openai_replies import (
    CUT,
    HANG,
    ChatReply,
    FakeCall,
    Reply,
    Script,
    SpeechReply,
    Step,
    TranscriptionReply,
    Until,
    Wait,
    error,
    frame,
    rate_limited,
    sine,
)
from tests.fakes.sending import send_reply

__all__ = [
    "CUT",
    "HANG",
    "ChatReply",
    "Endpoint",
    "FakeCall",
    "FakeOpenAI",
    "RecordedRequest",
    "Reply",
    "Script",
    "SpeechReply",
    "Step",
    "TranscriptionReply",
    "Until",
    "Wait",
    "error",
    "frame",
    "rate_limited",
    "sine",
]

MAX_SPEECH_CHARACTERS = 4096
MAX_AUDIO_BYTES = 25 * 1024 * 1024
SPOKEN = ("de", "en", "fr", "it", "no")  # languages that can be transcribed


@dataclass(slots=True)
class RecordedRequest:
    """One request as it came in, and what became of it."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]  # the JSON, or the text fields of the form
    connection: tuple[str, int]  # the client's address: the same for requests over one kept-alive connection
    received_at: float  # seconds on the event loop's clock
    pcm: bytes = b""  # the samples of an uploaded WAV
    sample_rate: int = 0
    filename: str = ""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: bool = False  # the client went away before the answer was complete


class Endpoint:
    """The scripts of one path and the requests that it saw."""

    def __init__(self, default: Script) -> None:
        self.default: Script | Callable[[RecordedRequest], Script] = default  # once the scripts are used up
        self.requests: list[RecordedRequest] = []
        self.active = 0  # requests being answered right now
        self.most_active = 0
        self._scripts: deque[Script] = deque()
        self._arrived = asyncio.Condition()

    def script(self, *replies: Script) -> None:
        """Answer the next requests with these, in order."""
        self._scripts.extend(replies)

    async def wait_for_requests(self, count: int) -> None:
        """Until so many requests have come in, since the start."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    @asynccontextmanager
    async def answering(self, request: RecordedRequest) -> AsyncGenerator[Script, None]:
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            if self._scripts:
                yield self._scripts.popleft()
            else:
                yield self.default(request) if callable(self.default) else self.default
        except (asyncio.CancelledError, ConnectionError):
            request.aborted = True
            raise
        finally:
            self.active -= 1
            request.finished.set()


class FakeOpenAI:
    """The server; everything about it ends with the `async with` block."""

    def __init__(
        self,
        *,
        api_key: str = "sk-fake-0123456789abcdef",
        models: Collection[str] | None = None,
        unsupported: Collection[str] = (),
        keepalive_s: float = 60.0,
    ) -> None:
        """`models` None accepts every model; `unsupported` names parameters that are refused by name."""
        self.api_key = api_key
        self.models = models
        self.unsupported = set(unsupported)
        self.base_url = ""
        self.chat = Endpoint(ChatReply(text="Hello from the fake model."))
        self.transcriptions = Endpoint(TranscriptionReply(text="This is what I heard."))
        self.speech = Endpoint(SpeechReply())
        self._keepalive_s = keepalive_s
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2 * MAX_AUDIO_BYTES)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/audio/transcriptions", self._transcribe),
                web.post("/v1/audio/speech", self._speak),
                web.get("/v1/models", self._list_models),
                web.route("*", "/{any:.*}", self._unknown_url),
            ]
        )
        # Cancelling the handler is how a client that hangs up is noticed at once.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            keepalive_timeout=self._keepalive_s,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- The paths ---------------------------------------------------------------------------------------

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        return await self._json(http, self.chat, _chat_problem)

    async def _speak(self, http: web.Request) -> web.StreamResponse:
        return await self._json(http, self.speech, _speech_problem)

    async def _json(
        self, http: web.Request, endpoint: Endpoint, check: Callable[[dict[str, Any]], Reply | None]
    ) -> web.StreamResponse:
        try:
            body = json.loads(await http.read())
        except ValueError:
            return await self._send(http, error(400, "We could not parse the JSON body of your request."))
        return await self._answer(http, endpoint, _record(http, body), check)

    async def _transcribe(self, http: web.Request) -> web.StreamResponse:
        if not http.content_type.startswith("multipart/"):
            return await self._send(http, error(400, "Could not parse multipart form"))
        request = _record(http, {})
        audio = b""
        async for part in await http.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                request.filename, audio = part.filename or "", bytes(await part.read())
            elif str(part.name).endswith("[]"):
                request.body.setdefault(str(part.name), []).append(await part.text())
            else:
                request.body[str(part.name)] = await part.text()
        if len(audio) > MAX_AUDIO_BYTES:
            return await self._send(http, error(413, "Maximum content size limit (26214400) exceeded"))
        try:
            with wave.open(io.BytesIO(audio)) as reader:
                request.sample_rate, request.pcm = (
                    reader.getframerate(),
                    reader.readframes(reader.getnframes()),
                )
        except (wave.Error, EOFError):
            return await self._send(http, error(400, "Invalid file format.", param="file"))
        return await self._answer(http, self.transcriptions, request, _transcription_problem)

    async def _list_models(self, http: web.Request) -> web.StreamResponse:
        if (refusal := self._unauthorized(http)) is not None:
            return await self._send(http, refusal)
        data = [
            {"id": model, "object": "model", "created": 1_750_000_000, "owned_by": "fake"}
            for model in self.models or ()
        ]
        return web.json_response({"object": "list", "data": data})

    async def _unknown_url(self, http: web.Request) -> web.StreamResponse:
        return await self._send(http, error(404, f"Invalid URL ({http.method} {http.path})"))

    # --- Answering ---------------------------------------------------------------------------------------

    async def _answer(
        self,
        http: web.Request,
        endpoint: Endpoint,
        request: RecordedRequest,
        check: Callable[[dict[str, Any]], Reply | None],
    ) -> web.StreamResponse:
        refusal = self._unauthorized(http) or self._refused(request.body) or check(request.body)
        if refusal is not None:
            endpoint.requests.append(request)
            request.finished.set()
            return await self._send(http, refusal)
        async with endpoint.answering(request) as script:
            return await self._send(
                http, script if isinstance(script, Reply) else script.render(request.body)
            )

    def _unauthorized(self, http: web.Request) -> Reply | None:
        given = http.headers.get("Authorization", "")
        if given == f"Bearer {self.api_key}":
            return None
        if not given.startswith("Bearer "):
            return error(401, "You didn't provide an API key. Use Bearer auth in an Authorization header.")
        key = given.removeprefix("Bearer ")
        return error(401, f"Incorrect API key provided: {key}.", code="invalid_api_key")

    def _refused(self, body: dict[str, Any]) -> Reply | None:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            return error(400, "you must provide a model parameter")
        if self.models is not None and model not in self.models:
            return error(404, f"The model `{model}` does not exist", code="model_not_found")
        for name in body:
            if name in self.unsupported:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return error(400, message, code="unsupported_parameter", param=name)
        return None

    async def _send(self, http: web.Request, reply: Reply) -> web.StreamResponse:
        return await send_reply(http, reply, self._closing)


def _record(http: web.Request, body: dict[str, Any]) -> RecordedRequest:
    headers = {name.lower(): value for name, value in http.headers.items()}
    peer = http.transport.get_extra_info("peername") if http.transport is not None else ("", 0)
    return RecordedRequest(http.path, headers, body, (peer[0], peer[1]), asyncio.get_running_loop().time())


def _chat_problem(body: dict[str, Any]) -> Reply | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return error(400, "Missing required parameter: 'messages'.", param="messages")
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = (
                    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                )
                return error(400, f"Invalid parameter: {text}", param=f"messages.[{at}].role")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            text = "An assistant message with 'tool_calls' must be followed by tool messages"
            return error(400, f"{text}: {', '.join(sorted(open_calls))}", param=f"messages.[{at}].role")
        open_calls = {call["id"] for call in message.get("tool_calls", ())}
        if message.get("content") is None and not open_calls:
            return error(400, "Invalid value for 'content': got null.", param=f"messages.[{at}].content")
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and not body.get("tools"):
            return error(400, f"'{name}' is only allowed when 'tools' are specified.", param=name)
    if "stream_options" in body and not body.get("stream"):
        return error(
            400, "'stream_options' is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return None


def _speech_problem(body: dict[str, Any]) -> Reply | None:
    text = body.get("input")
    if not isinstance(text, str) or not text.strip():
        return error(400, "Input is empty.", param="input")
    if len(text) > MAX_SPEECH_CHARACTERS:
        return error(
            400, "String should have at most 4096 characters", code="string_above_max_length", param="input"
        )
    if body.get("response_format") != "pcm":
        return error(400, "This fake speaks pcm only.", param="response_format")
    if not body.get("voice"):
        return error(400, "Field required", param="voice")
    return None


def _transcription_problem(body: dict[str, Any]) -> Reply | None:
    model, form = str(body.get("model")), body.get("response_format", "json")
    if form not in ("json", "text", "diarized_json"):
        return error(400, "This fake writes json, diarized_json and text only.", param="response_format")
    diarizes = "diarize" in model
    if form == "diarized_json" and not diarizes:
        text = f"response_format '{form}' is not compatible with model '{model}'."
        return error(400, text, code="unsupported_value", param="response_format")
    if diarizes and "chunking_strategy" not in body:
        return error(400, "chunking_strategy is required for diarization models", param="chunking_strategy")
    newest = model.startswith("gpt-transcribe")
    refused = set() if newest else {"languages[]", "keywords[]"}
    if diarizes or newest or model == "whisper-1":
        refused.add("include[]")
    if diarizes:
        refused.add("prompt")
    for name in sorted(refused & body.keys()):
        name = name.removesuffix("[]")
        text = f"Unsupported parameter: '{name}' is not supported with this model."
        return error(400, text, code="unsupported_parameter", param=name)
    for language in (body.get("language", "en"), *body.get("languages[]", ())):
        if language not in SPOKEN:
            text = f"Unsupported language: '{language}'. Must be one of {sorted(SPOKEN)}."
            return error(400, text)
    if "language" in body and "languages[]" in body:
        return error(400, "Provide either language or languages.", param="languages")
    return None
