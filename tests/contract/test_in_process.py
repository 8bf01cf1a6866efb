"""The contract suite over the engines that need nobody: they are held to it like any adapter."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from openparley.testing import LLM_CHECKS, STT_CHECKS, TTS_CHECKS, Check, check_provider
from providers.builtin import BuiltinProvider
from providers.contracts import Llm, Stt, Tts
from providers.local import LocalProvider
from providers.provider import ProviderSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local() -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(ProviderSettings("local"))
    yield provider
    await provider.aclose()


@pytest.mark.parametrize("check", LLM_CHECKS.values(), ids=LLM_CHECKS)
async def test_echo(check: Check[Llm]) -> None:
    await check(BuiltinProvider(ProviderSettings("builtin")).llm("echo"))


@pytest.mark.parametrize("check", STT_CHECKS.values(), ids=STT_CHECKS)
async def test_moonshine(check: Check[Stt], local: LocalProvider) -> None:
    await check(local.stt("moonshine-tiny-en"))


@pytest.mark.parametrize("check", TTS_CHECKS.values(), ids=TTS_CHECKS)
async def test_espeak(check: Check[Tts], local: LocalProvider) -> None:
    await check(local.tts("espeak"))


async def test_the_providers_themselves() -> None:
    await check_provider(BuiltinProvider(ProviderSettings("builtin")))
