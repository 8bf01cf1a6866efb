"""The fake of Deepgram, driven by the official client, and held to its types."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.listen.v1.types import (
    ListenV1Error,
    ListenV1Metadata,
    ListenV1Results,
    ListenV1UtteranceEnd,
)
from deepgram.listen.v2.types import (
    ListenV2Connected,
    ListenV2FatalError,
    ListenV2ForceEndTurn,
    ListenV2TurnInfo,
)
from deepgram.speak.v1.types import (
    SpeakV1Cleared,
    SpeakV1Flushed,
    SpeakV1Metadata,
    SpeakV1Text,
    SpeakV1Warning,
)
from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed

from tests.fakes.deepgram_api import FakeDeepgram
from tests.fakes.deepgram_speech import MAX_FLUSHES, spoken
from tests.fakes.hearing import in_pieces, say, silence
from tests.fakes.websocket import Exchange

RATE = 16_000
SOUND = {"encoding": "linear16", "sample_rate": str(RATE)}
NOVA_TYPES: dict[str, type[BaseModel]] = {
    "Results": ListenV1Results,
    "Metadata": ListenV1Metadata,
    "UtteranceEnd": ListenV1UtteranceEnd,
    "Error": ListenV1Error,
}
FLUX_TYPES: dict[str, type[BaseModel]] = {
    "Connected": ListenV2Connected,
    "TurnInfo": ListenV2TurnInfo,
    "Error": ListenV2FatalError,
}
SPEAK_TYPES: dict[str, type[BaseModel]] = {
    "Metadata": SpeakV1Metadata,
    "Flushed": SpeakV1Flushed,
    "Cleared": SpeakV1Cleared,
    "Warning": SpeakV1Warning,
}

# The client's own: it prefers the older part of the `websockets` package.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
async def fake() -> AsyncIterator[FakeDeepgram]:
    async with FakeDeepgram() as fake, asyncio.timeout(20):
        yield fake


def client(fake: FakeDeepgram, key: str | None = None) -> AsyncDeepgramClient:
    sockets = fake.base_url.replace("http", "ws")
    places = DeepgramClientEnvironment(
        base=fake.base_url, production=sockets, agent=sockets, agent_rest=fake.base_url
    )
    return AsyncDeepgramClient(api_key=key or fake.api_key, environment=places)


def checked(exchange: Exchange, types: dict[str, type[BaseModel]]) -> list[dict[str, Any]]:
    """The messages of a connection, each valid by the client's types without what they do not know."""
    messages = [message for message in exchange.sent if isinstance(message, dict)]
    for message in messages:
        model = types[message["type"]].model_validate(message)
        assert not model.model_extra, message
    return messages


async def rest(socket: Any) -> list[Any]:
    """All messages until the service closes the socket."""
    heard = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            heard.append(await socket.recv())
    return heard


@asynccontextmanager
async def nova(fake: FakeDeepgram, **options: Any) -> AsyncIterator[Any]:
    async with client(fake).listen.v1.connect(model="nova-3", **SOUND, **options) as socket:
        yield socket


async def test_nova_settles_segments_and_says_goodbye(fake: FakeDeepgram) -> None:
    async with nova(
        fake, interim_results="true", punctuate="true", endpointing="300", utterance_end_ms="1000"
    ) as socket:
        for piece in in_pieces(say("Turn on the light in the kitchen please.", rate=RATE), rate=RATE):
            await socket.send_media(piece)
        await socket.send_media(silence(1.0, rate=RATE))
        await socket.send_media(say("Thank you", rate=RATE))
        await socket.send_keep_alive()
        await socket.send_finalize()
        await socket.send_close_stream()
        heard = await rest(socket)

    messages = checked(await fake.exchange(0), NOVA_TYPES)
    assert [type(message).__name__ for message in heard[-2:]] == ["ListenV1Results", "ListenV1Metadata"]
    finals = [message for message in messages if message.get("is_final")]
    texts = [final["channel"]["alternatives"][0]["transcript"] for final in finals]
    assert texts == ["Turn on the light in", "the kitchen please.", "Thank you"]
    assert [final["speech_final"] for final in finals] == [False, True, True]
    assert [final["from_finalize"] for final in finals] == [False, False, True]
    assert "UtteranceEnd" in [message["type"] for message in messages]
    interims = [
        message["channel"]["alternatives"][0]["transcript"]
        for message in messages
        if message["type"] == "Results" and not message["is_final"]
    ]
    assert "" in interims
    assert any(text and not "Turn on the light in".startswith(text + " ") for text in interims)


async def test_nova_closes_what_says_nothing(fake: FakeDeepgram) -> None:
    fake.idle_s = 0.05
    async with nova(fake) as socket:
        assert await rest(socket) == []
        assert socket._websocket.close_code == 1011
        assert socket._websocket.close_reason == "NET-0001"


async def test_nova_does_not_understand_everything(fake: FakeDeepgram) -> None:
    async with nova(fake) as socket:
        await socket._send({"type": "Speak"})
        assert isinstance(await socket.recv(), ListenV1Error)
    checked(await fake.exchange(0), NOVA_TYPES)


@pytest.mark.parametrize(
    "query",
    [
        {"model": "nova-9"},
        {"model": "nova-2", "keyterm": "Zulu"},
        {"model": "nova-3", "utterance_end_ms": "1000"},
        {"model": "nova-3", "language": "de", "language_hint": "fr"},
    ],
)
async def test_nova_refuses_what_does_not_go_together(fake: FakeDeepgram, query: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        async with client(fake).listen.v1.connect(**SOUND, **query):
            pass
    assert caught.value.status_code == 400


async def test_a_wrong_key_is_refused(fake: FakeDeepgram) -> None:
    with pytest.raises(ApiError) as caught:
        async with client(fake, "wrong").listen.v1.connect(model="nova-3", **SOUND):
            pass
    assert caught.value.status_code == 401


async def test_flux_tells_turns(fake: FakeDeepgram) -> None:
    speech = say("Hello there.", rate=RATE) + say("Is it", rate=RATE) + silence(0.25, rate=RATE)
    async with client(fake).listen.v2.connect(
        model="flux-general-en", **SOUND, eager_eot_threshold=0.5, eot_threshold=0.7
    ) as socket:
        for piece in in_pieces(speech + say("late?", rate=RATE, pause_s=0.05), rate=RATE, seconds=0.08):
            await socket.send_media(piece)
        await socket.send_force_end_turn(ListenV2ForceEndTurn())
        await socket.send_close_stream()
        heard = await rest(socket)

    assert isinstance(heard[0], ListenV2Connected)
    messages = checked(await fake.exchange(0), FLUX_TYPES)
    assert [message["sequence_id"] for message in messages] == list(range(len(messages)))
    turns = [message for message in messages if message["type"] == "TurnInfo"]
    events = [turn["event"] for turn in turns if turn["event"] != "Update"]
    first = ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]
    assert events == [*first, "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]
    ended = [turn for turn in turns if turn["event"] == "EndOfTurn"]
    assert [turn["transcript"] for turn in ended] == ["Hello there.", "Is it late?"]
    assert [turn["trigger"] for turn in ended] == ["model", "manual"]
    assert [turn["turn_index"] for turn in ended] == [0, 1]
    assert turns[0]["transcript"] == "" or turns[0]["event"] == "StartOfTurn"


async def test_flux_ends_no_turn_when_it_is_closed(fake: FakeDeepgram) -> None:
    fake.lag_s = 0.3
    async with client(fake).listen.v2.connect(model="flux-general-en", **SOUND) as socket:
        await socket.send_media(say("One two three", rate=RATE))
        await socket.send_close_stream()
        heard = await rest(socket)
        assert socket._websocket.close_code == 1005

    assert [message.event for message in heard[1:] if message.event == "EndOfTurn"] == []
    assert heard[-1].transcript == "One two three"


async def test_flux_ends_what_it_does_not_understand(fake: FakeDeepgram) -> None:
    async with client(fake).listen.v2.connect(model="flux-general-en", **SOUND) as socket:
        await socket._send({"type": "KeepAlive"})
        heard = await rest(socket)
        assert socket._websocket.close_code == 1011
    assert heard[-1].code == "UNPARSABLE_CLIENT_MESSAGE"
    checked(await fake.exchange(0), FLUX_TYPES)


@asynccontextmanager
async def aura(fake: FakeDeepgram) -> AsyncIterator[Any]:
    async with client(fake).speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate="24000"
    ) as socket:
        assert isinstance(await socket.recv(), SpeakV1Metadata)
        yield socket


async def until(socket: Any, kind: str) -> bytes:
    """The sound before a message of this type; the client has one class for two of them."""
    sound = b""
    async for message in socket:
        if getattr(message, "type", None) == kind:
            break
        assert isinstance(message, bytes)
        sound += message
    return sound


async def test_aura_speaks_what_is_flushed(fake: FakeDeepgram) -> None:
    async with aura(fake) as socket:
        await socket.send_text(SpeakV1Text(text="Hello "))
        await socket.send_text(SpeakV1Text(text="there."))
        await socket.send_flush()
        assert await until(socket, "Flushed") == spoken("Hello there.")
        await socket.send_text(SpeakV1Text(text="Again."))
        await socket.send_flush()
        assert await until(socket, "Flushed") == spoken("Again.")
        await socket.send_close()

    exchange = await fake.exchange(0)
    assert [message["type"] for message in checked(exchange, SPEAK_TYPES)] == [
        "Metadata",
        "Flushed",
        "Flushed",
    ]


async def test_aura_forgets_what_is_cleared(fake: FakeDeepgram) -> None:
    async with aura(fake) as socket:
        await socket.send_text(SpeakV1Text(text="Never said."))
        await socket.send_clear()
        assert await until(socket, "Cleared") == b""
        await socket.send_text(SpeakV1Text(text="Said."))
        await socket.send_flush()
        assert await until(socket, "Flushed") == spoken("Said.")
    checked(await fake.exchange(0), SPEAK_TYPES)


async def test_aura_speaks_long_texts_without_a_flush_and_refuses_longer_ones(fake: FakeDeepgram) -> None:
    async with aura(fake) as socket:
        await socket.send_text(SpeakV1Text(text="a" * 200))
        assert isinstance(await socket.recv(), bytes)
        await socket.send_text(SpeakV1Text(text="a" * 2001))
        await rest(socket)
        assert (socket._websocket.close_code, socket._websocket.close_reason) == (1009, "BIG-0001")


async def test_aura_is_flushed_only_so_often(fake: FakeDeepgram) -> None:
    async with aura(fake) as socket:
        for _ in range(MAX_FLUSHES + 1):
            await socket.send_flush()
        kinds = [type(await socket.recv()) for _ in range(MAX_FLUSHES + 1)]
    assert sorted(kind.__name__ for kind in kinds) == ["SpeakV1Flushed"] * MAX_FLUSHES + ["SpeakV1Warning"]
    checked(await fake.exchange(0), SPEAK_TYPES)
