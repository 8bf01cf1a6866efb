"""What the tests of transcription by Soniox share: the service, held to its own client, and ears."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from soniox.types.realtime import RealtimeEvent

from providers.contracts import SttEvent, SttOptions
from providers.provider import ProviderSettings
from providers.soniox import SonioxProvider
from providers.stt.soniox import RATE
from tests.fakes.hearing import say
from tests.fakes.soniox_api import FakeSoniox
from tests.providers.hearing import heard_by

__all__ = ["SPEECH", "V4", "V5", "fake", "hear", "provider"]

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
    table = {"base_url": fake.base_url, "connect_timeout": 5.0, **options}
    return SonioxProvider(ProviderSettings("lab", table, key or fake.api_key))


async def hear(
    fake: FakeSoniox,
    pcm: bytes = SPEECH,
    model: str = V4,
    options: SttOptions | None = None,
    **settings: Any,
) -> list[SttEvent]:
    return await heard_by(provider(fake, **settings), model, pcm, options)
