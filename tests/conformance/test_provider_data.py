"""`providerData` over the wire: merged, shown, checked, and passed on to the services that know of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import Event, Talk, talk
from tests.conformance.hearing import voice
from tests.fakes.gemini_api import ContentReply, FakeGemini
from tests.fakes.inworld_api import FakeInworld
from tests.fakes.inworld_replies import Heard, Turn
from tests.fakes.openai_api import ChatReply, FakeOpenAI
from tests.fakes.soniox_api import FakeSoniox

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEARD = "Can you hear me?"
REPLY = "Well, my dear friend, I can hear you. Yes. That is good, and so we talk. Bye."
COMPLETED = "conversation.item.input_audio_transcription.completed"


@dataclass(frozen=True)
class Lab:
    """A server whose services are fakes that note what they are asked."""

    url: str
    openai: FakeOpenAI
    google: FakeGemini
    inworld: FakeInworld
    soniox: FakeSoniox

    def configs(self) -> list[Event]:
        """What Inworld's transcription was asked for, each time."""
        texts = [message for exchange in self.inworld.exchanges for message in exchange.texts]
        return [message["transcribeConfig"] for message in texts if "transcribeConfig" in message]

    def spoken(self) -> list[Event]:
        """The messages of the last reply that Inworld spoke."""
        messages = [
            message
            for exchange in self.inworld.exchanges
            for message in exchange.texts
            if "contextId" in message
        ]
        return [message for message in messages if message["contextId"] == messages[-1]["contextId"]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        openai = await stack.enter_async_context(FakeOpenAI())
        google = await stack.enter_async_context(FakeGemini())
        inworld = await stack.enter_async_context(FakeInworld())
        soniox = await stack.enter_async_context(FakeSoniox(default=(HEARD,)))
        openai.chat.default = inworld.chat.default = ChatReply(text=REPLY)
        google.contents.default = ContentReply(text=REPLY)
        inworld.default = Heard((Turn(HEARD),))
        tables = {
            "openai": {"base_url": openai.base_url, "api_key": openai.api_key},
            "google-ai-studio": {"base_url": f"{google.base_url}/v1beta", "api_key": google.api_key},
            "inworld": {"base_url": inworld.base_url, "api_key": inworld.api_key},
            "soniox": {"base_url": soniox.base_url, "api_key": soniox.api_key},
        }
        providers = {name: ProviderTable.model_validate(table) for name, table in tables.items()}
        server = running_server(Settings(providers=providers), environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield Lab(url, openai, google, inworld, soniox)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def said(session: Talk) -> Event:
    """The event that tells the words of a recording, pushed to talk."""
    await session.append(voice())
    await session.send("input_audio_buffer.commit")
    return (await session.until(COMPLETED))[-1]


def hearing(model: str, **members: Any) -> Event:
    return {"input": {"turn_detection": None, "transcription": {"model": model, **members}}}


# --- the object itself -------------------------------------------------------------------------------


async def test_updates_merge_and_the_whole_is_shown(lab: Lab) -> None:
    async with talk(lab.url, providerData={"stt": {"prompt": "Names."}, "mine": {"a": 1}}) as session:
        assert session.session["providerData"] == {"stt": {"prompt": "Names."}, "mine": {"a": 1}}

        shown = await session.update(providerData={"stt": {"vad_threshold": 0.5}, "mine": {"a": None}})
        assert shown["providerData"] == {"stt": {"prompt": "Names.", "vad_threshold": 0.5}, "mine": {}}

        shown = await session.update(instructions="Be kind.")
        assert shown["providerData"] == {"stt": {"prompt": "Names.", "vad_threshold": 0.5}, "mine": {}}

        shown = await session.update(providerData={"stt": None, "memory": {"turnInterval": 3}})
        assert shown["providerData"] == {"mine": {}, "memory": {"turnInterval": 3}}

        shown = await session.update(providerData=None)
        assert "providerData" not in shown


async def test_a_wrong_member_is_refused_and_nothing_of_the_update_is_taken(lab: Lab) -> None:
    async with talk(lab.url, providerData={"memory": {"turn_interval": 3}}) as session:
        wrong = {"stt": {"prompt": "x"}, "memory": {"turn_interval": 0}}
        update = {"type": "realtime", "instructions": "Changed.", "providerData": wrong}
        await session.send("session.update", session=update, event_id="wrong")
        error = await session.error()

        assert (error["type"], error["code"]) == ("invalid_request_error", "integer_below_min_value")
        assert (error["param"], error["event_id"]) == ("session.providerData.memory.turn_interval", "wrong")
        shown = await session.update()
        assert shown["providerData"] == {"memory": {"turn_interval": 3}}
        assert shown["instructions"] != "Changed."


async def test_a_name_that_inworld_ignores_is_ignored(lab: Lab) -> None:
    async with talk(lab.url, provider_data={"stt": 5}) as session:
        assert "providerData" not in session.session
        assert "provider_data" not in session.session


async def test_a_session_keeps_no_more_than_clients_can_be_sent(lab: Lab) -> None:
    async with talk(lab.url) as session:
        for number in range(3):
            await session.update(providerData={f"part{number}": "ä" * 20_000})
        await session.send(
            "session.update", session={"type": "realtime", "providerData": {"part3": "x" * 20_000}}
        )
        error = await session.error()

        assert (error["code"], error["param"]) == ("string_above_max_length", "session.providerData")
        shown = await session.update(providerData={"part0": None, "part3": "x" * 20_000})
        assert sorted(shown["providerData"]) == ["part1", "part2", "part3"]


# --- transcription -----------------------------------------------------------------------------------


async def test_inworld_is_told_how_to_listen_and_tells_how_the_voice_sounds(lab: Lab) -> None:
    asked = {
        "prompt": "Beckett.",
        "voice_profile": {"top_n": 2},
        "language_hints": ["en"],
        "end_of_turn_confidence_threshold": 0.3,
        "vad_threshold": 0.4,
        "min_end_of_turn_silence": 200,
        "maxTurnSilence": 900,
    }
    model = "inworld/inworld-stt-1"
    async with talk(lab.url, audio=hearing(model), providerData={"stt": asked}) as session:
        completed = await said(session)
        await session.update(providerData={"stt": {"voice_profile": False, "prompt": None}})
        later = await said(session)

    first, second = lab.configs()[-2:]
    assert completed["transcript"] == HEARD
    profile = completed["providerData"]["voiceProfile"]
    assert {len(labels) for labels in profile.values()} <= {1, 2}
    assert profile["age"][0]["label"]
    assert "providerData" not in later
    assert first["prompts"] == ["Beckett."]
    assert first["language"] == "en"
    assert first["endOfTurnConfidenceThreshold"] == 0.3
    assert first["voiceProfileConfig"] == {"enableVoiceProfile": True, "topN": 2}
    assert first["inworldSttV1Config"] == {
        "vadThreshold": 0.4,
        "minEndOfTurnSilenceWhenConfident": 200,
        "maxTurnSilence": 900,
    }
    assert "prompts" not in second
    assert "voiceProfileConfig" not in second
    assert second["endOfTurnConfidenceThreshold"] == 0.3


async def test_the_members_of_the_protocol_go_before_those_of_inworld(lab: Lab) -> None:
    asked = {"prompt": "Theirs.", "language_hints": ["de"]}
    audio = hearing("inworld/inworld-stt-1", prompt="Mine.", language="fr")
    async with talk(lab.url, audio=audio, providerData={"stt": asked}) as session:
        assert await said(session)

    assert (lab.configs()[-1]["prompts"], lab.configs()[-1]["language"]) == (["Mine."], "fr")


async def test_other_services_take_the_same_hints(lab: Lab) -> None:
    asked = {"prompt": "Beckett.", "language_hints": ["en", "fr"], "language_hints_strict": True}
    async with talk(lab.url, audio=hearing("soniox/stt-rt-v4"), providerData={"stt": asked}) as session:
        assert (await said(session))["transcript"] == HEARD

    config = lab.soniox.exchanges[-1].texts[0]
    assert (config["language_hints"], config["language_hints_strict"]) == (["en", "fr"], True)
    assert config["context"]["text"] == "Beckett."
