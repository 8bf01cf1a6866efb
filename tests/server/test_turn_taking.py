"""The settings of turn taking, as sessions of a real server follow them."""

import base64
from collections.abc import Iterator

import pytest
from openai.types.realtime.realtime_audio_input_turn_detection_param import ServerVad

from server.background import running_server
from server.settings import Settings, TurnTakingSettings
from tests.conformance.client import openai_client
from tests.conformance.hearing import voice
from tests.server.test_metrics import samples, scrape
from tests.speech import silence


@pytest.fixture
def talkative_url() -> Iterator[str]:
    """A server that tells everybody of suggestions, and prepares nothing."""
    taking = TurnTakingSettings(suggestion_events=True, speculation="off")
    with running_server(Settings(turn_taking=taking), environ={}) as url:
        yield url


async def told(url: str, profile: str) -> list[str]:
    """The types of all events of one spoken turn of two sentences."""
    detection: ServerVad = {"type": "server_vad", "silence_duration_ms": 750}
    kinds: list[str] = []
    async with (
        openai_client(url) as client,
        client.realtime.connect(model="gpt-realtime", extra_query={"profile": profile}) as session,
    ):
        await session.session.update(
            session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        )
        audio = base64.b64encode(voice() + silence(1_500, 24_000)).decode()
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


async def test_a_reply_is_prepared_unless_the_settings_say_no(server_url: str) -> None:
    kind = 'parley_speculations_total{outcome="used"}'
    before = samples(scrape(server_url)).get(kind, 0)

    await told(server_url, "parley")

    assert samples(scrape(server_url))[kind] == before + 1
