"""Routers keep the contract of the engines that they stand for."""

import asyncio

import pytest

from openparley.testing import LLM_CHECKS, STT_CHECKS, TTS_CHECKS, Check, check_failure, check_provider
from providers.builtin import BuiltinProvider
from providers.contracts import Llm, Stt, Tts
from providers.errors import OverloadedError
from providers.provider import ProviderSettings
from providers.registry import Defaults, Registry
from providers.router import RouterProvider
from providers.routing.definition import parse_definition
from providers.routing.routers import Routers
from tests.fakes.openai_api import FakeOpenAI, error
from tests.providers.routing.test_outages import HELLO, routed


@pytest.mark.parametrize("check", LLM_CHECKS.values(), ids=LLM_CHECKS)
async def test_a_router_is_a_language_model(check: Check[Llm]) -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "builtin/echo") as registry:
        await check(registry.llm("router/r"))


@pytest.mark.parametrize("check", STT_CHECKS.values(), ids=STT_CHECKS)
async def test_a_router_is_a_transcription_model(check: Check[Stt]) -> None:
    async with FakeOpenAI() as fake, routed(fake, "stt", "local/moonshine-tiny-en") as registry:
        await asyncio.to_thread(registry.stt, "local/moonshine-tiny-en")
        await check(registry.stt("router/r"))


@pytest.mark.parametrize("check", TTS_CHECKS.values(), ids=TTS_CHECKS)
async def test_a_router_is_a_speech_model(check: Check[Tts]) -> None:
    async with FakeOpenAI() as fake, routed(fake, "tts", "local/espeak") as registry:
        await asyncio.to_thread(registry.tts, "local/espeak")
        await check(registry.tts("router/r"))


async def test_a_failure_of_all_is_a_failure_of_the_router() -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "up/gpt-4o-mini") as registry:
        fake.chat.script(error(503, "busy"))

        await check_failure(lambda: registry.llm("router/r").generate(HELLO), OverloadedError)


async def test_routers_are_a_provider() -> None:
    routers = Routers()
    for kind in ("llm", "stt", "tts"):
        route = {"variants": [{"variant": {"model_id": "builtin/echo"}}]}
        routers.put(parse_definition({"kind": kind, "default_route": route}, name=f"a-{kind}"))
    provider = RouterProvider(routers)
    builtin = BuiltinProvider(ProviderSettings("builtin"))
    provider.connect(
        Registry({"builtin": builtin}, defaults=Defaults("builtin/echo", "", "", "", ""), aliases={})
    )

    await check_provider(provider)
