"""Transcription by Soniox when something fails: what is told, and what is made good."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    SttOptions,
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
from providers.stt.soniox import RATE
from tests.fakes.hearing import say
from tests.fakes.soniox_api import FakeSoniox
from tests.fakes.websocket import Cut, Fault, Garbage, Hesitate, Plan, Refusal, Stall
from tests.providers import soniox_lab
from tests.providers.hearing import final
from tests.providers.soniox_lab import SPEECH, V4, hear, provider

fake = soniox_lab.fake


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
    short: dict[str, Any] = {"final_timeout": 0.2} if kind is TimedOutError else {}
    error = await failure(fake, **short)

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
