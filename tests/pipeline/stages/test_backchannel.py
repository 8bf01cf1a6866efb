"""Listener sounds in whole sessions: real audio in, events of their own out, and no trace anywhere else."""

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from pipeline.commands import CommitAudio, CreateItem, CreateResponse, TruncateItem, UpdateSession
from pipeline.config import Patch
from pipeline.events import (
    AudioDelta,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCommitted,
    ErrorRaised,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TurnSuggested,
)
from pipeline.stages.backchannel import BackchannelStage
from pipeline.stages.contracts import Host
from providers.contracts import (
    LlmFinished,
    TextDelta,
)
from tests.pipeline.playbook import PLAIN, user
from tests.pipeline.scripted import Engines, ScriptedLlm, ScriptedTts, replying
from tests.pipeline.stages.listening import (
    PAUSE,
    SPEECH,
    VAD,
    Slow,
    finished,
    sounds,
    talk,
    wanted,
)
from tests.pipeline.stages.stages import staged
from tests.pipeline.test_turn_taking import ScriptedJudge

# --- made --------------------------------------------------------------------------------------------


async def test_a_listener_makes_itself_heard_while_the_user_talks() -> None:
    tts = ScriptedTts(16_000)
    async with staged(BackchannelStage, Engines(tts_engine=tts), wanted(), VAD) as (session, client):
        await talk(session, (320, PAUSE), (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]
        assert client.of(SpeechStopped) == []
        assert (tts.segments, tts.options[0].voice) == (["Uh-huh. "], "ann")

        (done,) = client.of(BackchannelDone)
        deltas = client.of(BackchannelAudio)
        assert {delta.backchannel_id for delta in deltas} == {done.backchannel_id}
        assert done.backchannel_id.startswith("bc_")
        assert sum(len(delta.pcm) for delta in deltas) == 480 * len("Uh-huh. ")  # at 24 kHz
        before = [item.id for item in session.items]
        await finished(session, client)

    # Nothing of it is in the conversation or in the reply.
    assert len(before) == 1
    assert not any("Uh-huh" in str(item) for item in session.items)
    assert client.of(ErrorRaised) == []


async def test_long_phrases_come_in_pieces_of_200_ms() -> None:
    async with staged(BackchannelStage, Engines(), wanted(allowed_phrases=["x" * 48]), VAD) as (
        session,
        client,
    ):
        await talk(session, (1920, SPEECH))
        await sounds(client, 1)
        assert [len(delta.pcm) for delta in client.of(BackchannelAudio)] == [9600, 9600, 4800]


async def test_each_sound_keeps_its_distance_and_no_turn_has_too_many() -> None:
    settings = wanted(min_gap_ms=960, max_per_turn=2)
    async with staged(BackchannelStage, Engines(), settings, VAD) as (session, client):
        for count in (1, 2):
            await talk(session, (960, SPEECH))
            assert len(await sounds(client, count)) == count
        await talk(session, (4800, SPEECH))
        await finished(session, client)
        assert await sounds(client, 2) == ["Uh-huh", "I see"]

        await talk(session, (1920, SPEECH))
        assert await sounds(client, 3) == ["Uh-huh", "I see", "Right"]


async def test_a_pause_can_be_required() -> None:
    often = wanted(require_pause=True, min_gap_ms=0, eval_interval_ms=320, max_per_turn=99)
    async with staged(BackchannelStage, Engines(), often, VAD) as (session, client):
        await talk(session, (4800, SPEECH), (320, PAUSE), (320, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]
        await finished(session, client)
        # Each of the two pauses had one at most, and the speech before them none.
        assert len(client.of(BackchannelDone)) + len(client.of(BackchannelSkipped)) <= 2


@pytest.mark.parametrize(
    ("settings", "phrases"),
    [
        ({"allowed_phrases": ["Aye", "Go on"]}, ["Aye", "Go on", "Aye"]),
        ({}, ["Ja", "Verstehe", "Okay"]),
    ],
)
async def test_phrases_are_the_clients_or_those_of_the_language(
    settings: dict[str, Any], phrases: list[str]
) -> None:
    patch: Patch = {
        "audio": {
            "input": {
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 640},
                "transcription": {"language": "de"},
            }
        }
    }
    config = wanted(min_gap_ms=320, eval_interval_ms=320, **settings)
    async with staged(BackchannelStage, Engines(), config, patch) as (session, client):
        await talk(session, (960, SPEECH))
        for count in (1, 2, 3):
            await sounds(client, count)
            await talk(session, (640, SPEECH))
        assert (await sounds(client, 3))[:3] == phrases


@pytest.mark.parametrize(
    ("gain", "levels"), [(0.5, {0x0808}), (1.0, {0x1010}), (20.0, {32767}), (0.0, set())]
)
async def test_they_are_as_loud_as_wanted(gain: float, levels: set[int]) -> None:
    async with staged(BackchannelStage, Engines(), wanted(volume_gain=gain), VAD) as (session, client):
        await talk(session, (1920, SPEECH))
        await sounds(client, 1)
        pcm = b"".join(delta.pcm for delta in client.of(BackchannelAudio))
        assert set(np.frombuffer(pcm, "<i2").tolist()) == levels


async def test_chance_decides_where_no_model_does() -> None:
    heard = []
    for probability in (0.0, 0.5, 1.0):
        settings = wanted(
            rule_fire_probability=probability, min_gap_ms=0, eval_interval_ms=320, max_per_turn=99
        )

        def make(host: Host) -> BackchannelStage:
            return BackchannelStage(host, chance=Random(7))

        async with staged(make, Engines(), settings, VAD) as (session, client):
            for _ in range(40):
                await talk(session, (320, SPEECH))
            await finished(session, client)
            heard.append(len(client.of(BackchannelDone)))

    assert heard[0] == 0 < heard[1] < heard[2]


# --- not made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider_data", "patch"),
    [
        ({}, VAD),
        (wanted(enabled=False), VAD),
        (wanted(), {**VAD, "output_modalities": ("text",)}),
        (wanted(rule_fire_probability=0.0), VAD),
        (wanted(min_speech_ms=60_000), VAD),
    ],
)
async def test_nothing_is_heard_unless_it_is_wanted(provider_data: dict[str, Any], patch: Patch) -> None:
    async with staged(BackchannelStage, Engines(), provider_data, patch) as (session, client):
        await talk(session, (320, PAUSE), (4800, SPEECH))
        await finished(session, client)
        assert not client.of(BackchannelDone)
        assert not client.of(BackchannelSkipped)


async def test_push_to_talk_has_none() -> None:
    patch: Patch = {"audio": {"input": {"turn_detection": None}}}
    async with staged(BackchannelStage, Engines(), wanted(), patch) as (session, client):
        await talk(session, (4800, SPEECH))
        session.dispatch(CommitAudio())
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        assert not client.of(BackchannelDone)


async def test_what_takes_too_long_is_skipped() -> None:
    tts = Slow()
    async with staged(BackchannelStage, Engines(tts_engine=tts), wanted(hard_deadline_ms=1), VAD) as (
        session,
        client,
    ):
        await talk(session, (1600, SPEECH))
        skipped = await client.wait(BackchannelSkipped)
        assert skipped.reason == "deadline_missed"
        assert tts.closed.is_set()
        tts.may_speak.set()
        session.dispatch(UpdateSession({"provider_data": wanted(hard_deadline_ms=5000)}))
        await talk(session, (1600, SPEECH))
        assert await sounds(client, 1) == ["I see"]
        assert client.of(BackchannelAudio)[0].backchannel_id != skipped.backchannel_id


async def test_who_has_finished_hears_nothing_more() -> None:
    tts = Slow()
    async with staged(BackchannelStage, Engines(tts_engine=tts), wanted(hard_deadline_ms=60_000), VAD) as (
        session,
        client,
    ):
        await talk(session, (1600, SPEECH))
        async with asyncio.timeout(10):
            await tts.asked.wait()
        await talk(session, (1600, PAUSE))
        assert (await client.wait(BackchannelSkipped)).reason == "turn_ended"
        tts.may_speak.set()
        assert (await client.wait(ResponseDone)).response.status == "completed"
        assert not client.of(BackchannelDone)


async def test_nothing_is_said_into_a_reply() -> None:
    patch: Patch = {
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 640,
                    "interrupt_response": False,
                }
            }
        }
    }
    may_end = asyncio.Event()
    engines = Engines(ScriptedLlm(TextDelta("Well, listen. "), may_end, LlmFinished("stop")))
    async with staged(BackchannelStage, engines, wanted(), patch) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        await client.wait(AudioDelta)
        await talk(session, (4800, SPEECH))
        await client.wait(SpeechStarted)
        await talk(session, (960, PAUSE))
        await client.wait(BufferCommitted)
        assert not client.of(BackchannelDone)
        may_end.set()
        await client.wait(ResponseDone)


async def test_a_reply_that_is_still_being_played_is_not_talked_into() -> None:
    patch: Patch = {
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 640,
                    "interrupt_response": False,
                    "create_response": False,
                }
            }
        }
    }
    engines = Engines(replying("Well, listen. " * 500))  # more than a minute, sent at once
    async with staged(BackchannelStage, engines, wanted(), patch) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        await talk(session, (1920, SPEECH), (960, PAUSE))
        await client.wait(BufferCommitted)
        assert not client.of(BackchannelDone)


@pytest.mark.parametrize("stops", ["the server", "the client"])
async def test_who_interrupts_a_reply_is_listened_to_again(stops: str) -> None:
    patch: Patch = {
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 640,
                    "interrupt_response": stops == "the server",
                }
            }
        }
    }
    engines = Engines(replying("Well, listen. " * 500))  # more than a minute
    async with staged(BackchannelStage, engines, wanted(), patch) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        (message,) = (await client.wait(ResponseDone)).response.output
        if stops == "the client":
            session.dispatch(TruncateItem(message.id, 0, 100))
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]


async def test_who_has_probably_finished_is_answered_and_not_encouraged() -> None:
    patch: Patch = {
        "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 960}}}
    }
    rules = replace(PLAIN, speculation="auto", has_turn_model=True, suggestion_events=True)
    settings = wanted(min_speech_ms=960, eval_interval_ms=100)
    async with staged(
        BackchannelStage, Engines(), settings, patch, judge=ScriptedJudge(), turn_taking=rules
    ) as (session, client):
        await talk(session, (640, SPEECH), (448, PAUSE))
        await client.wait(TurnSuggested)
        await talk(session, (1280, SPEECH))
        await sounds(client, 1)
        kinds = client.names()
        assert kinds.index("TurnSuggestionRevoked") < kinds.index("BackchannelAudio")
