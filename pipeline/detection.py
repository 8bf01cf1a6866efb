"""One speech detector for the whole process: the pending frames of all sessions go through it together.

A call costs less per frame the more streams it carries, and a hop to a thread costs as much as a frame, so
the batcher gathers what arrives within a few milliseconds. A stream whose client sends faster than real time
takes part with one frame per call, like everybody else.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.audio.resample import Resampler
from pipeline.ticks import TICK_RATE
from providers.contracts import Vad, VadFrame

__all__ = ["DetectorStream", "SpeechDetector"]

log = logging.getLogger(__name__)

_GATHER_S = 0.004
# Frames that one stream may have waiting (32 s of audio) before its reader has to wait.
_MAX_BACKLOG = 1000

Report = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    start: int  # ticks
    end: int
    pcm: bytes


class SpeechDetector:
    """Start it with `async with`; open a stream per session."""

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="vad")
        self._ready: dict[DetectorStream, None] = {}  # streams with frames to judge; a dict keeps their order
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SpeechDetector":
        self._task = asyncio.create_task(self._run(), name="speech-detector")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._executor.shutdown(wait=False, cancel_futures=True)

    def open(self, rate: int, start: int, report: Report) -> "DetectorStream":
        """Judge audio of that rate from tick `start` on; `report(start, end, probability)` per frame."""
        return DetectorStream(self, self._vad, rate, start, report)

    def _enqueue(self, stream: "DetectorStream") -> None:
        self._ready[stream] = None
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            if all(len(stream.waiting) == 1 for stream in self._ready):
                await asyncio.sleep(_GATHER_S)  # nobody is behind, so wait for company
            self._wake.clear()
            batch = [(stream, stream.waiting.popleft()) for stream in self._ready if stream.waiting]
            if not batch:
                continue  # every stream was closed meanwhile
            frames = [VadFrame(stream.state, frame.pcm) for stream, frame in batch]
            try:
                scores = await loop.run_in_executor(self._executor, self._vad.infer, frames)
                if len(scores) != len(frames):
                    raise ValueError(f"{len(scores)} scores for {len(frames)} frames")
            except Exception:  # one bad batch must not end detection for every session
                log.exception("speech detection failed for %d frames; they count as silence", len(frames))
                scores = [0.0] * len(frames)
            for (stream, frame), score in zip(batch, scores, strict=True):
                if not stream.waiting:
                    self._ready.pop(stream, None)
                stream.deliver(frame, score)
            if self._ready:
                self._wake.set()


class DetectorStream:
    """The detection of one session: cuts its audio into frames and hands their scores back in order."""

    def __init__(self, detector: SpeechDetector, vad: Vad, rate: int, start: int, report: Report) -> None:
        self.state = vad.new_stream()
        self.waiting: deque[_Waiting] = deque()
        self._detector = detector
        self._resampler = Resampler(rate, vad.sample_rate)
        self._frame_bytes = 2 * vad.frame_samples
        self._frame_ticks = vad.frame_samples * TICK_RATE // vad.sample_rate
        self._rest = bytearray()
        self._position = start
        self._report: Report | None = report
        self._room = asyncio.Event()
        self._room.set()

    def push(self, pcm: bytes) -> None:
        """Take audio at the stream's rate."""
        self._rest += self._resampler.process(pcm)
        while len(self._rest) >= self._frame_bytes:
            frame = bytes(self._rest[: self._frame_bytes])
            del self._rest[: self._frame_bytes]
            end = self._position + self._frame_ticks
            self.waiting.append(_Waiting(self._position, end, frame))
            self._position = end
        if self.waiting:
            self._detector._enqueue(self)
        if len(self.waiting) > _MAX_BACKLOG:
            self._room.clear()

    async def room(self) -> None:
        """Wait until the backlog is short enough for more. Safe to cancel."""
        await self._room.wait()

    def deliver(self, frame: _Waiting, score: float) -> None:
        if len(self.waiting) <= _MAX_BACKLOG // 2:
            self._room.set()
        if self._report is not None:
            self._report(frame.start, frame.end, score)

    def close(self) -> None:
        """No more reports, not even for frames that are being judged."""
        self._report = None
        self.waiting.clear()
        self._rest.clear()
        self._room.set()
        self._detector._ready.pop(self, None)
