"""Turn taking in whole sessions: judgements, replies prepared in advance, timeouts, players of our own."""

import asyncio
import random
import threading
from dataclasses import replace

import numpy as np
import pytest

from pipeline.commands import CommitAudio, CreateItem, CreateResponse, RetrieveItem, UpdateSession
from pipeline.config import Patch
from pipeline.core.pauses import CHECK_MS
from pipeline.effects import ReportSpeculation, StartGeneration
from pipeline.events import (
    AudioDelta,
    BufferCommitted,
    IdleTimeout,
    ItemRetrieved,
    ItemTruncated,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TurnSuggested,
)
from pipeline.items import InputAudio, MessageItem
from pipeline.judging import Judgement, TurnJudge
from pipeline.turn_taking import TurnTaking
from providers.contracts import LlmFinished, TextDelta
from providers.errors import ProviderError
from tests.pipeline.playbook import PLAIN, text_of, user
from tests.pipeline.scripted import Engines, Heard, ScriptedLlm, ScriptedTts, replying
from tests.pipeline.sessions import RATE, opened, tone

AUTO = replace(PLAIN, speculation="auto", suggestion_events=True)


def with_model(rules: TurnTaking) -> TurnTaking:
    return replace(rules, has_turn_model=True)


def vad(silence_ms: int, **more: object) -> Patch:
    return {"audio": {"input": {"turn_detection": {"silence_duration_ms": silence_ms, **more}}}}


class ScriptedJudge:
    """Finds every turn as finished as it is told to; may be held up."""

    sample_rate = 16_000
    window_seconds = 1.0

    def __init__(self, probability: float = 0.9) -> None:
        self.probability_of = probability
        self.heard: list[int] = []  # samples in each call
        self.failing = False
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def probability(self, pcm: bytes) -> float:
        self.heard.append(len(pcm) // 2)
        self.asked.set()
        assert self.may_answer.wait(10)
        if self.failing:
            raise ProviderError("the judge broke")
        return self.probability_of


async def test_a_reply_is_prepared_in_the_pause_and_used_at_its_end() -> None:
    llm, watcher = replying("Hello there."), Heard()
    judge = ScriptedJudge()
    async with opened(Engines(llm), vad(960), judge=judge, turn_taking=with_model(AUTO)) as (session, client):
        session.watch(watcher)
        await session.append_audio(tone(640, 8000) + tone(640, 0))
        await client.wait(TurnSuggested)
        await watcher.wait(StartGeneration)
        assert not client.of(SpeechStopped)

        await session.append_audio(tone(640, 0))
        done = await client.wait(ResponseDone)

    assert done.response.status == "completed"
    assert [report.outcome for report in watcher.of(ReportSpeculation)] == ["used"]
    assert len(llm.requests) == 1
    names = client.names()
    assert names.index("SpeechStopped") < names.index("ResponseCreated") < names.index("AudioDelta")


async def test_a_reply_to_a_turn_that_went_on_is_stopped_and_nobody_hears_of_it() -> None:
    never = asyncio.Event()
    llm, watcher = ScriptedLlm(TextDelta("Well. "), never, LlmFinished("stop")), Heard()
    async with opened(Engines(llm), vad(960), judge=ScriptedJudge(), turn_taking=with_model(AUTO)) as (
        session,
        client,
    ):
        session.watch(watcher)
        await session.append_audio(tone(640, 8000) + tone(640, 0))
        await client.wait(TurnSuggested)
        await watcher.wait(StartGeneration)

        await session.append_audio(tone(640, 8000))
        await llm.closed.wait()

        assert [report.outcome for report in watcher.of(ReportSpeculation)] == ["revoked"]
        assert not client.of(ResponseCreated)
        assert not client.of(AudioDelta)


async def test_a_turn_that_was_transcribed_in_pieces_is_answered_as_a_whole() -> None:
    llm = replying("Hello there.")
    async with opened(Engines(llm), vad(960), judge=ScriptedJudge(), turn_taking=with_model(AUTO)) as (
        session,
        client,
    ):
        await session.append_audio(tone(640, 8000) + tone(480, 0))
        await client.wait(TurnSuggested)
        await session.append_audio(tone(640, 8000) + tone(1600, 0))
        heard = await client.wait(TranscriptionCompleted)
        await client.wait(ResponseDone)

    first, second = (int(count) for count in heard.transcript.removesuffix(" samples").split(" samples "))
    assert first == 16 * (640 + CHECK_MS)  # up to the judgement
    assert second >= 16 * 640
    assert text_of(llm.requests[-1]) == [f"user: {heard.transcript}"]


async def test_what_comes_behind_a_pause_waits_for_its_judgement() -> None:
    judge = ScriptedJudge(0.99)
    judge.may_answer.clear()
    semantic: Patch = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    async with opened(Engines(), semantic, judge=judge, turn_taking=with_model(PLAIN)) as (session, client):
        try:
            # All of it at once: the second turn must not run into the first, however slow the judge is.
            await session.append_audio(tone(640, 8000) + tone(1600, 0) + tone(640, 8000) + tone(1600, 0))
            await asyncio.to_thread(judge.asked.wait, 10)
            assert not client.of(SpeechStopped)
        finally:
            judge.may_answer.set()
        await client.wait(SpeechStopped, 2)

    ends = [event.audio_end_ms for event in client.of(SpeechStopped)]
    assert 640 < ends[0] < 640 + 400
    assert 2880 < ends[1] < 2880 + 400


async def test_a_judge_hears_the_end_of_the_turn_and_no_more_than_it_can_use() -> None:
    judge = ScriptedJudge(0.0)
    async with opened(Engines(), vad(320), judge=judge, turn_taking=with_model(PLAIN)) as (session, client):
        await session.append_audio(tone(320, 8000) + tone(640, 0))
        await client.wait(SpeechStopped)
        await session.append_audio(tone(1920, 8000) + tone(640, 0))
        await client.wait(SpeechStopped, 2)

    assert judge.heard == [16 * (320 + CHECK_MS), 16_000]


async def test_a_judge_that_breaks_leaves_the_silence_to_decide() -> None:
    judge = ScriptedJudge()
    judge.failing = True
    async with opened(Engines(), vad(480), judge=judge, turn_taking=with_model(AUTO)) as (session, client):
        await session.append_audio(tone(640, 8000) + tone(1600, 0))
        stopped = await client.wait(SpeechStopped)
        await client.wait(ResponseDone)

    assert stopped.audio_end_ms == 640 + 480
    assert not client.of(TurnSuggested)


async def test_a_session_may_end_while_a_turn_is_judged() -> None:
    judge = ScriptedJudge()
    judge.may_answer.clear()
    try:
        async with opened(Engines(), vad(960), judge=judge, turn_taking=with_model(AUTO)) as (session, _):
            await session.append_audio(tone(640, 8000) + tone(640, 0))
            await asyncio.to_thread(judge.asked.wait, 10)
            late = threading.Timer(0.2, judge.may_answer.set)  # the session does not wait for it
            late.start()
    finally:
        judge.may_answer.set()
    late.join()


async def test_decisions_are_logged_with_what_they_were_made_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pipeline.session")
    semantic: Patch = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    async with opened(Engines(), semantic, judge=ScriptedJudge(0.97), turn_taking=with_model(PLAIN)) as (
        session,
        client,
    ):
        await session.append_audio(tone(640, 8000) + tone(1600, 0))
        await client.wait(SpeechStopped)

    assert any("end after" in line and "sound 0.97" in line for line in caplog.messages)


async def test_silence_after_a_reply_makes_the_assistant_speak() -> None:
    async with opened(Engines(replying("Hi.")), vad(320, idle_timeout_ms=50)) as (session, client):
        session.dispatch(CreateItem(user("Hello.")))
        session.dispatch(CreateResponse())
        await session.append_audio(tone(320, 0))
        await client.wait(IdleTimeout)
        await client.wait(ResponseDone, 2)


@pytest.mark.parametrize("seed", range(8))
async def test_no_sample_is_lost_however_turn_detection_is_switched_in_mid_speech(seed: int) -> None:
    chance = random.Random(seed)
    kinds: list[dict[str, object] | None] = [
        None,
        {"type": "server_vad", "silence_duration_ms": 200},
        {"type": "server_vad", "silence_duration_ms": 900, "threshold": 0.4},
        {"type": "semantic_vad", "eagerness": "high"},
    ]
    quiet: Patch = {"audio": {"input": {"turn_detection": {"silence_duration_ms": 320}}}}
    delays = [None, None, {"type": "near_field", "strength": 0.0}]  # it changes nothing but the moment
    sent = 0
    async with opened(Engines(), quiet, judge=ScriptedJudge(0.5), turn_taking=with_model(PLAIN)) as (
        session,
        client,
    ):
        for _ in range(12):
            milliseconds = chance.choice([32, 100, 333, 640])
            await session.append_audio(tone(milliseconds, 8000))  # whoever speaks does not stop
            sent += milliseconds * RATE // 1000
            chosen = {"turn_detection": chance.choice(kinds), "noise_reduction": chance.choice(delays)}
            session.dispatch(UpdateSession({"audio": {"input": chosen}}))
        session.dispatch(UpdateSession({"audio": {"input": {"turn_detection": None}}}))
        await session.append_audio(tone(100, 8000))
        sent += 100 * RATE // 1000
        session.dispatch(CommitAudio())
        kept = 0
        for item in client.of(BufferCommitted):
            session.dispatch(RetrieveItem(item.item_id))
            found = client.of(ItemRetrieved)[-1].item
            assert isinstance(found, MessageItem)
            assert isinstance(found.content[0], InputAudio)
            kept += len(found.content[0].pcm) // 2

    assert kept == sent


async def test_noise_is_reduced_before_anybody_listens() -> None:
    noise = np.random.default_rng(1).normal(0, 400, 4 * RATE).astype("<i2").tobytes()
    hand: Patch = {"audio": {"input": {"turn_detection": None}}}
    levels = []
    for reduction in (None, {"type": "near_field"}, {"type": "near_field", "strength": 0.0}):
        async with opened(Engines(), hand) as (session, client):
            session.dispatch(UpdateSession({"audio": {"input": {"noise_reduction": reduction}}}))
            await session.append_audio(noise)
            session.dispatch(CommitAudio())
            session.dispatch(RetrieveItem(client.of(BufferCommitted)[0].item_id))
            item = client.of(ItemRetrieved)[0].item
            assert isinstance(item, MessageItem)
            assert isinstance(item.content[0], InputAudio)
            heard = np.frombuffer(item.content[0].pcm, "<i2").astype(float)
            assert len(heard) == 4 * RATE
            levels.append(20 * np.log10(heard[2 * RATE :].std()))

    without, reduced, unmixed = levels
    assert reduced < without - 5  # dB
    assert unmixed == pytest.approx(without, abs=0.1)


class Loudspeaker:
    """Has played a part of what it was given."""

    def __init__(self) -> None:
        self.item_id = ""
        self.stops = 0

    def stop(self) -> tuple[str, int] | None:
        self.stops += 1
        return (self.item_id, 100) if self.item_id else None


async def test_what_the_servers_own_player_had_not_played_leaves_the_conversation() -> None:
    player, llm = Loudspeaker(), replying("One two three four five six seven eight nine ten.")
    async with opened(Engines(llm, tts_engine=ScriptedTts()), vad(320), player=player) as (session, client):
        session.dispatch(CreateItem(user("Count.")))
        session.dispatch(CreateResponse())
        done = await client.wait(ResponseDone)
        item = done.response.output[0]
        assert isinstance(item, MessageItem)
        player.item_id = item.id

        await session.append_audio(tone(640, 8000))
        await client.wait(SpeechStarted)
        cut = await client.wait(ItemTruncated)
        await session.append_audio(tone(640, 0))
        await client.wait(ResponseDone, 2)

    assert (cut.item_id, cut.audio_end_ms) == (item.id, 100)
    assert "assistant: One two" in text_of(llm.requests[-1])
    assert player.stops == 1


# --- the judge of turns by itself ------------------------------------------------------------------------


async def test_without_a_model_nobody_knows() -> None:
    with TurnJudge(None) as judge:
        assert not judge.has_model
        assert await judge.judge(bytes(3200), 16_000) == Judgement(None, 0.0)


async def test_judgements_that_would_come_too_late_are_left_out() -> None:
    model = ScriptedJudge()
    model.may_answer.clear()
    with TurnJudge(model) as judge:
        asked = [asyncio.create_task(judge.judge(bytes(3200), 16_000)) for _ in range(40)]
        await asyncio.to_thread(model.asked.wait, 10)
        refused = [task for task in asked if task.done()]
        model.may_answer.set()
        answers = await asyncio.gather(*asked)

    assert refused  # at once, without waiting for their turn
    assert len(model.heard) < 40
    assert sum(answer.probability is not None for answer in answers) == len(model.heard)


async def test_audio_of_any_rate_reaches_the_model_at_its_own() -> None:
    model = ScriptedJudge(0.25)
    with TurnJudge(model) as judge:
        for rate in (8_000, 24_000, 48_000):
            assert (await judge.judge(bytes(2 * rate), rate)).probability == 0.25

    assert model.heard == [16_000] * 3
