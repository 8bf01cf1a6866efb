"""The contract suite over every remote adapter, against faithful fakes, and what failures look like."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from openparley.testing import (
    LLM_CHECKS,
    STT_CHECKS,
    TTS_CHECKS,
    Check,
    check_failure,
    check_provider,
)
from providers.contracts import LlmRequest, SttOptions, TextPart, TtsOptions, UserMessage
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from tests.fakes.upstreams import FAULTS, UPSTREAMS, FaultName, Opened, opened

CHECKS: dict[str, dict[str, Check[Any]]] = {"llm": LLM_CHECKS, "stt": STT_CHECKS, "tts": TTS_CHECKS}  # type: ignore[dict-item]
ALL = [(name, check) for name, upstream in UPSTREAMS.items() for check in CHECKS[upstream.kind]]
KINDS: dict[FaultName, type[ProviderError] | tuple[type[ProviderError], ...]] = {
    "throttled": RateLimitError,
    "overloaded": OverloadedError,
    "mute": TimedOutError,
    "stalled": TimedOutError,
    "killed": ConnectionFailedError,
    # What cannot be read may also look like an answer that ends too early.
    "corrupted": (BadAnswerError, ConnectionFailedError, TimedOutError),
}


async def _audio(rate: int) -> AsyncIterator[bytes]:
    for _ in range(10):
        yield b"\x10\x10" * (rate // 5)
        await asyncio.sleep(0)


async def _text() -> AsyncIterator[str]:
    for segment in ("Hello there. ", "How are you?"):
        yield segment
        await asyncio.sleep(0)


def run(one: Opened) -> AsyncGenerator[Any, None]:
    """Something to do for any engine."""
    engine = one.engine
    if one.upstream.kind == "llm":
        return engine.generate(LlmRequest((UserMessage((TextPart("Hello."),)),)))  # type: ignore[no-any-return]
    if one.upstream.kind == "stt":
        return engine.transcribe(_audio(engine.sample_rate), SttOptions())  # type: ignore[no-any-return]
    voice = engine.voices[0].id if engine.voices else "any"
    return engine.speak(_text(), TtsOptions(voice))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "check"), ALL, ids=[f"{name}: {check}" for name, check in ALL])
async def test_the_contract_is_kept(name: str, check: str) -> None:
    upstream = UPSTREAMS[name]
    async with opened(upstream) as one:
        await CHECKS[upstream.kind][check](one.engine)


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_providers_make_what_they_list(name: str) -> None:
    async with opened(UPSTREAMS[name]) as one:
        await check_provider(one.provider)


# Bytes that are no speech cannot be told from speech where that is all that comes.
SUFFERINGS = [
    (name, fault)
    for name in UPSTREAMS
    for fault in FAULTS
    if (name, fault) != ("openai-compatible/gpt-4o-mini-tts", "corrupted")
]


@pytest.mark.parametrize(("name", "fault"), SUFFERINGS)
async def test_a_failure_is_told_as_what_it_is(name: str, fault: FaultName) -> None:
    async with opened(UPSTREAMS[name]) as one:
        one.suffer(fault)
        error = await check_failure(lambda: run(one), KINDS[fault], secrets=[one.fake.api_key])

    if isinstance(error, RateLimitError):
        assert error.retry_after == 2


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_a_wrong_key_is_told_and_not_repeated(name: str) -> None:
    wrong = "wrong-key-9876543210fedcba"
    async with opened(UPSTREAMS[name], key=wrong) as one:
        await check_failure(lambda: run(one), AuthenticationError, secrets=[wrong])


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_a_service_that_is_not_there(name: str) -> None:
    upstream = UPSTREAMS[name]
    async with opened(upstream, base_url="http://127.0.0.1:1" + upstream.path) as one:
        await check_failure(lambda: run(one), ConnectionFailedError)
