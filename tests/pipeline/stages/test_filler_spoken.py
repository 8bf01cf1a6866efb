"""Filler speech in spoken turns: in real time, with waits of a millisecond."""

import asyncio
from dataclasses import replace
from typing import Any

from pipeline.commands import (
    CancelResponse,
    CreateResponse,
    TruncateItem,
)
from pipeline.config import Patch
from pipeline.effects import StartGeneration
from pipeline.events import (
    AudioDelta,
    IdleTimeout,
    ItemTruncated,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    TranscriptDelta,
)
from pipeline.session import Session
from pipeline.stages.filler import FillerStage
from providers.contracts import (
    TranscriptFinal,
)
from tests.pipeline.playbook import PLAIN, text_of
from tests.pipeline.scripted import Engines, Heard, ScriptedLlm, ScriptedStt, ScriptedTts, replying
from tests.pipeline.sessions import tone
from tests.pipeline.stages.stages import after, staged, transcript
from tests.pipeline.stages.waiting import REPLY, said, wanted
from tests.pipeline.test_turn_taking import ScriptedJudge

AT_ONCE = wanted(initial_wait_timeout_ms=1)
SPOKEN: Patch = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 320}}}}
SAY = tone(320, 0) + tone(640, 4000) + tone(640, 0)


async def test_a_filler_can_be_interrupted() -> None:
    engines = Engines(ScriptedLlm(asyncio.Event()))
    async with staged(FillerStage, engines, AT_ONCE, SPOKEN) as (session, client):
        await session.append_audio(SAY)
        await client.wait(AudioDelta)
        engines.llm_engine = replying("Yes.")
        await session.append_audio(SAY)  # the user goes on
        await client.wait(SpeechStarted, 2)
        first = await client.wait(ResponseDone)
        assert first.response.status == "cancelled"
        assert first.response.details is not None
        assert first.response.details.reason == "turn_detected"
        assert said(first) == "One moment. "

        second = await client.wait(ResponseDone, 2)
        assert (second.response.status, said(second)) == ("completed", "Yes. ")


async def test_what_was_not_heard_of_a_filler_is_cut_off() -> None:
    engines = Engines(ScriptedLlm(asyncio.Event()))
    async with staged(FillerStage, engines, AT_ONCE, SPOKEN) as (session, client):
        await session.append_audio(SAY)
        await client.wait(AudioDelta)
        session.dispatch(CancelResponse())
        (message,) = (await client.wait(ResponseDone)).response.output
        session.dispatch(TruncateItem(message.id, 0, 0))
        await client.wait(ItemTruncated)
        engines.llm_engine = llm = replying("Yes.")
        await session.append_audio(SAY)
        await client.wait(ResponseDone, 2)

    assert not any("One moment" in line for line in text_of(llm.requests[0]))


PREPARED: dict[str, Any] = {
    "judge": ScriptedJudge(),
    "turn_taking": replace(PLAIN, speculation="auto", has_turn_model=True, suggestion_events=True),
}
LONG: Patch = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 960}}}}


async def prepared(session: Session, client: Heard) -> None:
    """Speak, and fall silent for so long that a reply is being prepared."""
    watcher = Heard()
    session.watch(watcher)
    await session.append_audio(tone(640, 4000) + tone(640, 0))
    assert (await watcher.wait(StartGeneration)).speculative
    assert not client.of(ResponseCreated)


async def test_a_reply_that_is_ready_needs_no_filler() -> None:
    llm = replying("Hello there.")
    async with staged(FillerStage, Engines(llm), AT_ONCE, LONG, **PREPARED) as (session, client):
        await prepared(session, client)
        async with asyncio.timeout(10):
            await llm.closed.wait()
        await session.append_audio(tone(640, 0))
        assert said(await client.wait(ResponseDone)) == "Hello there. "


async def test_a_reply_that_was_begun_early_and_is_slow_all_the_same_has_one() -> None:
    may_answer = asyncio.Event()
    tts = ScriptedTts()
    engines = Engines(ScriptedLlm(may_answer, *REPLY), tts_engine=tts)
    async with staged(FillerStage, engines, AT_ONCE, LONG, **PREPARED) as (session, client):
        await prepared(session, client)
        assert transcript(client) == []
        await session.append_audio(tone(640, 0))
        await client.wait(AudioDelta)
        assert transcript(client) == ["One moment. "]
        may_answer.set()
        assert said(await client.wait(ResponseDone)) == "One moment. Rather."
        assert tts.segments == ["One moment. ", "Rather."]


async def test_the_phrase_is_in_the_language_that_was_heard() -> None:
    async def german(audio: Any) -> Any:
        async for _ in audio:
            pass
        yield TranscriptFinal("Ist es kalt?", languages=("de",))

    engines = Engines(ScriptedLlm(asyncio.Event()), ScriptedStt(german))
    async with staged(FillerStage, engines, AT_ONCE, SPOKEN) as (session, client):
        await session.append_audio(SAY)
        await client.wait(TranscriptDelta)
        assert transcript(client) == ["Einen Moment. "]
        session.dispatch(CancelResponse())


async def test_who_has_said_nothing_does_not_wait() -> None:
    idle: Patch = {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1}}}}
    llm = replying("Good evening again.")
    engines = Engines(llm)
    async with staged(FillerStage, engines, AT_ONCE, idle) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        engines.llm_engine = after(0.02, *REPLY)  # much longer than a filler waits
        await session.append_audio(tone(320, 0))
        await client.wait(IdleTimeout)
        assert said(await client.wait(ResponseDone, 2)) == "Rather."


async def test_a_filler_waits_until_it_is_known_that_something_was_said() -> None:
    may_hear = asyncio.Event()
    heard = ["", "Is it cold?"]

    async def slowly(audio: Any) -> Any:
        async for _ in audio:
            pass
        await may_hear.wait()
        yield TranscriptFinal(heard.pop(0))

    engines = Engines(ScriptedLlm(asyncio.Event()), ScriptedStt(slowly))
    async with staged(FillerStage, engines, AT_ONCE, SPOKEN) as (session, client):
        await session.append_audio(SAY)
        await client.wait(ResponseCreated)
        may_hear.set()
        done = await client.wait(ResponseDone)  # a cough: there is nothing to answer
        assert done.response.output == ()
        await session.append_audio(SAY)
        await client.wait(TranscriptDelta)
        assert transcript(client) == ["One moment. "]
