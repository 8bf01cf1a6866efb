"""Listener sounds in whole sessions: real audio in, events of their own out, and no trace anywhere else."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from pipeline.commands import ClearAudio, CommitAudio, CreateItem, CreateResponse, TruncateItem, UpdateSession
from pipeline.config import Patch
from pipeline.events import (
    AudioDelta,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCommitted,
    ErrorRaised,
    ResponseDone,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionDelta,
    TurnSuggested,
)
from pipeline.session import Session
from pipeline.stages.backchannel import BackchannelStage
from pipeline.stages.contracts import Host
from providers.contracts import (
    LlmFinished,
    SttEvent,
    TextDelta,
    TranscriptDelta,
    TranscriptFinal,
)
from providers.errors import OverloadedError
from tests.pipeline.playbook import PLAIN, text_of, user
from tests.pipeline.scripted import Engines, Heard, ScriptedLlm, ScriptedStt, ScriptedTts, replying
from tests.pipeline.sessions import tone
from tests.pipeline.stages.stages import TwoModels, staged
from tests.pipeline.test_turn_taking import ScriptedJudge

VAD: Patch = {
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 640}}},
}
SPEECH, PAUSE = 4000, 0  # levels


def wanted(**members: Any) -> dict[str, Any]:
    return {"backchannel": {"enabled": True, "rule_fire_probability": 1.0, "volume_gain": 1.0, **members}}


def of_llm(**members: Any) -> dict[str, Any]:
    return wanted(small_model="lab/small", **members)


class Choosy(ScriptedTts):
    """Breaks where it is to speak like a listener."""

    async def speak(self, text: Any, options: Any) -> AsyncGenerator[Any, None]:
        first = await anext(text)
        if first != "Hello. ":
            raise ZeroDivisionError

        async def whole() -> AsyncIterator[str]:
            yield first
            async for segment in text:
                yield segment

        async with aclosing(super().speak(whole(), options)) as chunks:
            async for chunk in chunks:
                yield chunk


class Slow(ScriptedTts):
    """Tells when it has been asked, and then waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.may_speak.clear()

    async def speak(self, text: Any, options: Any) -> AsyncGenerator[Any, None]:
        self.asked.set()
        async with aclosing(super().speak(text, options)) as chunks:
            async for chunk in chunks:
                yield chunk


def hearing(*words: str) -> ScriptedStt:
    """Transcribes these words with the first audio of each turn, and nothing more."""

    async def script(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        await anext(audio)
        for word in words:
            yield TranscriptDelta(word)
        async for _ in audio:
            pass
        yield TranscriptFinal("".join(words))

    return ScriptedStt(script)


async def talk(session: Session, *stretches: tuple[int, int]) -> None:
    """Send so many milliseconds at each level."""
    for ms, level in stretches:
        await session.append_audio(tone(ms, level))


async def sounds(client: Heard, count: int) -> list[str]:
    await client.wait(BackchannelDone, count)
    return [done.phrase for done in client.of(BackchannelDone)]


async def finished(session: Session, client: Heard, turns: int = 1) -> None:
    """The user falls silent, and the reply comes."""
    await session.append_audio(tone(1600, PAUSE))
    await client.wait(ResponseDone, turns)


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


# --- a small model decides -----------------------------------------------------------------------------


async def test_a_small_model_hears_the_words_so_far() -> None:
    small = replying("i see")
    engines = TwoModels(stt_engine=hearing("I went", " to Graz"), others={"lab/small": small})
    settings = of_llm(allowed_phrases=["Go on", "I see"], temperature=0.2, max_tokens=4)
    async with staged(BackchannelStage, engines, settings, VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(TranscriptionDelta, 2)
        await talk(session, (1280, SPEECH))
        assert await sounds(client, 1) == ["I see"]

    (request,) = small.requests
    assert (request.temperature, request.max_output_tokens) == (0.2, 4)
    told = text_of(request)
    assert told[0].endswith("The sounds to choose from: Go on, I see.")
    assert "Assistant: Good evening." in told[1]
    assert told[1].endswith("The speaker is just saying: I went to Graz")


async def test_the_client_may_say_how_it_is_decided() -> None:
    small = replying("Aye")
    engines = TwoModels(stt_engine=hearing("I went"), others={"lab/small": small})
    settings = of_llm(prompt_template="You are a pirate.", history_tail_items=0)
    async with staged(BackchannelStage, engines, settings, VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(TranscriptionDelta)
        await talk(session, (1280, SPEECH))
        assert await sounds(client, 1) == ["Aye"]

    told = text_of(small.requests[0])
    assert told[0].startswith("system: You are a pirate.\n")
    assert "Good evening" not in told[1]


@pytest.mark.parametrize("answer", ["NONE", "Well, what I would say is this"])
async def test_a_small_model_may_prefer_silence(answer: str) -> None:
    small = replying(answer)
    engines = TwoModels(stt_engine=hearing("I went"), others={"lab/small": small})
    async with staged(BackchannelStage, engines, of_llm(eval_interval_ms=320), VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(TranscriptionDelta)
        await talk(session, (320, SPEECH))
        await asyncio.wait_for(small.closed.wait(), 10)
        small.closed.clear()
        await talk(session, (960, SPEECH))
        await asyncio.wait_for(small.closed.wait(), 10)  # it is asked again
        await finished(session, client)
        assert not client.of(BackchannelDone)
        assert not client.of(BackchannelSkipped)


async def test_before_a_word_is_known_no_model_is_asked() -> None:
    small = replying("I see")
    engines = TwoModels(others={"lab/small": small})
    async with staged(BackchannelStage, engines, of_llm(), VAD) as (session, client):
        await talk(session, (4800, SPEECH))
        await finished(session, client)
    assert small.requests == []


async def test_a_model_that_is_named_can_be_left_unasked() -> None:
    small = replying("Aye")
    engines = TwoModels(stt_engine=hearing("I went"), others={"lab/small": small})
    async with staged(BackchannelStage, engines, of_llm(decider_kind="rule"), VAD) as (session, client):
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]
    assert small.requests == []


async def test_without_a_small_model_chance_decides() -> None:
    async with staged(BackchannelStage, Engines(), wanted(decider_kind="llm"), VAD) as (session, client):
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]


# --- what goes wrong -----------------------------------------------------------------------------------

BREAK: dict[str, Callable[[], tuple[Engines, dict[str, Any]]]] = {
    "no capacity": lambda: (
        TwoModels(
            stt_engine=hearing("I went"), others={"lab/small": ScriptedLlm(OverloadedError("no capacity"))}
        ),
        of_llm(),
    ),
    "no model 'nowhere/small'": lambda: (
        TwoModels(stt_engine=hearing("I went")),
        wanted(small_model="nowhere/small"),
    ),
    "ZeroDivisionError": lambda: (Engines(tts_engine=Choosy()), wanted()),
    "longer than 4 s": lambda: (Engines(), wanted(allowed_phrases=["x" * 500])),
}


@pytest.mark.parametrize("problem", BREAK)
async def test_trouble_is_logged_once_and_the_session_goes_on(
    problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    engines, settings = BREAK[problem]()
    settings["backchannel"].update(min_gap_ms=640, eval_interval_ms=320)
    async with staged(BackchannelStage, engines, settings, VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(SpeechStarted)
        for _ in range(10):
            await talk(session, (640, SPEECH))
        await finished(session, client)
        assert client.of(ResponseDone)[0].response.status == "completed"
        assert not client.of(ErrorRaised)
        assert not client.of(BackchannelDone)
        assert not client.of(BackchannelSkipped)

    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert problem in warnings[0]


async def test_what_has_failed_is_left_alone_for_a_while() -> None:
    small = ScriptedLlm(OverloadedError("no capacity"))
    engines = TwoModels(stt_engine=hearing("I went"), others={"lab/small": small})
    settings = of_llm(min_gap_ms=60_000, eval_interval_ms=100)
    async with staged(BackchannelStage, engines, settings, VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(TranscriptionDelta)
        await talk(session, (640, SPEECH))
        async with asyncio.timeout(10):
            await small.closed.wait()
        await talk(session, (3200, SPEECH))
        await finished(session, client)
    assert len(small.requests) == 1


async def test_a_session_that_ends_meanwhile_leaves_nothing_behind() -> None:
    tts = Slow()
    async with staged(BackchannelStage, Engines(tts_engine=tts), wanted(), VAD) as (session, _):
        await talk(session, (1600, SPEECH))
        async with asyncio.timeout(10):
            await tts.asked.wait()


async def test_a_turn_that_is_thrown_away_has_no_more_sounds() -> None:
    tts = Slow()
    settings = wanted(hard_deadline_ms=60_000)
    async with staged(BackchannelStage, Engines(tts_engine=tts), settings, VAD) as (session, client):
        await talk(session, (1600, SPEECH))
        async with asyncio.timeout(10):
            await tts.asked.wait()
        session.dispatch(ClearAudio())
        assert (await client.wait(BackchannelSkipped)).reason == "turn_ended"


async def test_sounds_are_in_the_language_that_was_heard() -> None:
    async def german(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        async for _ in audio:
            pass
        yield TranscriptFinal("Ist es kalt?", languages=("de",))

    settings = wanted(min_gap_ms=0, max_per_turn=1)
    async with staged(BackchannelStage, Engines(stt_engine=ScriptedStt(german)), settings, VAD) as (
        session,
        client,
    ):
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]
        await finished(session, client)
        await client.wait(TranscriptionCompleted)
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 2) == ["Uh-huh", "Ja"]


# --- in mid-turn -----------------------------------------------------------------------------------------


async def test_an_update_in_mid_turn_switches_it_on() -> None:
    small = replying("I see")
    engines = TwoModels(stt_engine=hearing("I went", " home"), others={"lab/small": small})
    async with staged(BackchannelStage, engines, {}, VAD) as (session, client):
        await talk(session, (1920, SPEECH))
        await client.wait(SpeechStarted)
        session.dispatch(UpdateSession({"provider_data": wanted()}))
        await client.wait(SessionUpdated)
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["Uh-huh"]
        assert len(client.of(SpeechStarted)) == 1


async def test_a_model_that_comes_in_mid_turn_hears_the_words_from_there_on() -> None:
    may_go_on = asyncio.Event()

    async def script(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        await anext(audio)
        yield TranscriptDelta("I went")
        await may_go_on.wait()
        yield TranscriptDelta(" home")
        async for _ in audio:
            pass
        yield TranscriptFinal("I went home")

    small = replying("I see")
    engines = TwoModels(stt_engine=ScriptedStt(script), others={"lab/small": small})
    async with staged(BackchannelStage, engines, {}, VAD) as (session, client):
        await talk(session, (640, SPEECH))
        await client.wait(TranscriptionDelta)
        session.dispatch(UpdateSession({"provider_data": of_llm(min_speech_ms=100, eval_interval_ms=100)}))
        await talk(session, (320, SPEECH))  # so that it is known that somebody speaks
        may_go_on.set()
        await client.wait(TranscriptionDelta, 2)
        await talk(session, (1920, SPEECH))
        assert await sounds(client, 1) == ["I see"]
        assert text_of(small.requests[0])[1].endswith("The speaker is just saying: home")


async def test_an_update_in_mid_turn_switches_it_off() -> None:
    tts = Slow()
    settings = wanted(hard_deadline_ms=60_000)
    async with staged(BackchannelStage, Engines(tts_engine=tts), settings, VAD) as (session, client):
        await talk(session, (1600, SPEECH))
        async with asyncio.timeout(10):
            await tts.asked.wait()
        session.dispatch(UpdateSession({"provider_data": wanted(enabled=False)}))
        assert (await client.wait(BackchannelSkipped)).reason == "turn_ended"
        tts.may_speak.set()
        await talk(session, (4800, SPEECH))
        await finished(session, client)
        assert not client.of(BackchannelDone)
