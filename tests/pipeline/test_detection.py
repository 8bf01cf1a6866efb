"""The shared speech detector: batches, order, faults, and streams that come and go."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import detection
from pipeline.audio.resample import Piece, frames
from pipeline.detection import DetectorStream, Overload, SpeechDetector
from pipeline.ticks import TICK_RATE
from providers.contracts import VadFrame
from providers.vad.silero import SileroVad
from tests.chance import examples
from tests.pipeline.scripted import GUARD_S, LoudnessVad
from tests.speech import recording, silence

FRAME = 512
LOUD, QUIET = b"\x00\x40" * FRAME, bytes(2 * FRAME)


class Scores:
    """One stream's reports, and a way to wait for them."""

    def __init__(self) -> None:
        self.all: list[tuple[int, int, float]] = []
        self._more = asyncio.Event()

    def __call__(self, start: int, end: int, probability: float) -> None:
        self.all.append((start, end, probability))
        self._more.set()

    async def wait(self, count: int) -> list[float]:
        async with asyncio.timeout(GUARD_S):
            while len(self.all) < count:
                self._more.clear()
                await self._more.wait()
        return [probability for _, _, probability in self.all]


@pytest.fixture
def vad() -> LoudnessVad:
    return LoudnessVad()


@pytest.fixture
async def detector(vad: LoudnessVad) -> AsyncIterator[SpeechDetector]:
    others = set(threading.enumerate())  # servers that other tests started have threads of the same name
    async with SpeechDetector(vad) as detector:
        (thread,) = [new for new in set(threading.enumerate()) - others if new.name == "vad"]
        yield detector
        vad.may_answer.set()
    await asyncio.to_thread(thread.join, GUARD_S)
    assert not thread.is_alive()


def open_streams(
    detector: SpeechDetector, count: int, rate: int = TICK_RATE
) -> list[tuple[DetectorStream, Scores]]:
    streams = []
    for _ in range(count):
        scores = Scores()
        streams.append((detector.open(rate, 0, scores), scores))
    return streams


async def test_frames_that_wait_together_go_through_one_call(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    streams = open_streams(detector, 3)

    for stream, _ in streams:
        stream.push(LOUD)
    for _, scores in streams:
        assert await scores.wait(1) == [0.9]

    assert vad.batches == [[0, 1, 2]]


async def test_a_stream_takes_part_with_one_frame_per_call_and_keeps_its_order(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    (fast, fast_scores), (slow, slow_scores) = open_streams(detector, 2)

    fast.push(LOUD + QUIET + LOUD + QUIET)
    slow.push(QUIET)

    assert await fast_scores.wait(4) == [0.9, 0.0, 0.9, 0.0]
    assert await slow_scores.wait(1) == [0.0]
    assert vad.batches == [[0, 1], [0], [0], [0]]
    assert [(start, end) for start, end, _ in fast_scores.all] == [
        (i * FRAME, (i + 1) * FRAME) for i in range(4)
    ]


async def test_frames_are_cut_from_pieces_of_any_size_and_rate(detector: SpeechDetector) -> None:
    scores = Scores()
    stream = detector.open(48_000, 1000, scores)
    audio = np.full(48_000, 9000, "<i2").tobytes()

    for offset in range(0, len(audio), 2 * 77):
        stream.push(audio[offset : offset + 2 * 77])
    await scores.wait(30)

    assert [(start, end) for start, end, _ in scores.all[:2]] == [(1000, 1512), (1512, 2024)]
    assert all(probability == 0.9 for _, _, probability in scores.all)
    assert len(scores.all) + stream.waiting <= TICK_RATE // FRAME


async def test_a_batch_that_fails_counts_as_silence_and_is_not_the_last(
    detector: SpeechDetector, vad: LoudnessVad, caplog: pytest.LogCaptureFixture
) -> None:
    ((stream, scores),) = open_streams(detector, 1)

    vad.failing = True
    stream.push(LOUD)
    assert await scores.wait(1) == [0.0]
    vad.failing = False
    stream.push(LOUD)

    assert await scores.wait(2) == [0.0, 0.9]
    assert "the detector broke" in caplog.text


async def test_a_detector_that_answers_for_too_few_counts_as_broken(
    detector: SpeechDetector, vad: LoudnessVad, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, one_scores), (two, two_scores) = open_streams(detector, 2)
    monkeypatch.setattr(vad, "infer", lambda frames: [0.9])

    one.push(LOUD)
    two.push(LOUD)

    assert (await one_scores.wait(1), await two_scores.wait(1)) == ([0.0], [0.0])
    two.push(LOUD)
    assert await two_scores.wait(2) == [0.0, 0.9]


async def test_a_stream_closed_during_inference_reports_nothing_more(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    (gone, gone_scores), (left, left_scores) = open_streams(detector, 2)
    vad.may_answer.clear()
    gone.push(LOUD * 3)
    left.push(LOUD)
    assert await asyncio.to_thread(vad.asked.wait, GUARD_S)

    gone.close()
    vad.may_answer.set()
    await left_scores.wait(1)
    left.push(QUIET)

    assert await left_scores.wait(2) == [0.9, 0.0]
    assert gone_scores.all == []
    assert vad.batches == [[0, 1], [1]]


async def test_streams_closed_before_their_turn_cost_no_call(
    detector: SpeechDetector, vad: LoudnessVad, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.detection._GATHER_S", 0)
    (gone, gone_scores), (left, left_scores) = open_streams(detector, 2)

    gone.push(LOUD)
    await asyncio.sleep(0)  # the detector wakes up, and waits for company
    gone.close()
    for _ in range(5):
        await asyncio.sleep(0)  # its wait is over, and nobody is there
    left.push(LOUD)

    await left_scores.wait(1)
    assert vad.batches == [[1]]
    assert gone_scores.all == []


async def test_who_is_far_behind_has_to_wait(detector: SpeechDetector, vad: LoudnessVad) -> None:
    ((stream, scores),) = open_streams(detector, 1)
    vad.may_answer.clear()
    stream.push(QUIET * 1200)
    room = asyncio.create_task(stream.room())
    assert await asyncio.to_thread(vad.asked.wait, GUARD_S)
    assert not room.done()

    vad.may_answer.set()
    async with asyncio.timeout(GUARD_S):
        await room

    assert 0 < stream.waiting <= 500
    stream.close()
    assert len(scores.all) >= 700


async def test_a_long_backlog_leaves_the_event_loop_to_others(detector: SpeechDetector) -> None:
    ((stream, scores),) = open_streams(detector, 1)
    stream.push(QUIET * 900)
    longest = 0

    while len(scores.all) < 900:
        before = len(scores.all)
        async with asyncio.timeout(GUARD_S):
            await scores.wait(before + 1)
        longest = max(longest, len(scores.all) - before)

    assert longest <= 5, f"{longest} frames in one go"


async def test_closing_lets_go_of_who_waits_for_room(detector: SpeechDetector, vad: LoudnessVad) -> None:
    ((stream, _),) = open_streams(detector, 1)
    vad.may_answer.clear()
    stream.push(QUIET * 1200)
    room = asyncio.create_task(stream.room())

    stream.close()

    async with asyncio.timeout(GUARD_S):
        await room


# --- waiting ----------------------------------------------------------------------------------------------


async def gather_time_over() -> None:
    """Until a timer rings that was set for as long as frames may wait, and later than theirs."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(detection._GATHER_S, over.set)
    await over.wait()


async def test_a_frame_waits_for_company_no_longer_than_the_gather_time(detector: SpeechDetector) -> None:
    (first, first_scores), (second, _) = open_streams(detector, 2)
    first.push(LOUD)
    wait = asyncio.create_task(gather_time_over())
    await asyncio.sleep(0)

    second.push(LOUD[:-2])  # one sample short of a frame: company that does not come
    await wait

    assert first.waiting == 0
    assert await first_scores.wait(1) == [0.9]


async def test_a_frame_that_comes_during_a_call_has_waited_when_the_call_ends(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    (first, first_scores), (second, second_scores) = open_streams(detector, 2)
    vad.may_answer.clear()
    first.push(LOUD)
    assert await asyncio.to_thread(vad.asked.wait, GUARD_S)

    second.push(LOUD)
    await gather_time_over()
    vad.may_answer.set()
    await first_scores.wait(1)
    await asyncio.sleep(0)  # timers that are due ring
    await asyncio.sleep(0)

    assert second.waiting == 0
    assert await second_scores.wait(1) == [0.9]
    assert vad.batches == [[0], [1]]


async def test_a_flood_delays_nobody_by_more_than_the_call_that_runs(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    streams = open_streams(detector, 7)
    floods, live = streams[:4], streams[4:]
    for stream, _ in floods:
        stream.push(QUIET * 300)
    delays = []
    for turn in range(40):
        for stream, scores in live:
            before = len(vad.batches)
            stream.push(LOUD)
            await scores.wait(turn + 1)
            number = vad.batches[0].index(0) + live.index((stream, scores)) + 4  # the streams are numbered
            calls = [place for place, batch in enumerate(vad.batches) if number in batch]
            delays.append(calls[turn] - before)

    # One call may be running, or have been handed over already, when the frame comes.
    assert max(delays) <= 1
    assert all(scores.all[-1][2] == 0.9 for _, scores in live)
    assert any(stream.waiting for stream, _ in floods), "the flood was over too soon to show anything"


async def test_floods_get_equal_shares(detector: SpeechDetector, vad: LoudnessVad) -> None:
    streams = open_streams(detector, 5)
    for stream, _ in streams:
        stream.push(QUIET * 100)

    for _, scores in streams:
        await scores.wait(100)

    assert max(max(Counter(batch).values()) for batch in vad.batches) == 1
    shares: Counter[int] = Counter()
    for batch in vad.batches:
        shares.update(batch)
        assert max(shares.values()) - min(shares[number] for number in range(5)) <= 1


async def test_a_stream_that_stops_in_mid_frame_holds_up_nobody(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    (stalled, stalled_scores), (live, live_scores) = open_streams(detector, 2)
    stalled.push(LOUD + LOUD[:600])

    for turn in range(5):
        live.push(LOUD)
        await live_scores.wait(turn + 1)
    stalled.push(LOUD[600:])

    assert await stalled_scores.wait(2) == [0.9, 0.9]
    assert [(start, end) for start, end, _ in stalled_scores.all] == [(0, 512), (512, 1024)]


# --- reports ----------------------------------------------------------------------------------------------


async def test_who_cannot_take_its_score_takes_it_from_nobody(
    detector: SpeechDetector, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(start: int, end: int, probability: float) -> None:
        raise RuntimeError("this session is broken")

    broken = detector.open(TICK_RATE, 0, refuse)
    ((sound, scores),) = open_streams(detector, 1)

    for turn in range(3):
        broken.push(LOUD)
        sound.push(LOUD)
        await scores.wait(turn + 1)

    assert "this session is broken" in caplog.text


async def test_reports_of_many_streams_leave_the_event_loop_to_others(detector: SpeechDetector) -> None:
    scores = Scores()
    streams = [detector.open(TICK_RATE, 0, scores) for _ in range(100)]
    for stream in streams:
        stream.push(LOUD * 2)
    most = 0

    async with asyncio.timeout(GUARD_S):
        while len(scores.all) < 200:
            before = len(scores.all)
            await scores.wait(before + 1)
            most = max(most, len(scores.all) - before)

    assert most <= 2 * detection._REPORTS_AT_ONCE, f"{most} reports in one go"


async def test_what_is_pushed_after_the_end_is_of_no_interest(
    detector: SpeechDetector, vad: LoudnessVad
) -> None:
    (gone, gone_scores), (left, left_scores) = open_streams(detector, 2)

    gone.push(LOUD[:100])
    gone.close()
    gone.push(LOUD * 3)
    left.push(LOUD)

    assert await left_scores.wait(1) == [0.9]
    assert gone_scores.all == []
    assert vad.batches == [[1]]


async def test_a_call_that_outlives_the_detector_is_not_reported(vad: LoudnessVad) -> None:
    others = set(threading.enumerate())  # servers that other tests started have threads of the same name
    async with SpeechDetector(vad) as detector:
        (thread,) = [new for new in set(threading.enumerate()) - others if new.name == "vad"]
        ((stream, scores),) = open_streams(detector, 1)
        vad.may_answer.clear()
        stream.push(LOUD * 2)
        assert await asyncio.to_thread(vad.asked.wait, GUARD_S)

    vad.may_answer.set()
    await asyncio.to_thread(thread.join, GUARD_S)
    stream.push(LOUD)
    await asyncio.sleep(0)

    assert not thread.is_alive()
    assert scores.all == []


# --- overload ---------------------------------------------------------------------------------------------


def test_calls_that_take_too_long_for_long_are_reported_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    overload = Overload(0.032)
    reported = []
    for call in range(2500):  # two minutes and a half of calls that take 60 ms for 32 ms
        before = len(caplog.records)
        overload.took(call * 0.06, (call + 1) * 0.06, 300)
        if len(caplog.records) > before:
            reported.append(round((call + 1) * 0.06))

    assert reported == [2, 62, 122]
    assert "300 streams took 60 ms for 32 ms of audio" in caplog.text


def test_a_hiccup_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    overload = Overload(0.032)

    for call in range(500):
        overload.took(call * 0.1, call * 0.1 + (0.01 if call % 10 == 9 else 0.09), 5)
    overload.took(100.0, 101.9, 5)

    assert not caplog.records


async def test_the_detector_tells_of_its_own_overload(
    vad: LoudnessVad, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(detection, "_OVERLOAD_S", 0.0)
    vad.frame_samples = 1  # a call would have to be done in 62 us

    async with SpeechDetector(vad) as detector:
        ((stream, scores),) = open_streams(detector, 1)
        vad.may_answer.clear()
        stream.push(LOUD[:2])
        assert await asyncio.to_thread(vad.asked.wait, GUARD_S)
        vad.may_answer.set()
        await scores.wait(1)

    assert "cannot keep up: 1 streams" in caplog.text


# --- real speech ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silero() -> SileroVad:
    return SileroVad()


def unbatched(silero: SileroVad, pcm: bytes, rate: int) -> list[float]:
    """The scores of one stream that is cut and judged a frame at a time, by itself."""
    cutter, stream = frames(rate, silero.sample_rate, silero.frame_samples), silero.new_stream()
    scores = []
    for number in range(cutter.available(len(pcm) // 2)):
        start, end = cutter.span(number)
        (frame,) = cutter.cut([Piece(number, bytes(2 * max(0, -start)) + pcm[2 * max(0, start) : 2 * end])])
        scores += silero.infer([VadFrame(stream, frame)])
    return scores


@examples(12)
@given(
    rates=st.lists(st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
)
async def test_real_speech_is_heard_as_if_each_stream_were_alone(
    silero: SileroVad, rates: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    spoken, pieces = [], []
    for index, rate in enumerate(rates):
        speech = recording("clone-test", rate)
        first, samples = chance.randrange(rate // 2), chance.randint(rate // 10, 3 * rate // 2)
        spoken.append(speech[2 * first : 2 * (first + samples)])
        place = 0
        while place < len(spoken[index]):  # messages of 1 to 100 ms, or everything at once
            size = 2 * (chance.randint(rate // 1000, rate // 10) if chance.random() < 0.98 else samples)
            pieces.append((index, spoken[index][place : place + size]))
            place += size
    order: dict[int, list[bytes]] = {index: [] for index in range(len(rates))}
    for index, piece in pieces:
        order[index].append(piece)
    turns = [index for index, _ in pieces]
    chance.shuffle(turns)  # streams come as they like, but each in its own order

    async with SpeechDetector(silero) as detector:
        streams = []
        for index, rate in enumerate(rates):
            scores = Scores()
            streams.append((detector.open(rate, 1000 * index, scores), scores))
        for index in turns:
            streams[index][0].push(order[index].pop(0))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        expected = [unbatched(silero, pcm, rate) for pcm, rate in zip(spoken, rates, strict=True)]
        for (_, scores), alone in zip(streams, expected, strict=True):
            assert np.allclose(await scores.wait(len(alone)), alone, rtol=0, atol=1e-4)

    for index, (_, scores) in enumerate(streams):
        places = [(start, end) for start, end, _ in scores.all]
        assert places == [(1000 * index + 512 * n, 1000 * index + 512 * (n + 1)) for n in range(len(places))]
        assert len(places) == len(expected[index])


async def test_speech_is_told_from_silence_in_one_batch(silero: SileroVad) -> None:
    speech = recording("clone-test", 24_000)[: 2 * 48_000]
    async with SpeechDetector(silero) as detector:
        (speaking, heard), (silent, nothing) = open_streams(detector, 2, rate=24_000)
        speaking.push(speech)
        silent.push(silence(2000, 24_000))

        assert max(await heard.wait(62)) > 0.9
        assert max(await nothing.wait(62)) < 0.2
