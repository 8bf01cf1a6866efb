"""The settings of turn taking, as sessions of a real server follow them."""

import asyncio
import base64
from collections.abc import Iterator

import pytest
from openai.types.realtime.realtime_audio_input_turn_detection_param import ServerVad

from server.background import running_server
from server.settings import ProviderTable, Settings, TurnTakingSettings
from tests.conformance.client import RATE, openai_client, talk
from tests.conformance.hearing import voice
from tests.fakes.openai_api import FakeOpenAI
from tests.pipeline.scripted import GUARD_S
from tests.server.test_metrics import samples, scrape
from tests.speech import silence

SERVER_VAD: ServerVad = {"type": "server_vad", "silence_duration_ms": 750}


@pytest.fixture
def talkative_url() -> Iterator[str]:
    """A server that tells everybody of suggestions, and prepares nothing."""
    taking = TurnTakingSettings(suggestion_events=True, speculation="off")
    with running_server(Settings(turn_taking=taking), environ={}) as url:
        yield url


async def told(url: str, profile: str) -> list[str]:
    """The types of all events of one spoken turn of two sentences."""
    kinds: list[str] = []
    async with (
        openai_client(url) as client,
        client.realtime.connect(model="gpt-realtime", extra_query={"profile": profile}) as session,
    ):
        await session.session.update(
            session={"type": "realtime", "audio": {"input": {"turn_detection": SERVER_VAD}}}
        )
        audio = base64.b64encode(voice(3_000) + silence(1_500, RATE)).decode()
        await session.input_audio_buffer.append(audio=audio)
        async for event in session:
            kinds.append(event.type)
            if event.type == "response.done":
                break
    return kinds


async def test_the_settings_reach_every_session(talkative_url: str) -> None:
    generous = await told(talkative_url, "parley")
    strict = await told(talkative_url, "openai")
    counted = samples(scrape(talkative_url))

    assert [kind for kind in generous if kind.startswith("turn_")] == [
        "turn_suggestion",
        "turn_suggestion_revoked",
        "turn_suggestion",
    ]
    assert [kind for kind in strict if kind.startswith("turn_")] == []
    assert "input_audio_buffer.speech_stopped" in strict
    assert counted['parley_turn_suggestions_total{outcome="confirmed"}'] == 2
    assert [name for name in counted if "speculation" in name] == []


async def test_a_reply_is_prepared_unless_the_settings_say_no() -> None:
    async with FakeOpenAI() as fake:
        table = {"kind": "openai-compatible", "base_url": fake.base_url, "api_key_env": "LAB_KEY"}
        providers = {"lab": ProviderTable.model_validate(table)}
        with running_server(Settings(providers=providers), environ={"LAB_KEY": fake.api_key}) as url:
            async with talk(url, "lab/chat", audio={"input": {"turn_detection": SERVER_VAD}}) as session:
                await session.append(voice(3_000) + silence(500, RATE))
                async with asyncio.timeout(GUARD_S):
                    await fake.chat.wait_for_requests(1)
                await session.append(silence(1_000, RATE))
                await session.reply()
            counted = samples(scrape(url))

    assert counted['parley_speculations_total{outcome="used"}'] == 1
    assert len(fake.chat.requests) == 1
