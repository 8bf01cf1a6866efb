"""The fake of Cartesia driven by the official client, whose types its messages have."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from cartesia import AsyncCartesia, AuthenticationError
from cartesia.types import WebsocketResponse
from pydantic import TypeAdapter

from tests.fakes.cartesia_api import FakeCartesia
from tests.fakes.elevenlabs_api import ramp
from tests.fakes.websocket import Plan

KEY = "ca-key-0123456789"
PER_CHAR = 24 * 40  # samples
FORMAT: Any = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
VOICE: Any = {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}
RESPONSE: TypeAdapter[Any] = TypeAdapter(WebsocketResponse)


@pytest.fixture
async def fake() -> AsyncGenerator[FakeCartesia, None]:
    async with FakeCartesia(api_key=KEY) as server:
        yield server


def client(fake: FakeCartesia, key: str = KEY) -> AsyncCartesia:
    sockets = fake.base_url.replace("http", "ws", 1)
    return AsyncCartesia(api_key=key, base_url=fake.base_url, websocket_base_url=sockets, max_retries=0)


def request(**fields: Any) -> Any:
    return {"model_id": "sonic-3", "voice": VOICE, "output_format": FORMAT, **fields}


async def test_the_official_client_streams_text_and_gets_its_speech(fake: FakeCartesia) -> None:
    async with client(fake) as api, api.tts.websocket_connect() as connection:
        context = connection.context(
            model_id="sonic-3", voice=VOICE, output_format=FORMAT, add_timestamps=True
        )
        await context.push("Hello there, ")
        await context.push("how are you?")
        await context.no_more_inputs()
        events = [event async for event in context.receive()]

    pcm = b"".join(event.audio or b"" for event in events if event.type == "chunk")
    words = [
        word
        for event in events
        if event.type == "timestamps" and event.word_timestamps is not None
        for word in event.word_timestamps.words
    ]
    assert pcm == ramp(0, PER_CHAR * 25)
    assert words == ["Hello", "there,", "how", "are", "you?"]
    assert fake.exchanges[0].headers["cartesia-version"] == "2026-08-14"
    for message in fake.exchanges[0].sent:
        typed = RESPONSE.validate_python(message)
        assert not typed.model_extra


async def test_contexts_flush_and_cancel(fake: FakeCartesia) -> None:
    async with client(fake) as api, api.tts.websocket_connect() as connection:
        await connection.send(request(context_id="a", transcript="One. ", **{"continue": True}))
        await connection.send(request(context_id="a", transcript="Two.", flush=True, **{"continue": True}))
        kinds = []
        while (event := await connection.recv()).type != "flush_done":
            kinds.append(event.type)
        assert set(kinds) == {"chunk"}
        assert event.flush_id == 1
        await connection.send({"context_id": "a", "cancel": True})
        await connection.send(request(context_id="b", transcript="Three."))
        rest = [await connection.recv() for _ in range(2)]
        assert {event.context_id for event in rest} == {"b"}
        assert rest[-1].type == "done"
    assert fake.cancelled == ["a"]
    for message in fake.exchanges[0].sent:
        assert not RESPONSE.validate_python(message).model_extra


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model_id": "sonic-0"}, 400),
        ({"voice": {"mode": "id", "id": "nobody"}}, 404),
        ({"output_format": {**FORMAT, "sample_rate": 12345}}, 400),
        ({"output_format": {**FORMAT, "container": "mp3"}}, 400),
        ({"generation_config": {"speed": 3}}, 400),
        ({"max_buffer_delay_ms": 6000}, 400),
    ],
)
async def test_mistakes_are_refused_within_their_context(
    fake: FakeCartesia, fields: dict[str, Any], status: int
) -> None:
    async with client(fake) as api, api.tts.websocket_connect() as connection:
        await connection.send(request(context_id="a", transcript="One.", **fields))
        event = await connection.recv()
        assert event.type == "error"
        assert (event.status_code, event.context_id) == (status, "a")
        RESPONSE.validate_python(fake.exchanges[0].sent[-1])
        # The socket can be used still.
        await connection.send(request(context_id="b", transcript="Two."))
        assert (await connection.recv()).type == "chunk"


async def test_a_context_does_not_change(fake: FakeCartesia) -> None:
    async with client(fake) as api, api.tts.websocket_connect() as connection:
        await connection.send(request(context_id="a", transcript="One. ", **{"continue": True}))
        await connection.send(request(context_id="a", transcript="Two.", language="de"))
        event = await connection.recv()
        assert event.type == "error"
        assert "differ" in event.error


async def test_plans_limit_contexts(fake: FakeCartesia) -> None:
    fake.most_contexts = 1
    async with client(fake) as api, api.tts.websocket_connect() as connection:
        for context in ("a", "b"):
            await connection.send(request(context_id=context, transcript="One.", **{"continue": True}))
        event = await connection.recv()
        assert event.type == "error"
        assert event.status_code == 429


async def test_the_official_client_lists_voices(fake: FakeCartesia) -> None:
    async with client(fake) as api:
        names = [voice.name async for voice in api.voices.list(limit=2)]
    assert names[:3] == ["Katie", "Kiefer", "Mine"]


async def test_a_wrong_key_is_refused(fake: FakeCartesia) -> None:
    fake.script(Plan())
    async with client(fake, "wrong") as api:
        with pytest.raises(AuthenticationError):
            await api.voices.list()
