"""Transcription by AssemblyAI: turns that become one utterance, parameters, failures, broken connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from assemblyai.streaming.v3 import AsyncStreamingClient, StreamingParameters

from providers.assemblyai import AssemblyAIProvider
from providers.contracts import (
    EndOfTurn,
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
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
    UnknownModelError,
)
from providers.provider import ProviderSettings
from providers.stt.assemblyai import RATE, query
from tests.fakes.assemblyai_api import FakeAssemblyAI, query_problem
from tests.fakes.hearing import in_pieces, say, silence
from tests.fakes.websocket import (
    Cut,
    Fault,
    Garbage,
    Hesitate,
    Line,
    NoHandshake,
    Plan,
    Refusal,
    Stall,
)

LATER, ENGLISH, MULTI = "u3-rt-pro", "universal-streaming-english", "universal-streaming-multilingual"
SPEECH = say("Hello there. How are you?", rate=RATE)


@pytest.fixture
async def fake() -> AsyncIterator[FakeAssemblyAI]:
    async with FakeAssemblyAI() as fake:
        yield fake
    for exchange in fake.exchanges:
        for message in exchange.sent:
            assert isinstance(message, dict)
            assert AsyncStreamingClient._parse_message(message) is not None


def provider(fake: FakeAssemblyAI, key: str | None = None, **options: Any) -> AssemblyAIProvider:
    table = {"base_url": fake.base_url, "connect_timeout": 2.0, "first_byte_timeout": 2.0, **options}
    return AssemblyAIProvider(ProviderSettings("lab", table, key or fake.api_key))


async def spoken(pcm: bytes, seconds: float = 0.02) -> AsyncIterator[bytes]:
    for piece in in_pieces(pcm, rate=RATE, seconds=seconds):
        yield piece
        await asyncio.sleep(0)


async def hear(
    fake: FakeAssemblyAI,
    pcm: bytes = SPEECH,
    model: str = LATER,
    options: SttOptions | None = None,
    **settings: Any,
) -> list[SttEvent]:
    lab = provider(fake, **settings)
    try:
        async with asyncio.timeout(10):
            events = lab.stt(model).transcribe(spoken(pcm), options or SttOptions())
            return [event async for event in events]
    finally:
        await lab.aclose()


def deltas(events: list[SttEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TranscriptDelta)]


def guesses(events: list[SttEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TranscriptGuess)]


def opinions(events: list[SttEvent]) -> list[float]:
    return [event.probability for event in events if isinstance(event, EndOfTurn)]


def final(events: list[SttEvent]) -> str:
    [last] = [event for event in events if isinstance(event, TranscriptFinal)]
    assert events[-1] is last
    assert "".join(deltas(events)).strip() == last.text
    return last.text


@pytest.mark.parametrize("model", [LATER, ENGLISH, MULTI])
async def test_turns_of_one_utterance_are_joined_and_counted_once(fake: FakeAssemblyAI, model: str) -> None:
    events = await hear(fake, model=model)

    assert final(events) == "Hello there. How are you?"
    assert deltas(events) == ["Hello there.", " How are you?"]
    exchange = await fake.exchange(0)
    assert exchange.texts == [{"type": "ForceEndpoint"}, {"type": "Terminate"}]
    assert exchange.headers["authorization"] == fake.api_key
    assert exchange.headers["assemblyai-version"] == "2025-05-12"


async def test_guesses_grow_with_words_that_may_still_change(fake: FakeAssemblyAI) -> None:
    told = guesses(await hear(fake, say("Wonderful day.", rate=RATE), ENGLISH))

    assert told[0] == "wo"
    assert "wonderful da" in told
    assert told.index("wonderful") < told.index("wonderful da")
    assert told[-1] == "wonderful day"


async def test_a_guess_holds_the_whole_utterance(fake: FakeAssemblyAI) -> None:
    told = guesses(await hear(fake, say("Hello there. One two three four five.", rate=RATE)))

    assert "Hello there. One two three fo" in told


async def test_words_that_never_change_need_not_wait_for_punctuation(fake: FakeAssemblyAI) -> None:
    events = await hear(fake, model=ENGLISH, format_turns=False)

    assert final(events) == "hello there how are you"
    assert deltas(events)[:2] == ["hello", " there"]
    assert (await fake.exchange(0)).query["format_turns"] == "false"


@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_the_end_of_a_turn_is_told_and_taken_back(fake: FakeAssemblyAI, model: str) -> None:
    told = opinions(await hear(fake, say("Hello there. And", rate=RATE), model))

    assert told[0] == 0.9
    assert told[-1] < 0.1


async def test_a_forced_end_is_no_opinion(fake: FakeAssemblyAI) -> None:
    events = await hear(fake, say("and then we", rate=RATE))

    assert final(events) == "and then we"
    assert opinions(events) == []


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_silence_gives_an_empty_text(fake: FakeAssemblyAI, model: str, answers: bool) -> None:
    fake.answers_silence = answers

    assert await hear(fake, silence(0.5, rate=RATE), model) == [TranscriptFinal("")]


async def test_no_audio_asks_nobody(fake: FakeAssemblyAI) -> None:
    assert await hear(fake, b"") == [TranscriptFinal("")]
    assert fake.exchanges == []


async def test_audio_is_sent_in_pieces_that_the_service_takes(fake: FakeAssemblyAI) -> None:
    await hear(fake, SPEECH[:-1000])

    sizes = [len(message) for message in (await fake.exchange(0)).received if isinstance(message, bytes)]
    assert min(sizes) >= RATE // 10
    assert max(sizes) <= 2 * RATE


async def test_languages_are_those_of_the_turns(fake: FakeAssemblyAI) -> None:
    fake.language = "fr"
    events = await hear(fake, model=MULTI)

    assert isinstance(events[-1], TranscriptFinal)
    assert events[-1].languages == ("fr",)


# --- Parameters ------------------------------------------------------------------------------------------


def asked(model: str, formats: bool = True, **options: Any) -> dict[str, str]:
    values = query(model, SttOptions(**options), formats=formats)
    assert query_problem(values) is None
    read = {name: json.loads(value) if value[0] == "[" else value for name, value in values.items()}
    if model != "whisper-rt":
        assert StreamingParameters.model_validate(read).model_dump(exclude_none=True).keys() == values.keys()
    assert values.pop("speech_model") == model
    assert values.pop("sample_rate") == str(RATE)
    assert values.pop("encoding") == "pcm_s16le"
    return values


def test_every_hint_goes_where_the_model_takes_it() -> None:
    hints: dict[str, Any] = {
        "prompt": "A call about trains.",
        "keywords": ("Ada", "Zug", "x" * 51),
        "languages": ("en-GB", "de_DE", "en"),
        "delay": "low",
    }

    assert asked(LATER, **hints) == {
        "prompt": "A call about trains.",
        "keyterms_prompt": '["Ada","Zug"]',
        "language_codes": '["en","de"]',
        "continuous_partials": "true",
        "mode": "min_latency",
    }
    assert asked(ENGLISH, **hints) == {
        "keyterms_prompt": '["Ada","Zug"]',
        "format_turns": "true",
        "min_turn_silence": "240",
    }
    assert asked(MULTI, formats=False, language="de") == {
        "format_turns": "false",
        "language_detection": "true",
    }
    assert asked("whisper-rt", **hints) == {"keyterms_prompt": '["Ada","Zug"]'}


def test_settings_of_the_client_are_checked() -> None:
    good = {"vad_threshold": 0.6, "endOfTurnConfidenceThreshold": 0.7, "min_end_of_turn_silence": 300}
    bad = {"vad_threshold": "loud", "end_of_turn_confidence_threshold": 7, "max_turn_silence": True}

    assert asked(ENGLISH, settings=good, delay="xhigh") == {
        "format_turns": "true",
        "vad_threshold": "0.6",
        "end_of_turn_confidence_threshold": "0.7",
        "min_turn_silence": "300",
    }
    assert asked(ENGLISH, settings=bad) == {"format_turns": "true"}
    assert asked(LATER, settings=good) == {
        "continuous_partials": "true",
        "vad_threshold": "0.6",
        "min_turn_silence": "300",
    }


def test_the_longest_pause_is_never_below_the_shortest() -> None:
    values = asked(LATER, settings={"min_end_of_turn_silence": 1500})

    assert values["max_turn_silence"] == values["min_turn_silence"] == "1500"


def test_what_travels_in_the_address_is_bounded() -> None:
    values = asked(
        LATER,
        prompt="x" * 9000,
        keywords=tuple(f"term{n}" for n in range(200)),
        languages=tuple("abcdefghijklm"),
    )

    assert len(values["prompt"]) == 1500
    assert len(json.loads(values["keyterms_prompt"])) == 100
    assert len(json.loads(values["language_codes"])) == 10


# --- Failures --------------------------------------------------------------------------------------------


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
        (NoHandshake(), TimedOutError),
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
    error = await failure(fake, connect_timeout=0.3, first_byte_timeout=0.3)

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


async def test_a_service_that_is_not_there_is_told_at_once() -> None:
    lab = AssemblyAIProvider(ProviderSettings("lab", {"base_url": "http://127.0.0.1:1"}, "k"))
    with pytest.raises(ConnectionFailedError):
        async for _ in lab.stt(LATER).transcribe(spoken(SPEECH), SttOptions()):
            pass
    await lab.aclose()


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


# --- Broken connections ----------------------------------------------------------------------------------


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


# --- The provider ----------------------------------------------------------------------------------------


async def test_a_warm_connection_is_used(fake: FakeAssemblyAI) -> None:
    lab = provider(fake)
    stt = lab.stt(LATER)
    await stt.warm()  # type: ignore[attr-defined]

    async with asyncio.timeout(10):
        events = [event async for event in stt.transcribe(spoken(SPEECH), SttOptions())]
    await lab.aclose()
    assert final(events) == "Hello there. How are you?"


async def test_utterances_at_once_do_not_mix(fake: FakeAssemblyAI) -> None:
    texts = [f"Number {word} is here." for word in ("one", "two", "three", "four")]
    lab = provider(fake)

    async def one(text: str) -> str:
        events = lab.stt(LATER).transcribe(spoken(say(text, rate=RATE)), SttOptions())
        return final([event async for event in events])

    async with asyncio.timeout(10):
        assert await asyncio.gather(*map(one, texts)) == texts
    assert fake.most_open == 4
    await lab.aclose()


async def test_models_are_listed_and_engines_kept() -> None:
    lab = AssemblyAIProvider(ProviderSettings("lab", {"base_url": "wss://127.0.0.1:1"}))

    assert [model.id for model in lab.models()] == [LATER, MULTI, ENGLISH]
    assert all(model.kind == "stt" and model.languages for model in lab.models())
    engines = [lab.stt(f"model-{number}") for number in range(70)]
    assert lab.stt("model-69") is engines[69]
    assert lab.stt("model-0") is not engines[0]
    assert all(one is not other for one, other in pairwise(engines))
    with pytest.raises(UnknownModelError):
        lab.stt(" ")


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"base_ur": "x"}, "k", "did you mean 'base_url'"),
        ({"base_url": "ftp://x"}, "k", "base_url"),
        ({"final_timeout": 0}, "k", "final_timeout"),
        ({}, "ключ", "characters that no key has"),
    ],
)
def test_mistakes_in_the_settings_are_named(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AssemblyAIProvider(ProviderSettings("lab", options, key))
