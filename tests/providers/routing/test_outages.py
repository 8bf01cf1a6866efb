"""Outages of real services: adapters, sockets and engines as users have them, and a provider gone wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from providers.builtin import BuiltinProvider
from providers.contracts import (
    Caller,
    LlmRequest,
    RouteTaken,
    SttOptions,
    TextDelta,
    TextPart,
    TranscriptFinal,
    TtsOptions,
    UserMessage,
)
from providers.errors import ProviderError
from providers.local import LocalProvider
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from providers.registry import Defaults, Registry
from providers.router import RouterProvider
from providers.routing.definition import parse_definition
from providers.routing.routers import Routers
from tests.fakes.openai_api import (
    CUT,
    HANG,
    ChatReply,
    FakeOpenAI,
    Reply,
    Script,
    SpeechReply,
    TranscriptionReply,
    error,
    rate_limited,
)
from tests.speech import recording

HELLO = LlmRequest((UserMessage((TextPart("[[say Still here.]]"),)),), caller=Caller("sess"))


@asynccontextmanager
async def routed(fake: FakeOpenAI, kind: str, *models: str, key: str = "") -> AsyncIterator[Registry]:
    """A registry whose router "r" asks the fake first and an engine of this process then."""
    routers = Routers()
    variant = {"model_selection": {"models": models}}
    definition = {
        "kind": kind,
        "defaults": {"fallback": {"ttft_timeout": "400ms"}},
        "default_route": {"variants": [{"variant": variant}]},
    }
    routers.put(parse_definition(definition, name="r"))
    options = {"base_url": fake.base_url, "connect_timeout": 2.0}
    provider = RouterProvider(routers)
    upstream = OpenAICompatibleProvider(ProviderSettings("up", options, key or fake.api_key))
    local, builtin = LocalProvider(ProviderSettings("local")), BuiltinProvider(ProviderSettings("builtin"))
    registry = Registry(
        {"up": upstream, "local": local, "builtin": builtin, "router": provider},
        defaults=Defaults("builtin/echo", "local/moonshine-tiny-en", "local/espeak", "local/silero-vad", ""),
        aliases={},
    )
    provider.connect(registry)
    try:
        yield registry
    finally:
        await registry.aclose()


async def answer(registry: Registry) -> tuple[RouteTaken, str]:
    events = [event async for event in registry.llm("router/r").generate(HELLO)]
    assert isinstance(events[0], RouteTaken)
    return events[0], "".join(event.text for event in events if isinstance(event, TextDelta))


SILENT = Reply((HANG,))  # a status line, and then nothing
SLOW = Reply(delay_s=60)  # not even that
BROKEN_OFF = Reply((CUT,))
NOISE = Reply((b"<html>Bad gateway</html>",), content_type="text/html")

FAULTS: dict[str, tuple[Script, str]] = {
    "stalled": (SILENT, "provider_timeout"),
    "slow": (SLOW, "provider_timeout"),
    "throttled": (rate_limited(1.0), "rate_limit_exceeded"),
    "broken": (error(500, "it broke"), "provider_overloaded"),
    "gone": (error(404, "no such model", code="model_not_found"), "provider_refused_request"),
    "cut": (BROKEN_OFF, "provider_connection_failed"),
    "noise": (NOISE, "provider_bad_answer"),
}


@pytest.mark.parametrize(("script", "code"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_language_model_that_is_out_is_replaced(script: Script, code: str) -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo") as registry:
        fake.chat.script(script)

        route, text = await answer(registry)

        assert text == "Still here."
        assert [(tried.model, tried.error) for tried in route.attempts] == [
            ("up/gpt-4o-mini", code),
            ("builtin/echo", None),
        ]


async def test_a_wrong_key_is_replaced_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = "sk-wrong-key-of-this-test"
    async with (
        FakeOpenAI() as fake,
        routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo", key=key) as registry,
    ):
        route, text = await answer(registry)

    assert text == "Still here."
    assert route.attempts[0].error == "provider_authentication_failed"
    assert key not in caplog.text


async def test_a_server_that_is_down_is_replaced() -> None:
    async with FakeOpenAI() as fake:
        pass
    async with routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo") as registry:
        route, text = await answer(registry)

    assert (text, route.attempts[0].error) == ("Still here.", "provider_connection_failed")


async def test_giving_up_hangs_up() -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo") as registry:
        fake.chat.script(SILENT)
        await answer(registry)

        await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)
        assert fake.chat.requests[0].aborted


async def test_a_death_in_mid_stream_fails_and_the_next_request_is_answered() -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo") as registry:
        fake.chat.script(ChatReply(text="One two three.", break_after=2), ChatReply(text="Fine."))

        with pytest.raises(ProviderError):
            await answer(registry)
        _, text = await answer(registry)

    assert text == "Fine."


async def test_leaving_early_hangs_up() -> None:
    async with FakeOpenAI() as fake, routed(fake, "llm", "up/gpt-4o-mini", "builtin/echo") as registry:
        fake.chat.script(ChatReply(text="One two three four.", pace_s=60))
        async with aclosing(registry.llm("router/r").generate(HELLO)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break

        await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)
        assert fake.chat.requests[0].aborted


async def _chunks(pcm: bytes, size: int = 3200) -> AsyncIterator[bytes]:
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


@pytest.mark.parametrize("script", [SILENT, error(503, "busy"), BROKEN_OFF], ids=["stalled", "busy", "cut"])
async def test_a_transcription_that_is_out_is_replaced(script: Script) -> None:
    models = ("up/whisper-1", "local/moonshine-tiny-en")
    async with FakeOpenAI() as fake, routed(fake, "stt", *models) as registry:
        fake.transcriptions.script(script)
        await asyncio.to_thread(registry.stt, "local/moonshine-tiny-en")
        stream = registry.stt("router/r").transcribe(_chunks(recording("beckett", 16_000)), SttOptions())

        events = [event async for event in stream]

    assert isinstance(events[0], RouteTaken)
    assert events[0].model == "local/moonshine-tiny-en"
    assert isinstance(events[-1], TranscriptFinal)
    assert "fail better" in events[-1].text.lower()


async def test_a_transcription_at_another_rate_is_understood() -> None:
    async with FakeOpenAI() as fake, routed(fake, "stt", "up/whisper-1") as registry:
        fake.transcriptions.script(TranscriptionReply(text="Hello."))
        pcm = recording("clone-test", 16_000)
        stream = registry.stt("router/r").transcribe(_chunks(pcm), SttOptions())

        events = [event async for event in stream]

        request = fake.transcriptions.requests[0]
        assert events[-1] == TranscriptFinal("Hello.")
        assert len(request.pcm) / request.sample_rate == pytest.approx(len(pcm) / 16_000, abs=0.01)


async def _text() -> AsyncIterator[str]:
    for segment in ("Hello there, ", "how are you?"):
        yield segment


@pytest.mark.parametrize("script", [SILENT, error(503, "busy"), BROKEN_OFF], ids=["stalled", "busy", "cut"])
async def test_a_voice_that_is_out_is_replaced(script: Script) -> None:
    async with FakeOpenAI() as fake, routed(fake, "tts", "up/tts-1", "local/espeak") as registry:
        fake.speech.default = script
        await asyncio.to_thread(registry.tts, "local/espeak")
        stream = registry.tts("router/r").speak(_text(), TtsOptions("alloy"))

        chunks = [chunk async for chunk in stream]

    route: Any = chunks[0].route
    assert (route.model, route.attempts[0].model) == ("local/espeak", "up/tts-1")
    samples = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2").astype(float)
    assert 1.0 < len(samples) / 24_000 < 4.0
    assert np.sqrt(np.mean(samples**2)) > 500
    marks = [mark for chunk in chunks for mark in chunk.marks]
    assert marks[-1].chars == len("Hello there, how are you?")
    assert marks[-1].samples == pytest.approx(len(samples), rel=0.2)


async def test_a_voice_keeps_its_own_name_for_the_first_model() -> None:
    async with FakeOpenAI() as fake, routed(fake, "tts", "up/tts-1", "local/espeak") as registry:
        fake.speech.default = SpeechReply()
        voice = await asyncio.to_thread(registry.resolve_voice, "router/r", "alloy")
        chunks = [chunk async for chunk in registry.tts("router/r").speak(_text(), TtsOptions(voice))]

        assert chunks[0].route is not None
        assert chunks[0].route.model == "up/tts-1"
        assert fake.speech.requests[0].body["voice"] == "alloy"
