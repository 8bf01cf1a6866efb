"""Transcription by AssemblyAI when something fails: what is told, and what is made good."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    SttEvent,
    SttOptions,
    TranscriptDelta,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.stt.assemblyai import RATE
from tests.fakes.assemblyai_api import FakeAssemblyAI
from tests.fakes.hearing import in_pieces, say
from tests.fakes.websocket import (
    Cut,
    Fault,
    Garbage,
    Hesitate,
    Line,
    Plan,
    Refusal,
    Stall,
)
from tests.providers import assemblyai_lab
from tests.providers.assemblyai_lab import ENGLISH, LATER, SPEECH, hear, provider
from tests.providers.hearing import final

fake = assemblyai_lab.fake


async def failure(fake: FakeAssemblyAI, pcm: bytes = SPEECH, **settings: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await hear(fake, pcm, **settings)
    assert "fake-key" not in str(caught.value)
    assert caught.value.provider == "lab"
    return caught.value


@pytest.mark.parametrize("late", [True, False])
async def test_a_wrong_key_is_an_authentication_error(fake: FakeAssemblyAI, late: bool) -> None:
    fake.refuses_late = late
    error = await failure(fake, key="fake-key-wrong")

    assert isinstance(error, AuthenticationError)
    assert len(fake.exchanges) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refusal(429, {"error": "slow"}, retry_after=7), RateLimitError),
        (Refusal(503), OverloadedError),
        (Refusal(400), InvalidRequestError),
        (Refusal(200), BadAnswerError),
        (Stall(), TimedOutError),
        (Garbage(), BadAnswerError),
        (Garbage(data="[]"), BadAnswerError),
        (Garbage(data=b"\x00"), BadAnswerError),
        (Cut(sent=1, code=4001), AuthenticationError),
        (Cut(sent=1, code=3009), RateLimitError),
        (Cut(sent=1, code=4029), RateLimitError),
        (Cut(sent=1, code=3006, reason="Invalid"), InvalidRequestError),
        (Cut(heard=1, code=4002), AuthenticationError),
    ],
)
async def test_each_failure_is_told_as_what_it_is(
    fake: FakeAssemblyAI, fault: Fault, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, fault))
    short: dict[str, Any] = {"first_byte_timeout": 0.2} if kind is TimedOutError else {}
    error = await failure(fake, **short)

    assert type(error) is kind
    assert len(fake.exchanges) == 1
    if isinstance(fault, Refusal) and fault.retry_after:
        assert isinstance(error, RateLimitError)
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("code", "kind"),
    [(3009, RateLimitError), (4102, RateLimitError), (4029, RateLimitError), (1008, AuthenticationError)],
)
async def test_errors_of_a_session_are_told(
    fake: FakeAssemblyAI, code: int, kind: type[ProviderError]
) -> None:
    fake.script(Plan(code))

    assert type(await failure(fake)) is kind


async def test_an_unknown_model_is_an_invalid_request(fake: FakeAssemblyAI) -> None:
    error = await failure(fake, model="universal-9")

    assert isinstance(error, InvalidRequestError)
    assert "Invalid speech_model: universal-9" in str(error)


async def test_a_session_that_does_not_begin_is_a_bad_answer(fake: FakeAssemblyAI) -> None:
    warning = json.dumps({"type": "Warning", "warning_code": 1, "warning": "Soon."})
    fake.script(Plan(None, *[Garbage(data=warning)] * 3), Plan(None, *[Garbage(data=warning)] * 9))

    assert final(await hear(fake)) == "Hello there. How are you?"
    assert isinstance(await failure(fake), BadAnswerError)


async def test_a_text_that_does_not_come_is_late(fake: FakeAssemblyAI) -> None:
    fake.script(Plan(None, Stall(sent=2)))

    assert isinstance(await failure(fake, final_timeout=0.1), TimedOutError)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "Turn"},
        {"type": "Turn", "turn_order": "0", "transcript": "x"},
        {"type": "Turn", "turn_order": 0, "transcript": None},
        {"type": "Turn", "turn_order": True, "transcript": ["x"]},
    ],
)
async def test_a_turn_of_no_shape_is_a_bad_answer(fake: FakeAssemblyAI, message: dict[str, Any]) -> None:
    fake.script(Plan(None, Garbage(sent=1, data=json.dumps(message))))

    assert isinstance(await failure(fake), BadAnswerError)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": {"x": 1}},
        {"type": "Warning", "warning_code": 1, "warning": "deprecated"},
        {"type": "Heartbeat", "total_audio_received_ms": 1},
        {"type": "SpeechStarted"},
        {"type": "Termination"},
        {"type": "Turn", "turn_order": 0, "transcript": "", "words": {"a": 1}, "end_of_turn": "yes"},
        {"type": "Turn", "turn_order": 0, "transcript": "", "words": [1, None, {"end": "x"}, {"text": 5}]},
        {"type": "Turn", "turn_order": 0, "transcript": "", "end_of_turn_confidence": "high"},
        {
            "type": "Turn",
            "turn_order": 0,
            "transcript": "",
            "end_of_turn_confidence": 1e99,
            "language_code": 5,
        },
    ],
)
@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_odd_messages_do_no_harm(fake: FakeAssemblyAI, message: dict[str, Any], model: str) -> None:
    fake.script(Plan(None, Garbage(sent=1, data=json.dumps(message))))

    assert final(await hear(fake, model=model)) == "Hello there. How are you?"


@pytest.mark.parametrize(
    "message", [{"error": "boom"}, {"type": "Error"}, {"type": "Error", "error_code": "x", "error": {"a": 1}}]
)
async def test_an_error_without_a_code_is_the_fault_of_the_service(
    fake: FakeAssemblyAI, message: dict[str, Any]
) -> None:
    faults = [Plan(None, Garbage(sent=1, data=json.dumps(message))) for _ in range(3)]
    fake.script(*faults)

    assert isinstance(await failure(fake), OverloadedError)


@pytest.mark.parametrize("code", [1006, 1011, 1001, 3005, 3008, 4031, 4103, 1013])
@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_a_connection_that_dies_loses_and_doubles_nothing(
    fake: FakeAssemblyAI, model: str, code: int
) -> None:
    text = "Hello there. One two three four. Five six."
    fake.script(Plan(None, Cut(sent=12 if model == ENGLISH else 6, code=code)))
    events = await hear(fake, say(text, rate=RATE), model)

    assert final(events) == text
    assert len(fake.exchanges) == 2


async def test_what_was_settled_is_not_sent_again(fake: FakeAssemblyAI) -> None:
    settled = asyncio.Event()
    fake.script(Plan(None, Cut(heard=4, code=1011)))
    lab = provider(fake)

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello there.", rate=RATE)
        await settled.wait()
        for piece in in_pieces(say("Bye now.", rate=RATE), rate=RATE, seconds=0.2):
            yield piece
            await asyncio.sleep(0.01)

    heard: list[SttEvent] = []
    async with asyncio.timeout(10):
        async for event in lab.stt(LATER).transcribe(audio(), SttOptions()):
            heard.append(event)
            if isinstance(event, TranscriptDelta):
                settled.set()
    await lab.aclose()

    assert final(heard) == "Hello there. Bye now."
    again = fake.exchanges[1].audio
    assert 0 < len(again) < len(say("Hello there. Bye now.", rate=RATE))
    assert len(fake.exchanges) == 2


async def test_a_connection_that_dies_at_the_end_is_replaced_too() -> None:
    class Fragile(FakeAssemblyAI):
        async def obey(self, line: Line, message: dict[str, Any]) -> None:
            if message["type"] == "ForceEndpoint" and len(self.exchanges) == 1:
                await line.close(1011)

    async with Fragile() as fake:
        assert final(await hear(fake, say("Hello there. One two", rate=RATE))) == "Hello there. One two"
        assert len(fake.exchanges) == 2
        assert [exchange.texts[0] for exchange in fake.exchanges] == [{"type": "ForceEndpoint"}] * 2


async def test_a_service_that_keeps_dying_is_given_up(fake: FakeAssemblyAI) -> None:
    fake.script(*(Plan(None, Cut(heard=1, code=1011)) for _ in range(5)))

    assert isinstance(await failure(fake), ConnectionFailedError)
    assert len(fake.exchanges) == 3


async def test_audio_waits_for_a_slow_beginning(fake: FakeAssemblyAI) -> None:
    begins = asyncio.Event()
    fake.script(Plan(None, Hesitate(until=begins)))
    task = asyncio.create_task(hear(fake))
    exchange = await fake.exchange(0)
    assert exchange.received == []
    begins.set()

    assert final(await task) == "Hello there. How are you?"


async def test_closing_early_leaves_no_task_and_no_socket(fake: FakeAssemblyAI) -> None:
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello there.", rate=RATE)
        await endless.wait()

    lab = provider(fake)
    before = asyncio.all_tasks()
    async with aclosing(lab.stt(LATER).transcribe(audio(), SttOptions())) as events:
        await anext(events)
    names = [task.get_name() for task in asyncio.all_tasks() - before]

    await asyncio.wait_for(fake.all_closed(), 5)
    assert [name for name in names if "stt" in name or "provider" in name] == []
    await lab.aclose()
