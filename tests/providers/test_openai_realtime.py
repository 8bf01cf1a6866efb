"""Transcription over the realtime endpoint, of a server that speaks it and of one that misbehaves."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from openai.types.realtime import RealtimeTranscriptionSessionCreateRequest
from pydantic import TypeAdapter

from providers.contracts import SttEvent, SttOptions, SttUsage, TokenLogprob, TranscriptDelta, TranscriptFinal
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from tests.speech import recording, silence

MODEL = "gpt-realtime-whisper"
KIND = "conversation.item.input_audio_transcription."
REQUEST = TypeAdapter(RealtimeTranscriptionSessionCreateRequest)
KEY = "sk-lab-0123456789abcdef"


async def once(pcm: bytes) -> AsyncIterator[bytes]:
    yield pcm


async def transcript(url: str, pcm: bytes, options: SttOptions | None = None, **more: Any) -> list[SttEvent]:
    settings = {"base_url": f"{url}/v1", "first_byte_timeout": 2.0, **more}
    provider = OpenAICompatibleProvider(ProviderSettings("lab", settings, KEY))
    try:
        async with asyncio.timeout(30):
            stt = provider.stt(MODEL)
            return [event async for event in stt.transcribe(once(pcm), options or SttOptions())]
    finally:
        await provider.aclose()


async def test_speech_is_transcribed_by_a_server_of_this_protocol(server_url: str) -> None:
    speech = recording("beckett", 24_000)[: 2 * 24_000 * 2] + silence(300, 24_000)

    events = await transcript(server_url, speech, SttOptions(language="en", logprobs=True))

    final = events[-1]
    assert isinstance(final, TranscriptFinal)
    assert "ever tried" in final.text.lower()
    assert "".join(event.text for event in events if isinstance(event, TranscriptDelta)).strip() == final.text


async def test_no_audio_is_no_request() -> None:
    assert await transcript("http://127.0.0.1:1", b"") == [TranscriptFinal("")]


class Service:
    """Plays one list of messages per connection, once the audio was committed; a number closes it."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.sessions: list[dict[str, Any]] = []
        self.audio: list[int] = []  # bytes of base64 per connection
        self.keys: list[str] = []
        self.greets = True

    async def handle(self, http: web.Request) -> web.WebSocketResponse:
        self.keys.append(http.headers.get("Authorization", ""))
        assert http.query["intent"] == "transcription"
        socket = web.WebSocketResponse()
        await socket.prepare(http)
        script = self.scripts.pop(0)
        self.audio.append(0)
        if self.greets:
            await socket.send_json({"type": "session.created", "session": {}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            event = message.json()
            if event["type"] == "session.update":
                REQUEST.validate_python(event["session"])
                self.sessions.append(event["session"])
            elif event["type"] == "input_audio_buffer.append":
                self.audio[-1] += len(event["audio"])
            else:
                assert event == {"type": "input_audio_buffer.commit"}
                for step in script:
                    if isinstance(step, int):
                        await socket.close(code=step)
                    elif isinstance(step, str):
                        await socket.send_str(step)
                    else:
                        await socket.send_json(step)
        return socket


@pytest.fixture
async def serve() -> AsyncGenerator[Any, None]:
    runners = []

    async def start(service: Service) -> str:
        app = web.Application()
        app.add_routes([web.get("/v1/realtime", service.handle)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return "http://{}:{}".format(*runner.addresses[0][:2])

    yield start
    for runner in runners:
        await runner.cleanup()


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"type": KIND + "delta", "item_id": "i", "content_index": 0, "delta": text, **more}


def completed(text: str, **more: Any) -> dict[str, Any]:
    return {"type": KIND + "completed", "item_id": "i", "content_index": 0, "transcript": text, **more}


SPEECH = bytes(24_000)


async def test_hints_and_counts(serve: Any) -> None:
    usage = {"type": "tokens", "input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    usage["input_token_details"] = {"text_tokens": 2, "audio_tokens": 7}
    logprobs = [{"token": "Hé", "logprob": -0.5, "bytes": list("Hé".encode())}]
    service = Service([delta("Hé", logprobs=logprobs), delta(" you"), completed("Hé you", usage=usage)])
    options = SttOptions("fr", "names", ("fr", "en"), ("Ada",), "low", logprobs=True)

    events = await transcript(await serve(service), SPEECH, options)

    token = TokenLogprob("Hé", -0.5, "Hé".encode())
    assert events == [
        TranscriptDelta("Hé", (token,)),
        TranscriptDelta(" you"),
        TranscriptFinal("Hé you", (token,), usage=SttUsage(9, 3, 2, 7)),
    ]
    (session,) = service.sessions
    assert session["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {
            "model": MODEL,
            "language": "fr",
            "prompt": "names",
            "languages": ["fr", "en"],
            "keywords": ["Ada"],
            "delay": "low",
        },
        "turn_detection": None,
    }
    assert session["include"] == ["item.input_audio_transcription.logprobs"]
    assert service.keys == [f"Bearer {KEY}"]


async def test_a_connection_that_dies_is_replaced_and_nothing_is_told_twice(serve: Any) -> None:
    service = Service([delta("Hello"), 1011], [delta("Hello"), delta(" there"), completed("Hello there")])

    events = await transcript(await serve(service), SPEECH)

    assert events == [TranscriptDelta("Hello"), TranscriptDelta(" there"), TranscriptFinal("Hello there")]
    assert service.audio[0] == service.audio[1] > 0


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (
            [{"type": "error", "error": {"type": "invalid_request_error", "code": "invalid_api_key"}}],
            AuthenticationError,
        ),
        (
            [{"type": KIND + "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}],
            RateLimitError,
        ),
        (["no JSON"], BadAnswerError),
        (['["a list"]'], BadAnswerError),
        ([completed("", usage=[1]) | {"transcript": 7}], None),
    ],
)
async def test_what_a_service_may_say(
    serve: Any, script: list[Any], kind: type[ProviderError] | None
) -> None:
    url = await serve(Service(script))
    if kind is None:
        assert await transcript(url, SPEECH) == [TranscriptFinal("")]
        return

    with pytest.raises(kind) as caught:
        await transcript(url, SPEECH)

    assert KEY not in str(caught.value)


async def test_a_service_that_does_not_greet_is_late(serve: Any) -> None:
    service = Service([])
    service.greets = False

    with pytest.raises(TimedOutError):
        await transcript(await serve(service), SPEECH, first_byte_timeout=0.1)


async def test_a_service_that_is_not_there() -> None:
    with pytest.raises(ConnectionFailedError):
        await transcript("http://127.0.0.1:1", SPEECH)
