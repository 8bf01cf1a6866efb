"""Listener sounds: what a small model makes of them, what goes wrong, and what changes in mid-turn."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from pipeline.commands import ClearAudio, UpdateSession
from pipeline.events import (
    BackchannelDone,
    BackchannelSkipped,
    ErrorRaised,
    ResponseDone,
    SessionUpdated,
    SpeechStarted,
    TranscriptionCompleted,
    TranscriptionDelta,
)
from pipeline.stages.backchannel import BackchannelStage
from providers.contracts import (
    SttEvent,
    TranscriptDelta,
    TranscriptFinal,
)
from providers.errors import OverloadedError
from tests.pipeline.playbook import text_of
from tests.pipeline.scripted import Engines, ScriptedLlm, ScriptedStt, replying
from tests.pipeline.stages.listening import (
    SPEECH,
    VAD,
    Choosy,
    Slow,
    finished,
    hearing,
    of_llm,
    sounds,
    talk,
    wanted,
)
from tests.pipeline.stages.stages import TwoModels, staged

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
