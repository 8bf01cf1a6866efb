"""The shared speech detector: batches, order, faults, and streams that come and go."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from pipeline.detection import DetectorStream, SpeechDetector
from pipeline.ticks import TICK_RATE
from providers.vad.silero import SileroVad
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
    async with SpeechDetector(vad) as detector:
        yield detector
        vad.may_answer.set()
    assert "speech-detector" not in {task.get_name() for task in asyncio.all_tasks()}


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


async def test_real_speech_is_heard_alike_alone_and_in_company() -> None:
    speech = recording("clone-test", 24_000)[: 2 * 48_000]
    results = []
    async with SpeechDetector(SileroVad()) as detector:
        for companions in (0, 2):
            streams = open_streams(detector, 1 + companions, rate=24_000)
            for stream, _ in streams[1:]:
                stream.push(silence(2000, 24_000))
            streams[0][0].push(speech)
            results.append(await streams[0][1].wait(62))

    alone, together = results
    assert max(alone) > 0.9
    assert np.allclose(alone, together, atol=1e-4)
