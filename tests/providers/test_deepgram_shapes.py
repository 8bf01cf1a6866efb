"""What goes to Deepgram is what its own client sends, and nothing that comes from it breaks an adapter."""

import inspect
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from deepgram import AsyncDeepgramClient
from deepgram.listen.v1.types import ListenV1CloseStream, ListenV1Finalize, ListenV1KeepAlive
from deepgram.listen.v2.types import ListenV2CloseStream, ListenV2ForceEndTurn
from deepgram.speak.v1.types import SpeakV1Clear, SpeakV1Flush, SpeakV1Text
from deepgram.types import ListenV2Model, SpeakV1Model
from pydantic import BaseModel

from providers.contracts import Stt, SttOptions, TtsOptions
from providers.deepgram import DeepgramProvider
from providers.errors import ProviderError
from providers.http import HttpClient
from providers.provider import ProviderSettings
from providers.stt import deepgram_flux, deepgram_nova
from providers.stt.remote import SttWire
from providers.tts import deepgram_aura
from providers.tts.deepgram_voices import FAMILIES, voices_of
from providers.websockets import connect
from tests.fakes.deepgram_api import FakeDeepgram
from tests.fakes.hearing import say

SENT: dict[str, dict[str, type[BaseModel]]] = {
    "/v1/listen": {
        "Finalize": ListenV1Finalize,
        "CloseStream": ListenV1CloseStream,
        "KeepAlive": ListenV1KeepAlive,
    },
    "/v2/listen": {"ForceEndTurn": ListenV2ForceEndTurn, "CloseStream": ListenV2CloseStream},
    "/v1/speak": {"Speak": SpeakV1Text, "Flush": SpeakV1Flush, "Clear": SpeakV1Clear},
}
UNTYPED = ("no_delay", "filler_words")  # documented, but this client has no names for them
HINTS = SttOptions(
    languages=("de", "en"),
    keywords=("Ada",),
    delay="low",
    settings={"numerals": True, "profanity_filter": True, "filler_words": True},
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeDeepgram]:
    async with FakeDeepgram() as fake:
        yield fake


async def listen(stt: Stt) -> None:
    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello there.", rate=stt.sample_rate)

    async for _ in stt.transcribe(audio(), HINTS):
        pass


# The client's own: it prefers the older part of the `websockets` package.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_all_that_is_sent_is_known_to_the_official_client(fake: FakeDeepgram) -> None:
    async def text() -> AsyncIterator[str]:
        yield "Hello."

    table = {"base_url": fake.base_url, "mip_opt_out": True, "tags": ["a"]}
    lab = DeepgramProvider(ProviderSettings("lab", table, fake.api_key))
    for model in ("nova-3", "nova-2", "flux-general-multi"):
        await listen(lab.stt(model))
    async for _ in lab.tts("aura-2-thalia-en").speak(text(), TtsOptions("any", 1.2)):
        pass
    await lab.aclose()

    official = AsyncDeepgramClient(api_key="k")
    connects = {
        "/v1/listen": official.listen.v1.connect,
        "/v2/listen": official.listen.v2.connect,
        "/v1/speak": official.speak.v1.connect,
    }
    assert len(fake.exchanges) == 4
    for exchange in fake.exchanges:
        known = inspect.signature(connects[exchange.path]).parameters
        assert set(exchange.query) <= {*known, *UNTYPED}
        assert exchange.texts
        for message in exchange.texts:
            assert not SENT[exchange.path][message["type"]].model_validate(message).model_extra


def literals(union: Any) -> set[str]:
    """The strings of a union of a literal and whatever else may come."""
    return set(union.__args__[0].__args__)


def test_models_and_voices_are_those_of_the_official_client() -> None:
    listed = {model.id for model in DeepgramProvider(ProviderSettings("lab", {}, "k")).models()}

    assert {model for model in listed if model.startswith("flux")} == literals(ListenV2Model)
    assert {voice.id for family in FAMILIES for voice in voices_of(family)} == literals(SpeakV1Model)


# --- Any message at all ----------------------------------------------------------------------------------

KINDS = (
    "Results",
    "UtteranceEnd",
    "Metadata",
    "Error",
    "TurnInfo",
    "Connected",
    "Warning",
    "Flushed",
    "Cleared",
)
MEMBERS = (
    *(
        "channel",
        "alternatives",
        "transcript",
        "start",
        "duration",
        "is_final",
        "speech_final",
        "from_finalize",
    ),
    *(
        "languages",
        "event",
        "audio_window_end",
        "end_of_turn_confidence",
        "code",
        "description",
        "error_code",
    ),
)
EVENTS = ("StartOfTurn", "Update", "EagerEndOfTurn", "TurnResumed", "EndOfTurn")
VALUES = (None, True, False, 0, -1, 2.5, 1e300, float("nan"), "", "x", "EndOfTurn", "StartOfTurn", "ja")


def anything(dice: random.Random, depth: int = 0) -> Any:
    """Some JSON, now and then almost as it should be."""
    roll = dice.random()
    if depth > 2 or roll < 0.5:
        return dice.choice(VALUES)
    if roll < 0.6:
        return [anything(dice, depth + 1) for _ in range(dice.randrange(3))]
    names = dice.sample(MEMBERS, dice.randrange(4))
    return {name: anything(dice, depth + 1) for name in names}


def message(dice: random.Random) -> dict[str, Any] | bytes:
    if dice.random() < 0.05:
        return dice.randbytes(dice.randrange(9))
    whole = {name: anything(dice) for name in MEMBERS if dice.random() < 0.5}
    plausible = {
        "channel": {"alternatives": [{"transcript": anything(dice), "languages": anything(dice)}]},
        "transcript": dice.choice(("", "so it", "So it is.", None)),
        "is_final": dice.random() < 0.5,
        "start": 0.5,
        "duration": 1.0,
        "audio_window_end": 1.5,
        "event": dice.choice(EVENTS),
    }
    whole |= {name: value for name, value in plausible.items() if dice.random() < 0.8}
    return {"type": dice.choice((*KINDS, anything(dice))), **whole}


async def wires(fake: FakeDeepgram) -> AsyncIterator[tuple[str, Any]]:
    http = HttpClient("lab", fake.base_url, headers={"Authorization": f"Token {fake.api_key}"})
    nova = deepgram_nova.nova_query("nova-3", deepgram_nova.NovaSettings(), SttOptions())
    flux = deepgram_flux.flux_query("flux-general-multi", deepgram_flux.FluxSettings(), SttOptions())
    listening: list[SttWire] = [deepgram_nova._Wire(http, nova, 60.0), deepgram_flux._Wire(http, flux)]
    for wire in listening:
        socket = await wire.open()
        yield type(wire).__module__, wire
        await wire.finish(socket)
        yield type(wire).__module__, wire
        await socket.aclose()
    query = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": "24000"}
    socket = await connect(http, "/v1/speak", params=query)
    voice = deepgram_aura._Wire(WeakKeyDictionary())
    await voice.begin(socket)
    await voice.send(socket, "Hello.")
    yield "aura", voice
    await voice.finish(socket)
    yield "aura", voice
    await socket.aclose()
    await http.aclose()


def readings(wire: Any, dice: random.Random) -> Iterator[Any]:
    for _ in range(1000):
        try:
            yield from wire.read(message(dice))
        except ProviderError as error:
            yield error


async def test_whatever_comes_is_read_or_refused_in_our_own_words(fake: FakeDeepgram) -> None:
    dice = random.Random(7)
    async for name, wire in wires(fake):
        kinds = {type(reading).__name__ for reading in readings(wire, dice)}
        expected = {"Pcm", "OverloadedError"} if name == "aura" else {"Settled", "Guessed", "BadAnswerError"}
        assert expected <= kinds, (name, kinds)
