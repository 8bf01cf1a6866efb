"""A whole session: engine, workers and audio together, and that nothing of it outlives it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import get_args

import numpy as np
import pytest

from pipeline.audio.codecs import encode
from pipeline.commands import (
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    FrameScored,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from pipeline.config import AudioFormat, FormatType, Patch
from pipeline.core.engine import Engine
from pipeline.core.state import EngineLimits
from pipeline.effects import Effect, Emit, ReportFirstOutput, StartGeneration
from pipeline.events import (
    AudioDelta,
    BufferCommitted,
    ErrorRaised,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    OutputItemAdded,
    RateLimit,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    StatusDetails,
    TextDelta,
    TranscriptDelta,
    TranscriptionCompleted,
    TranscriptionDelta,
    Usage,
)
from pipeline.items import InputAudio, MessageItem, OutputAudio
from pipeline.quota import QuotaExceededError
from pipeline.session import Session
from providers import contracts
from providers.contracts import Caller, SttEvent, SttOptions
from providers.vad.silero import SileroVad
from server.talk.wav import encode_wav
from tests.pipeline.playbook import text_of, user
from tests.pipeline.scripted import (
    GUARD_S,
    Engines,
    Heard,
    LoudnessVad,
    ScriptedLlm,
    ScriptedStt,
    ScriptedTts,
    replying,
)
from tests.pipeline.sessions import RATE, opened, tone
from tests.speech import recording

TEXT: Patch = {"output_modalities": ("text",)}
PUSH_TO_TALK: Patch = {**TEXT, "audio": {"input": {"turn_detection": None}}}
VAD: Patch = {**TEXT, "audio": {"input": {"turn_detection": {"silence_duration_ms": 320}}}}


def levels(pcm: bytes) -> set[int]:
    """The levels in it, in thousands; what a filter makes of the edges between them does not count."""
    values, counts = np.unique(np.round(np.frombuffer(pcm, "<i2") / 1000), return_counts=True)
    return {int(value) for value, count in zip(values, counts, strict=True) if count > 100}


async def retrieve(session: Session, client: Heard, item_id: str) -> bytes:
    """The audio of an item's last part."""
    session.dispatch(RetrieveItem(item_id))
    item = client.of(ItemRetrieved)[-1].item
    assert isinstance(item, MessageItem)
    part = item.content[-1]
    assert isinstance(part, InputAudio | OutputAudio)
    return part.pcm


# --- turns -------------------------------------------------------------------------------------------


async def test_a_typed_turn_is_answered() -> None:
    async with opened(Engines(replying("Hello there.")), TEXT) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        done = await client.wait(ResponseDone)

    assert done.response.status == "completed"
    assert client.names() == [
        "SessionCreated",
        "ItemAdded",
        "ItemDone",
        "ResponseCreated",
        "OutputItemAdded",
        "ItemAdded",
        "PartAdded",
        "TextDelta",
        "TextDone",
        "PartDone",
        "ItemDone",
        "OutputItemDone",
        "ResponseDone",
    ]


async def test_a_spoken_turn_is_heard_answered_and_kept() -> None:
    engines = Engines(replying("Hello there."))
    patch: Patch = {"audio": {"input": {"turn_detection": {"silence_duration_ms": 320}}}}
    async with opened(engines, patch) as (session, client):
        await session.append_audio(tone(640, 0) + tone(640, 4000) + tone(640, 0))
        done = await client.wait(ResponseDone)

        started, stopped = client.of(SpeechStarted)[0], client.of(SpeechStopped)[0]
        assert (started.audio_start_ms, stopped.audio_end_ms) == (440, 1600)
        heard = await retrieve(session, client, started.item_id)
        assert heard == tone(200, 0) + tone(640, 4000) + tone(320, 0)
        assert client.of(TranscriptionCompleted)[0].transcript == f"{1160 * 16} samples"

        spoken = await retrieve(session, client, done.response.output[0].id)
        assert spoken == b"".join(delta.pcm for delta in client.of(AudioDelta))
        assert len(spoken) == len("Hello there. ") * 480


async def test_two_turns_sent_faster_than_real_time_stay_apart() -> None:
    stt = ScriptedStt()
    async with opened(Engines(replying("Yes."), stt), VAD) as (session, client):
        await session.append_audio(
            tone(320, 0) + tone(640, 4000) + tone(960, 0) + tone(640, 9000) + tone(960, 0)
        )
        await client.wait(TranscriptionCompleted, 2)
        await client.wait(ResponseDone, 2)

        first, second = client.of(BufferCommitted)
        assert second.item_id != first.item_id
        kept = [await retrieve(session, client, turn.item_id) for turn in (first, second)]

    assert [levels(heard) for heard in stt.heard] == [{0, 4}, {0, 9}]
    assert kept == [
        tone(200, 0) + tone(640, 4000) + tone(320, 0),
        tone(200, 0) + tone(640, 9000) + tone(320, 0),
    ]
    assert [event.audio_start_ms for event in client.of(SpeechStarted)] == [120, 1720]
    assert [event.audio_end_ms for event in client.of(SpeechStopped)] == [1280, 2880]


async def test_real_speech_has_the_same_turns_however_it_is_cut() -> None:
    speech = recording("beckett", RATE) + tone(1000, 0)
    patch: Patch = {
        "audio": {"input": {"turn_detection": {"silence_duration_ms": 500, "create_response": False}}}
    }
    found = []
    for piece_ms in (7, 20, 10_000):
        step = 2 * (piece_ms * RATE // 1000)
        async with opened(Engines(), patch, vad=SileroVad()) as (session, client):
            for offset in range(0, len(speech), step):
                await session.append_audio(speech[offset : offset + step])
            await client.wait(TranscriptionCompleted, 6)  # one turn per sentence

            borders = [
                (start.audio_start_ms, stop.audio_end_ms)
                for start, stop in zip(client.of(SpeechStarted), client.of(SpeechStopped), strict=True)
            ]
            for turn, (start, stop) in zip(client.of(BufferCommitted), borders, strict=True):
                assert await retrieve(session, client, turn.item_id) == speech[48 * start : 48 * stop]
            found.append(borders)

    assert found[0] == found[1] == found[2]


async def test_recorded_by_hand_not_a_sample_is_lost_or_heard_twice() -> None:
    stt = ScriptedStt(sample_rate=RATE)
    audio = np.random.default_rng(1).integers(-9000, 9000, 10_007).astype("<i2").tobytes()
    async with opened(Engines(stt_engine=stt), PUSH_TO_TALK) as (session, client):
        for offset in range(0, len(audio), 2 * 481):
            await session.append_audio(audio[offset : offset + 2 * 481])
        session.dispatch(CommitAudio())
        await client.wait(TranscriptionCompleted)

        kept = await retrieve(session, client, client.of(BufferCommitted)[0].item_id)

    assert kept == audio
    assert stt.heard[0] in (audio, audio[:-2])


async def test_partial_texts_come_while_the_user_still_speaks() -> None:
    async def growing(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        async for _ in audio:
            yield contracts.TranscriptDelta("word ")
        yield contracts.TranscriptFinal("word word")

    async with opened(Engines(stt_engine=ScriptedStt(growing)), VAD) as (session, client):
        await session.append_audio(tone(640, 4000))
        await client.wait(TranscriptionDelta)

        assert not client.of(SpeechStopped)


async def test_switched_to_push_to_talk_in_mid_speech_the_turn_goes_on() -> None:
    stt = ScriptedStt()
    async with opened(Engines(stt_engine=stt), VAD) as (session, client):
        await session.append_audio(tone(640, 4000))
        await client.wait(SpeechStarted)
        session.dispatch(UpdateSession(PUSH_TO_TALK))
        await session.append_audio(tone(640, 0) + tone(640, 4000))
        session.dispatch(CommitAudio())
        done = await client.wait(TranscriptionCompleted)

    assert not client.of(SpeechStopped)
    assert done.transcript == f"{1920 * 16} samples"


async def test_the_rate_may_change_between_two_pieces_of_a_turn() -> None:
    stt = ScriptedStt()
    slower: Patch = {"audio": {"input": {"format": AudioFormat(rate=8_000)}}}
    async with opened(Engines(stt_engine=stt), PUSH_TO_TALK) as (session, client):
        await session.append_audio(tone(500, 4000))
        session.dispatch(UpdateSession(slower))
        await session.append_audio(tone(500, 4000, 8_000))
        session.dispatch(CommitAudio())
        await client.wait(TranscriptionCompleted)

        kept = await retrieve(session, client, client.of(BufferCommitted)[0].item_id)

    assert abs(len(stt.heard[0]) / 2 - 16_000) < 40
    assert abs(len(kept) / 2 - 8_000) < 10
    assert levels(kept) == {4}


async def test_the_hints_of_the_session_reach_the_engine() -> None:
    stt = ScriptedStt()
    patch: Patch = {
        "audio": {"input": {"turn_detection": None, "transcription": {"language": "de", "prompt": "x"}}}
    }
    async with opened(Engines(stt_engine=stt), patch) as (session, client):
        await session.append_audio(tone(200, 0))
        session.dispatch(CommitAudio())
        await client.wait(TranscriptionCompleted)

    assert stt.options == [SttOptions("de", "x", caller=Caller("sess"))]


async def test_recordings_inside_items_are_transcribed_and_kept() -> None:
    llm = replying("Yes.")
    item = MessageItem("clip", "user", (InputAudio(pcm=tone(100, 1)), InputAudio(pcm=tone(200, 2))))
    async with opened(Engines(llm), TEXT) as (session, client):
        session.dispatch(CreateItem(item))
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)

        assert await retrieve(session, client, "clip") == tone(200, 2)
    assert text_of(llm.requests[0]) == ["user: 1600 samples 3200 samples"]


async def test_audio_is_heard_alike_in_every_format() -> None:
    heard = []
    for type in get_args(FormatType):
        stt = ScriptedStt()
        format = AudioFormat(type, 8_000)
        patch: Patch = {"audio": {"input": {"format": format, "turn_detection": None}}}
        async with opened(Engines(stt_engine=stt), patch) as (session, client):
            data = encode(tone(2_500, 4000, 8_000), type)
            await session.append_audio(data)
            session.dispatch(CommitAudio())
            await client.wait(TranscriptionCompleted)
            heard.append((len(stt.heard[0]), levels(stt.heard[0])))

    assert heard == [(2 * 40_000, {4})] * 4


async def test_samples_that_came_in_halves_are_refused() -> None:
    floats: Patch = {"audio": {"input": {"format": AudioFormat("audio/float32"), "turn_detection": None}}}
    async with opened(Engines(), floats) as (session, client):
        await session.append_audio(bytes(6), "e1")

        (raised,) = client.of(ErrorRaised)
        assert (raised.error.param, raised.client_event_id) == ("audio", "e1")


async def test_a_file_inside_an_item_is_heard_in_its_place() -> None:
    stt = ScriptedStt()
    file = encode_wav(tone(500, 4000, 16_000), 16_000)
    broken = MessageItem("broken", "user", (InputAudio(data=file[:40]),))
    good = MessageItem("good", "user", (InputAudio(data=file),))
    async with opened(Engines(replying("Yes."), stt), TEXT) as (session, client):
        await session.receive(CreateItem(broken, event_id="e1"))
        await session.receive(CreateItem(good))
        await session.receive(CreateResponse())
        await client.wait(ResponseDone)

        (raised,) = client.of(ErrorRaised)
        assert (raised.error.param, raised.client_event_id) == ("item.content[0].audio", "e1")
        kept = await retrieve(session, client, "good")
    assert (len(kept), levels(kept)) == (500 * 48, {4})
    assert [len(pcm) // 2 for pcm in stt.heard] == [8_000]


# --- interruptions -----------------------------------------------------------------------------------


async def test_speech_stops_the_model_and_the_voice() -> None:
    llm, tts = (
        ScriptedLlm(contracts.TextDelta("Well, this is a long story. "), asyncio.Event()),
        ScriptedTts(),
    )
    async with opened(Engines(llm, tts_engine=tts)) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(AudioDelta)
        await session.append_audio(tone(320, 4000))
        done = await client.wait(ResponseDone)
        async with asyncio.timeout(GUARD_S):
            await llm.closed.wait()
            await tts.closed.wait()

        assert done.response.status == "cancelled"
        told = client.all.index(done)
        assert not [
            event for event in client.all[told + 1 :] if isinstance(event, AudioDelta | TranscriptDelta)
        ]


async def test_a_truncated_reply_loses_its_unheard_audio() -> None:
    patch: Patch = {"audio": {"input": {"turn_detection": None}}}
    async with opened(Engines(replying("Hello there.")), patch) as (session, client):
        session.dispatch(CreateResponse())
        item_id = (await client.wait(ResponseDone)).response.output[0].id

        session.dispatch(TruncateItem(item_id, 0, 50))

        assert len(await retrieve(session, client, item_id)) == 50 * 48


async def test_a_cancelled_response_frees_the_conversation_for_the_next() -> None:
    llm = ScriptedLlm(contracts.TextDelta("One "), asyncio.Event())
    async with opened(Engines(llm), TEXT) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(TextDelta)
        session.dispatch(CancelResponse())
        session.dispatch(CreateResponse())
        await client.wait(TextDelta, 2)

        assert client.of(ResponseDone)[0].response.status == "cancelled"
        assert len(llm.requests) == 2


async def test_deleting_an_item_stops_the_transcription_of_all_its_recordings() -> None:
    async def never(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        yield contracts.TranscriptDelta("")
        started.release()
        await asyncio.Event().wait()

    started = asyncio.Semaphore(0)
    clip = InputAudio(pcm=tone(100, 1))
    async with opened(Engines(stt_engine=ScriptedStt(never)), TEXT) as (session, client):
        session.dispatch(CreateItem(MessageItem("clip", "user", (clip, clip))))
        for _ in range(2):
            await started.acquire()
        running = {task for task in asyncio.all_tasks() if "transcription" in task.get_name()}
        assert len(running) == 2

        session.dispatch(DeleteItem("clip"))
        async with asyncio.timeout(GUARD_S):
            await asyncio.wait(running)

        assert client.of(ItemDeleted)


# --- bounds ------------------------------------------------------------------------------------------


async def test_only_so_much_audio_is_kept_and_the_oldest_goes_first() -> None:
    async with opened(Engines(), PUSH_TO_TALK, max_kept_audio=15_000) as (session, client):
        for _ in range(2):
            await session.append_audio(tone(200, 4000))  # 9600 bytes
            session.dispatch(CommitAudio())
        first, second = client.of(BufferCommitted)

        assert await retrieve(session, client, first.item_id) == b""
        assert await retrieve(session, client, second.item_id) == tone(200, 4000)


async def test_more_audio_than_fits_is_refused_until_it_is_committed() -> None:
    limits = EngineLimits(max_buffer_seconds=1)
    async with opened(Engines(), PUSH_TO_TALK, limits=limits) as (session, client):
        await session.append_audio(tone(600, 4000))
        await session.append_audio(tone(600, 4000), "e1")
        (raised,) = client.of(ErrorRaised)
        assert (raised.error.code, raised.client_event_id) == ("input_audio_buffer_full", "e1")

        session.dispatch(CommitAudio())
        await session.append_audio(tone(600, 4000))
        assert len(client.of(ErrorRaised)) == 1
        assert len(await retrieve(session, client, client.of(BufferCommitted)[0].item_id)) == 600 * 48


async def test_who_sends_far_ahead_of_the_detector_waits_for_it() -> None:
    vad = LoudnessVad()
    vad.may_answer.clear()
    async with opened(Engines(), VAD, vad=vad) as (session, client):
        sending = asyncio.create_task(session.append_audio(tone(40_000, 0)))
        assert await asyncio.to_thread(vad.asked.wait, GUARD_S)
        done, _ = await asyncio.wait([sending], timeout=0.05)
        assert not done

        vad.may_answer.set()
        async with asyncio.timeout(GUARD_S):
            await sending
        assert client.names() == ["SessionCreated"]


async def test_speech_waits_for_a_client_that_reads_slowly() -> None:
    tts = ScriptedTts()
    patch: Patch = {"audio": {"input": {"turn_detection": None}}}
    async with opened(Engines(replying("word " * 100), tts_engine=tts), patch) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(AudioDelta)
        client.may_go_on.clear()
        await client.waits_for_room.wait()
        spoken = len(client.of(AudioDelta))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(client.of(AudioDelta)) <= spoken + 1

        client.may_go_on.set()
        await client.wait(ResponseDone)


# --- the end, and faults -----------------------------------------------------------------------------


async def test_whatever_still_runs_ends_with_the_session() -> None:
    async def never(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        yield contracts.TranscriptDelta("x")
        await asyncio.Event().wait()

    llm, stt, tts = (
        ScriptedLlm(contracts.TextDelta("One. "), asyncio.Event()),
        ScriptedStt(never),
        ScriptedTts(),
    )
    patch: Patch = {"audio": {"input": {"turn_detection": {"interrupt_response": False}}}}
    async with opened(Engines(llm, stt, tts), patch) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(AudioDelta)
        await session.append_audio(tone(640, 4000))
        await client.wait(TranscriptionDelta)

    # `opened` has checked that no task is left.
    assert llm.closed.is_set()
    assert stt.closed.is_set()
    assert tts.closed.is_set()


async def test_a_session_that_ends_while_an_engine_is_loaded_leaves_nothing() -> None:
    async with opened(Engines(), PUSH_TO_TALK) as (session, _):
        await session.append_audio(tone(200, 0))
        session.dispatch(CreateResponse())


async def test_a_failing_model_leaves_the_session_usable() -> None:
    engines = Engines(ScriptedLlm(ValueError("a bug")))
    async with opened(engines, TEXT) as (session, client):
        session.dispatch(CreateResponse())
        first = await client.wait(ResponseDone)
        engines.llm_engine = replying("Fine.")
        session.dispatch(CreateResponse())
        second = await client.wait(ResponseDone, 2)

    assert (first.response.status, second.response.status) == ("failed", "completed")


async def test_a_fault_of_our_own_is_told_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    async with opened(Engines(), TEXT) as (session, client):
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "handle", broken)
            session.dispatch(CreateResponse(event_id="e1"))
        session.dispatch(UpdateSession({"instructions": "x"}))

        (raised,) = client.of(ErrorRaised)
        assert (raised.kind, raised.client_event_id) == ("server_error", "e1")
        assert client.of(SessionUpdated)
    assert "a bug of ours" in caplog.text
    assert "a bug of ours" not in raised.error.message


async def test_commands_that_arise_while_events_are_sent_wait_their_turn() -> None:
    class Eager(Heard):
        def send(self, event: object) -> None:
            super().send(event)  # type: ignore[arg-type]
            if isinstance(event, ResponseCreated):
                session.dispatch(CreateItem(user("in between")))

    async with opened(Engines(replying("Hi.")), TEXT) as (session, _):
        eager = Eager()
        session.join(eager)
        session.dispatch(CreateResponse())
        await eager.wait(ResponseDone)

    assert not eager.of(SessionCreated)  # only the first client starts the session
    names = eager.names()
    assert names.index("ResponseCreated") < names.index("ItemAdded") < names.index("OutputItemAdded")
    assert len(eager.of(ItemDone)) == 2
    assert eager.of(OutputItemAdded)


# --- quotas and observers ----------------------------------------------------------------------------


class Purse:
    """A quota of so many requests, which remembers what was spent."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.spent: list[int] = []

    def admit(self) -> None:
        if self.requests == 0:
            raise QuotaExceededError("Nothing is left.")
        self.requests -= 1

    def spend(self, tokens: int) -> None:
        self.spent.append(tokens)

    def limits(self) -> tuple[RateLimit, ...]:
        return (RateLimit("requests", 1, self.requests, 0.0),)


async def test_a_response_takes_from_the_quota_and_tells_what_is_left() -> None:
    purse = Purse(1)
    async with opened(Engines(replying("Hello.")), TEXT, quota=purse) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        done = await client.wait(ResponseDone)
        told = await client.wait(RateLimitsUpdated)

    assert client.names()[-2:] == ["ResponseDone", "RateLimitsUpdated"]
    assert told.limits[0].remaining == 0
    assert done.response.usage is not None
    assert purse.spent == [done.response.usage.input_tokens + done.response.usage.output_tokens]
    assert purse.spent[0] > 0


async def test_without_quota_the_model_is_not_called_and_the_response_fails() -> None:
    purse = Purse(0)
    engines = Engines(replying("Hello."))
    async with opened(engines, TEXT, quota=purse) as (session, client):
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        done = await client.wait(ResponseDone)
        purse.requests = 1
        session.dispatch(CreateResponse())
        again = await client.wait(ResponseDone, 2)

    assert done.response.status == "failed"
    assert done.response.details == StatusDetails(code="rate_limit_exceeded", message="Nothing is left.")
    assert done.response.usage == Usage(0, 0)
    assert again.response.status == "completed"
    assert purse.spent[0] == 0


class Watcher:
    """Remembers what was done."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def saw(self, effect: Effect) -> None:
        self.effects.append(effect)


async def test_an_observer_sees_every_event_and_what_was_done_besides() -> None:
    watcher = Watcher()
    async with opened(Engines(replying("Hello.")), TEXT, quota=Purse(1)) as (session, client):
        before = len(client.all)
        session.watch(watcher)
        session.dispatch(CreateItem(user("Hi")))
        session.dispatch(CreateResponse())
        await client.wait(RateLimitsUpdated)

    assert [seen.event for seen in watcher.effects if isinstance(seen, Emit)] == client.all[before:]
    assert {StartGeneration, ReportFirstOutput} < {type(seen) for seen in watcher.effects}


async def test_nothing_happens_any_more_once_the_session_is_over() -> None:
    stt = ScriptedStt()
    async with opened(Engines(stt_engine=stt)) as (session, client):
        await session.append_audio(tone(400, 8000))
        await client.wait(SpeechStarted)
    told = len(client.of(SpeechStarted))

    # The detector may still be at work on what came before the end.
    session.dispatch(FrameScored(10_000, 10_512, 0.9))
    session.dispatch(CreateResponse())

    assert client.of(ResponseCreated) == []
    assert len(client.of(SpeechStarted)) == told
