"""The fake of AssemblyAI, driven by the official client, and held to its types."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    StreamingClientOptions,
    StreamingError,
    StreamingEvents,
    StreamingParameters,
    TerminationEvent,
    TurnEvent,
)
from assemblyai.streaming.v3.models import SpeechModel, StreamingSessionParameters

from tests.fakes.assemblyai_api import FakeAssemblyAI
from tests.fakes.hearing import in_pieces, say
from tests.fakes.websocket import Plan

RATE = 16_000


@pytest.fixture
async def fake() -> AsyncIterator[FakeAssemblyAI]:
    async with FakeAssemblyAI() as fake:
        yield fake


class Heard:
    """What the official client tells."""

    def __init__(self, fake: FakeAssemblyAI, key: str | None = None) -> None:
        self.events: list[Any] = []
        self.failed = asyncio.Event()
        options = StreamingClientOptions(
            api_host=fake.base_url.replace("http", "ws"), api_key=key or fake.api_key, connect_timeout=5
        )
        self.client = AsyncStreamingClient(options)
        for kind in StreamingEvents:
            self.client.on(kind, self.note)

    def note(self, client: Any, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, StreamingError):
            self.failed.set()

    async def listen(self, model: SpeechModel, pcm: bytes, **parameters: Any) -> None:
        await self.client.connect(StreamingParameters(sample_rate=RATE, speech_model=model, **parameters))
        whole = pcm + bytes(-len(pcm) % (RATE // 10))  # in pieces of 50 ms
        await self.client.stream(in_pieces(whole, rate=RATE))
        await self.client.disconnect(terminate=True)

    @property
    def kinds(self) -> list[str]:
        return [getattr(event, "type", type(event).__name__) for event in self.events]

    @property
    def ended(self) -> list[str]:
        return [
            event.transcript for event in self.events if isinstance(event, TurnEvent) and event.end_of_turn
        ]


async def test_universal_streaming_says_an_ended_turn_twice(fake: FakeAssemblyAI) -> None:
    heard = Heard(fake)
    speech = say("Hello there.", rate=RATE) + say("Bye.", rate=RATE)

    await heard.listen(SpeechModel.universal_streaming_english, speech, format_turns=True)

    assert heard.ended == ["hello there", "Hello there.", "bye", "Bye."]
    assert heard.kinds[0] == "Begin"
    assert isinstance(heard.events[-1], TerminationEvent)
    turns = [event for event in heard.events if isinstance(event, TurnEvent)]
    assert [turn.turn_order for turn in turns] == sorted(turn.turn_order for turn in turns)
    assert [word.text for word in turns[-1].words] == ["Bye."]


async def test_words_of_universal_streaming_are_revised_until_they_are_final(fake: FakeAssemblyAI) -> None:
    heard = Heard(fake)

    await heard.listen(SpeechModel.universal_streaming_english, say("Wonderful day.", rate=RATE))

    turns = [event for event in heard.events if isinstance(event, TurnEvent)]
    assert [(word.text, word.word_is_final) for word in turns[0].words] == [("wo", False)]
    assert turns[0].transcript == ""
    assert heard.ended == ["wonderful day"]


async def test_later_models_say_a_turn_once_and_when_speech_starts(fake: FakeAssemblyAI) -> None:
    heard = Heard(fake)
    speech = say("One two three four five.", rate=RATE)

    await heard.listen(SpeechModel.u3_rt_pro, speech, prompt="Numbers.", keyterms_prompt=["five"])

    assert heard.kinds[:2] == ["Begin", "SpeechStarted"]
    assert heard.ended == ["One two three four five."]
    exchange = await fake.exchange(0)
    assert exchange.query["prompt"] == "Numbers."
    assert exchange.query["keyterms_prompt"] == '["five"]'


async def test_a_turn_can_be_forced_to_end(fake: FakeAssemblyAI) -> None:
    heard = Heard(fake)
    parameters = StreamingParameters(sample_rate=RATE, speech_model=SpeechModel.u3_rt_pro)

    await heard.client.connect(parameters)
    await heard.client.set_params(StreamingSessionParameters(max_turn_silence=2000))
    await heard.client.stream(say("and then", rate=RATE))
    await heard.client.force_endpoint()
    await heard.client.keep_alive()
    await heard.client.disconnect(terminate=True)

    assert heard.ended == ["and then"]


async def test_a_script_is_heard_in_any_audio(fake: FakeAssemblyAI) -> None:
    fake.script(Plan(("Good morning.", "Nice to meet you.")))
    heard = Heard(fake)

    await heard.listen(SpeechModel.u3_rt_pro, bytes(2 * RATE))

    assert heard.ended == ["Good morning.", "Nice to meet you."]


async def test_a_wrong_key_is_refused(fake: FakeAssemblyAI) -> None:
    heard = Heard(fake, key="wrong")

    await heard.client.connect(
        StreamingParameters(sample_rate=RATE, speech_model=SpeechModel.universal_streaming_english)
    )

    [error] = heard.events
    assert isinstance(error, StreamingError)
    assert error.code == 401


@pytest.mark.parametrize(
    ("pcm", "parameters", "code"),
    [
        (bytes(100), {}, 3007),
        (bytes(2 * 2 * RATE), {}, 3007),
        (b"", {"prompt": "x"}, 3006),
        (b"", {"language_codes": ["en"] * 11}, 3006),
    ],
)
async def test_what_the_service_refuses_is_refused(
    fake: FakeAssemblyAI, pcm: bytes, parameters: dict[str, Any], code: int
) -> None:
    heard = Heard(fake)
    model = (
        SpeechModel.u3_rt_pro if "language_codes" in parameters else SpeechModel.universal_streaming_english
    )

    await heard.client.connect(StreamingParameters(sample_rate=RATE, speech_model=model, **parameters))
    if pcm:
        await heard.client.stream(pcm)
    await asyncio.wait_for(heard.failed.wait(), 5)
    await heard.client.disconnect()

    assert [event.code for event in heard.events if isinstance(event, StreamingError)] == [code]
