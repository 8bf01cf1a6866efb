"""Transcription by Soniox: tokens that become one utterance, configuration, failures, broken connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from soniox.types.realtime import RealtimeEvent, RealtimeSTTConfig

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
from providers.soniox import SonioxProvider
from providers.stt.soniox import RATE, config
from tests.fakes.hearing import in_pieces, say, silence
from tests.fakes.soniox_api import FakeSoniox, config_problem
from tests.fakes.websocket import Cut, Fault, Garbage, Hesitate, NoHandshake, Plan, Refusal, Stall

V4, V5 = "stt-rt-v4", "stt-rt-v5"
SPEECH = say("Hello there. How are you?", rate=RATE)


@pytest.fixture
async def fake() -> AsyncIterator[FakeSoniox]:
    async with FakeSoniox() as fake:
        yield fake
    for exchange in fake.exchanges:
        for message in exchange.sent:
            assert isinstance(message, dict)
            assert RealtimeEvent.model_validate(message).model_extra == {}


def provider(fake: FakeSoniox, key: str | None = None, **options: Any) -> SonioxProvider:
    table = {"base_url": fake.base_url, "connect_timeout": 2.0, **options}
    return SonioxProvider(ProviderSettings("lab", table, key or fake.api_key))


async def spoken(pcm: bytes, seconds: float = 0.02) -> AsyncIterator[bytes]:
    for piece in in_pieces(pcm, rate=RATE, seconds=seconds):
        yield piece
        await asyncio.sleep(0)


async def hear(
    fake: FakeSoniox,
    pcm: bytes = SPEECH,
    model: str = V4,
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


async def test_tokens_settle_as_they_become_final(fake: FakeSoniox) -> None:
    events = await hear(fake, say("One two three four five six seven. Bye.", rate=RATE))

    assert final(events) == "One two three four five six seven. Bye."
    assert deltas(events)[:3] == ["One", " two", " three"]
    exchange = await fake.exchange(0)
    assert exchange.texts[1:] == [{"type": "finalize"}, ""]
    assert exchange.received[0] == exchange.texts[0]
    assert exchange.headers["authorization"] == f"Bearer {fake.api_key}"
    assert fake.api_key not in json.dumps(exchange.texts)


async def test_a_guess_holds_the_whole_utterance(fake: FakeSoniox) -> None:
    told = guesses(await hear(fake, say("Hello there. One two three four five.", rate=RATE)))

    assert told[0] == "H"
    assert "Hello there. One two three fo" in told


async def test_the_end_of_a_turn_is_told_and_taken_back(fake: FakeSoniox) -> None:
    events = await hear(fake)

    assert opinions(events) == [1.0, 0.0, 1.0]
    assert "<" not in final(events)


async def test_a_forced_end_is_no_opinion(fake: FakeSoniox) -> None:
    events = await hear(fake, say("and then we", rate=RATE))

    assert final(events) == "and then we"
    assert opinions(events) == []


@pytest.mark.parametrize("marks", [True, False])
async def test_silence_gives_an_empty_text(fake: FakeSoniox, marks: bool) -> None:
    fake.marks_silence = marks

    assert await hear(fake, silence(0.5, rate=RATE)) == [TranscriptFinal("")]


async def test_no_audio_asks_nobody(fake: FakeSoniox) -> None:
    assert await hear(fake, b"") == [TranscriptFinal("")]
    assert fake.exchanges == []


async def test_languages_are_those_of_the_tokens(fake: FakeSoniox) -> None:
    fake.language = "fr"
    last = (await hear(fake))[-1]
    told = (await hear(fake, options=SttOptions(language="fr-FR")))[-1]

    assert isinstance(last, TranscriptFinal)
    assert last.languages == ("fr",)
    assert isinstance(told, TranscriptFinal)
    assert told.languages is None


def tokens(*texts: str, final: bool = True) -> str:
    return json.dumps({"tokens": [{"text": text, "is_final": final} for text in texts]})


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("Hello.", "Bye.", "Hello. Bye."),
        ("Hello.", " Bye.", "Hello. Bye."),
        ("你好。", "再见。", "你好。再见。"),
        ("안녕.", "네.", "안녕. 네."),
    ],
)
async def test_turns_are_joined_as_the_language_writes(
    fake: FakeSoniox, first: str, second: str, joined: str
) -> None:
    said = [Garbage(0, tokens(first, "<end>")), Garbage(0, tokens(second, "<end>"))]
    fake.script(Plan((), *said))

    assert final(await hear(fake)) == joined


async def test_translations_are_no_part_of_the_text(fake: FakeSoniox) -> None:
    token = {"text": "Hallo", "is_final": True, "translation_status": "translation"}
    fake.script(Plan(("Hello.",), Garbage(0, json.dumps({"tokens": [token]}))))

    assert final(await hear(fake)) == "Hello."


async def test_a_quiet_connection_is_kept_alive(fake: FakeSoniox) -> None:
    fake.idle_s = 0.5
    lab = provider(fake, keep_alive_interval=0.02)

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello", rate=RATE)
        exchange = await fake.exchange(0)
        await exchange.until(lambda: exchange.texts.count({"type": "keepalive"}) >= 3)
        yield say("there.", rate=RATE)

    async with asyncio.timeout(10):
        events = [event async for event in lab.stt(V4).transcribe(audio(), SttOptions())]
    await lab.aclose()
    assert final(events) == "Hello there."


# --- The configuration -----------------------------------------------------------------------------------


def asked(model: str = V4, **options: Any) -> dict[str, Any]:
    values = config(model, SttOptions(**options))
    assert config_problem(values) is None
    RealtimeSTTConfig.model_validate(values)
    assert RealtimeSTTConfig.model_fields.keys() >= values.keys()
    constant = {
        "model": model,
        "audio_format": "pcm_s16le",
        "sample_rate": RATE,
        "num_channels": 1,
        "enable_endpoint_detection": True,
    }
    assert constant.items() <= values.items()
    return {name: value for name, value in values.items() if name not in constant}


def test_every_hint_goes_to_its_field() -> None:
    assert asked() == {"enable_language_identification": True}
    assert asked(language="en-GB", prompt="Trains.", keywords=("Ada", "Zug"), delay="low") == {
        "enable_language_identification": False,
        "language_hints": ["en"],
        "language_hints_strict": True,
        "max_endpoint_delay_ms": 1000,
        "context": {"text": "Trains.", "terms": ["Ada", "Zug"]},
    }
    assert asked(languages=("de_CH", "fr", "de", "yue"), delay="medium") == {
        "enable_language_identification": True,
        "language_hints": ["de", "fr"],
        "language_hints_strict": False,
    }


def test_settings_of_the_client_are_checked() -> None:
    good = {
        "languageHints": ["it"],
        "language_hints_strict": False,
        "max_turn_silence": 700,
        "end_of_turn_confidence_threshold": 0.75,
    }
    bad = {"language_hints": [1, "xyz"], "max_turn_silence": 9000, "end_of_turn_confidence_threshold": "x"}
    wanted = {
        "enable_language_identification": False,
        "language_hints": ["it"],
        "language_hints_strict": False,
        "max_endpoint_delay_ms": 700,
    }

    assert asked(settings=good) == wanted
    assert asked(V5, settings=good) == {**wanted, "endpoint_sensitivity": -0.5}
    assert asked(V5, settings=bad) == {"enable_language_identification": True}


def test_the_context_is_bounded() -> None:
    context = asked(prompt="x" * 9000, keywords=("y" * 5000, "z" * 5000, "Ada"))["context"]

    assert context["terms"] == ["y" * 5000, "Ada"]
    assert len(context["text"]) < 3000


# --- Failures --------------------------------------------------------------------------------------------


async def failure(fake: FakeSoniox, pcm: bytes = SPEECH, **settings: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await hear(fake, pcm, **settings)
    assert "fake-key" not in str(caught.value)
    assert caught.value.provider == "lab"
    return caught.value


@pytest.mark.parametrize("late", [True, False])
async def test_a_wrong_key_is_an_authentication_error(fake: FakeSoniox, late: bool) -> None:
    fake.refuses_late = late
    error = await failure(fake, key="fake-key-wrong")

    assert isinstance(error, AuthenticationError)
    assert len(fake.exchanges) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refusal(429, {"error": "slow"}, retry_after=7), RateLimitError),
        (Refusal(503), OverloadedError),
        (Refusal(404), InvalidRequestError),
        (NoHandshake(), TimedOutError),
        (Garbage(), BadAnswerError),
        (Garbage(data="[]"), BadAnswerError),
        (Garbage(data=b"\x00"), BadAnswerError),
        (Garbage(data='{"tokens": {}}'), BadAnswerError),
        (Garbage(data='{"tokens": [1]}'), BadAnswerError),
        (Garbage(data='{"tokens": [{"text": null}]}'), BadAnswerError),
        (Stall(), TimedOutError),
    ],
)
async def test_each_failure_is_told_as_what_it_is(
    fake: FakeSoniox, fault: Fault, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, fault))
    error = await failure(fake, connect_timeout=0.3, final_timeout=0.3)

    assert type(error) is kind
    assert len(fake.exchanges) == 1
    if isinstance(fault, Refusal) and fault.retry_after:
        assert isinstance(error, RateLimitError)
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("code", "kind", "attempts"),
    [
        (400, InvalidRequestError, 1),
        (401, AuthenticationError, 1),
        (402, AuthenticationError, 1),
        (408, TimedOutError, 1),
        (429, RateLimitError, 1),
        (500, OverloadedError, 3),
        (503, OverloadedError, 3),
    ],
)
async def test_errors_of_a_session_are_told(
    fake: FakeSoniox, code: int, kind: type[ProviderError], attempts: int
) -> None:
    fake.default = code

    error = await failure(fake)
    assert type(error) is kind
    assert len(fake.exchanges) == attempts


@pytest.mark.parametrize("message", ['{"error_code": "x"}', '{"error_message": 5}', '{"error_code": 7}'])
async def test_an_error_of_no_shape_is_the_fault_of_the_service(fake: FakeSoniox, message: str) -> None:
    fake.script(*(Plan(None, Garbage(data=message)) for _ in range(3)))

    assert isinstance(await failure(fake), OverloadedError)


async def test_an_unknown_model_is_an_invalid_request(fake: FakeSoniox) -> None:
    error = await failure(fake, model="stt-rt-v9")

    assert isinstance(error, InvalidRequestError)
    assert "Invalid model specified" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"tokens": [], "final_audio_proc_ms": "x"},
        {"tokens": [{"text": "", "is_final": True}], "final_audio_proc_ms": None},
        {"tokens": [{"text": "x", "is_final": "yes", "language": 5}], "total_audio_proc_ms": 1e99},
        {"finished": "no"},
        {"finished": True},
        {"error_code": None, "error_message": ""},
    ],
)
async def test_odd_messages_do_no_harm(fake: FakeSoniox, message: dict[str, Any]) -> None:
    fake.script(Plan(None, Garbage(data=json.dumps(message))))

    assert final(await hear(fake)) == "Hello there. How are you?"


# --- Broken connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1006, 1011, 1001, 1000])
@pytest.mark.parametrize("sent", [0, 3, 9, 20, 28])
async def test_a_connection_that_dies_loses_and_doubles_nothing(
    fake: FakeSoniox, sent: int, code: int
) -> None:
    text = "Hello there. One two three four. Five six."
    fake.script(Plan(None, Cut(sent=sent, code=code) if sent else Cut(heard=2, code=code)))
    events = await hear(fake, say(text, rate=RATE))

    assert final(events) == text
    assert len(fake.exchanges) == 2


async def test_a_request_that_cannot_continue_is_made_anew(fake: FakeSoniox) -> None:
    end = {
        "error_code": 503,
        "error_message": "Cannot continue request (code 4). Please restart the request.",
    }
    fake.script(Plan(None, Garbage(sent=20, data=json.dumps(end))))
    text = "Hello there. One two three four. Five six."

    assert final(await hear(fake, say(text, rate=RATE))) == text
    assert len(fake.exchanges) == 2
    assert len(fake.exchanges[1].audio) < len(say(text, rate=RATE))


async def test_a_service_that_keeps_dying_is_given_up(fake: FakeSoniox) -> None:
    fake.script(*(Plan(None, Cut(heard=2, code=1011)) for _ in range(5)))

    assert isinstance(await failure(fake), ConnectionFailedError)
    assert len(fake.exchanges) == 3


async def test_tokens_may_lag_behind(fake: FakeSoniox) -> None:
    goes_on = asyncio.Event()
    fake.script(Plan(None, Hesitate(sent=2, until=goes_on)))
    task = asyncio.create_task(hear(fake))
    exchange = await fake.exchange(0)
    await exchange.until(lambda: len(exchange.sent) == 2)
    goes_on.set()

    assert final(await task) == "Hello there. How are you?"


async def test_closing_early_leaves_no_task_and_no_socket(fake: FakeSoniox) -> None:
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello there.", rate=RATE)
        await endless.wait()

    lab = provider(fake)
    before = asyncio.all_tasks()
    async with aclosing(lab.stt(V4).transcribe(audio(), SttOptions())) as events:
        await anext(events)
    await asyncio.sleep(0)
    names = [task.get_name() for task in asyncio.all_tasks() - before]

    await asyncio.wait_for(fake.all_closed(), 5)
    assert [name for name in names if "stt" in name or "provider" in name] == []
    await lab.aclose()


# --- The provider ----------------------------------------------------------------------------------------


async def test_utterances_at_once_do_not_mix(fake: FakeSoniox) -> None:
    texts = [f"Number {word} is here." for word in ("one", "two", "three", "four")]
    lab = provider(fake)

    async def one(text: str) -> str:
        events = lab.stt(V4).transcribe(spoken(say(text, rate=RATE)), SttOptions())
        return final([event async for event in events])

    async with asyncio.timeout(10):
        assert await asyncio.gather(*map(one, texts)) == texts
    assert fake.most_open == 4
    await lab.aclose()


async def test_models_are_listed_and_engines_kept() -> None:
    lab = SonioxProvider(ProviderSettings("lab", {"base_url": "wss://127.0.0.1:1"}))

    assert [model.id for model in lab.models()] == [V4, V5]
    engines = [lab.stt(f"model-{number}") for number in range(70)]
    assert lab.stt("model-69") is engines[69]
    assert lab.stt("model-0") is not engines[0]
    with pytest.raises(UnknownModelError):
        lab.stt(" ")


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"base_ur": "x"}, "k", "did you mean 'base_url'"),
        ({"base_url": "ftp://x"}, "k", "base_url"),
        ({"keep_alive_interval": 20}, "k", "keep_alive_interval"),
        ({}, "ключ", "characters that no key has"),
    ],
)
def test_mistakes_in_the_settings_are_named(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SonioxProvider(ProviderSettings("lab", options, key))
