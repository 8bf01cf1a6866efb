"""What the tests of transcription by AssemblyAI share: the service, held to its own client, and ears."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from assemblyai.streaming.v3 import AsyncStreamingClient

from providers.assemblyai import AssemblyAIProvider
from providers.contracts import SttEvent, SttOptions
from providers.provider import ProviderSettings
from providers.stt.assemblyai import RATE
from tests.fakes.assemblyai_api import FakeAssemblyAI
from tests.fakes.hearing import say
from tests.providers.hearing import heard_by

__all__ = ["ENGLISH", "LATER", "MULTI", "SPEECH", "fake", "hear", "provider"]

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
    table = {"base_url": fake.base_url, "connect_timeout": 5.0, **options}
    return AssemblyAIProvider(ProviderSettings("lab", table, key or fake.api_key))


async def hear(
    fake: FakeAssemblyAI,
    pcm: bytes = SPEECH,
    model: str = LATER,
    options: SttOptions | None = None,
    **settings: Any,
) -> list[SttEvent]:
    return await heard_by(provider(fake, **settings), model, pcm, options)
