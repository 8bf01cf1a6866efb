"""One speech detector for the whole process: the pending frames of all sessions go through it together.

    push ─► stream's audio ─┐
    push ─► stream's audio ─┼─ gather ─► thread: cut and resample, infer ─► report, report, ...
    push ─► stream's audio ─┘

A call costs less per frame the more streams it carries, and a hop to a thread and back costs as much as a
frame, so what arrives within a few milliseconds is gathered. Every stream takes part with one frame per call,
so one whose client sends faster than real time gets no more than the others, and holds none of them up. All
state lives on the event loop; the thread computes what it is handed, and nothing else.
"""

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pipeline.audio.resample import Frames, Piece, frames
from pipeline.ticks import TICK_RATE
from providers.contracts import Vad, VadFrame

__all__ = ["DetectorStream", "Overload", "SpeechDetector"]

log = logging.getLogger(__name__)

# How long a frame waits for company, at most. Only a call that is still running can hold it up longer.
_GATHER_S = 0.004
# Frames that one stream may have waiting (32 s of audio) before its reader has to wait.
_MAX_BACKLOG = 1000
# A report can cost 50 us or more, so after this many the event loop gets to do something else.
_REPORTS_AT_ONCE = 16
# Calls that take longer than their frames last, for so long, are no hiccup: live audio is falling behind.
_OVERLOAD_S = 2.0
_WARN_AGAIN_S = 60.0

Report = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One stream's part of a call."""

    stream: "DetectorStream"
    piece: Piece


class SpeechDetector:
    """Start it with `async with`; open a stream per session."""

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self._calls: queue.SimpleQueue[list[_Turn] | None] = queue.SimpleQueue()
        self._ready: dict[DetectorStream, None] = {}  # streams with frames to judge; a dict keeps their order
        self._due = 0.0  # when the first of those has waited long enough
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False  # a call is running, or being reported
        self._closed = False
        self._load = Overload(vad.frame_samples / vad.sample_rate)

    async def __aenter__(self) -> "SpeechDetector":
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, name="vad", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._calls.put(None)

    def open(self, rate: int, start: int, report: Report) -> "DetectorStream":
        """Judge audio of that rate from tick `start` on; `report(start, end, probability)` per frame."""
        return DetectorStream(self, self._vad, rate, start, report)

    # --- on the event loop ----------------------------------------------------------------------------

    def _enqueue(self, stream: "DetectorStream") -> None:
        if self._closed:
            return
        if not self._ready:
            self._due = self._loop.time() + _GATHER_S
            self._ready[stream] = None
            self._plan()
        else:
            self._ready[stream] = None

    def _plan(self) -> None:
        """See to it that the next call begins when it is due."""
        if self._ready and not self._busy and self._timer is None:
            self._timer = self._loop.call_at(self._due, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if not self._ready:
            return  # every stream was closed meanwhile
        turns = [_Turn(stream, stream.take()) for stream in self._ready]
        # Who has more to judge has waited for company already; who comes from now on will wait anew.
        self._ready = {stream: None for stream in self._ready if stream.waiting}
        self._busy = True
        self._calls.put(turns)

    def _report(self, turns: list[_Turn], scores: list[float], first: int) -> None:
        """Report from number `first` on, a few at a time."""
        if self._closed:
            return
        last = first + _REPORTS_AT_ONCE
        for turn, score in zip(turns[first:last], scores[first:last], strict=True):
            try:
                turn.stream.deliver(turn.piece.number, score)
            except Exception:  # one session that cannot take its score must not cost the others theirs
                log.exception("a score could not be reported")
        if last < len(turns):
            self._loop.call_soon(self._report, turns, scores, last)
            return
        self._busy = False
        self._plan()

    # --- in the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        while (turns := self._calls.get()) is not None:
            began = time.monotonic()
            try:
                scores = self._judge(turns)
            except Exception:  # one bad batch must not end detection for every session
                log.exception("speech detection failed for %d frames; they count as silence", len(turns))
                scores = [0.0] * len(turns)
            self._load.took(began, time.monotonic(), len(turns))
            with suppress(RuntimeError):  # the loop is closed, so nobody waits for them
                self._loop.call_soon_threadsafe(self._report, turns, scores, 0)

    def _judge(self, turns: list[_Turn]) -> list[float]:
        alike: dict[Frames, list[int]] = {}  # streams of one rate are cut together
        for index, turn in enumerate(turns):
            alike.setdefault(turn.stream.frames, []).append(index)
        pcm: dict[int, bytes] = {}
        for cutter, indices in alike.items():
            pcm.update(zip(indices, cutter.cut([turns[i].piece for i in indices]), strict=True))
        scores = self._vad.infer([VadFrame(turn.stream.state, pcm[i]) for i, turn in enumerate(turns)])
        if len(scores) != len(turns):
            raise ValueError(f"{len(scores)} scores for {len(turns)} frames")
        return scores


class Overload:
    """Notices when calls take longer than the audio that they judge, so that live streams fall behind."""

    def __init__(self, frame_s: float) -> None:
        """`frame_s`: how much audio of each stream one call judges, in seconds."""
        self._frame_s = frame_s
        self._since: float | None = None
        self._warned = -math.inf

    def took(self, began: float, ended: float, count: int) -> None:
        """A call with so many streams ran from `began` to `ended`, in seconds; warns, but not every time."""
        if ended - began <= self._frame_s:
            self._since = None
            return
        if self._since is None:
            self._since = began
        if ended - self._since >= _OVERLOAD_S and ended - self._warned >= _WARN_AGAIN_S:
            self._warned = ended
            log.warning(
                "speech detection cannot keep up: %d streams took %.0f ms for %.0f ms of audio, so turns are "
                "noticed late; this machine has too many sessions or too little time for this process",
                count,
                1000 * (ended - began),
                1000 * self._frame_s,
            )


class DetectorStream:
    """The detection of one session: keeps its audio until it is judged, and hands scores back in order."""

    def __init__(self, detector: SpeechDetector, vad: Vad, rate: int, start: int, report: Report) -> None:
        self.state = vad.new_stream()
        self.frames = frames(rate, vad.sample_rate, vad.frame_samples)
        self._detector = detector
        self._frame_ticks = vad.frame_samples * TICK_RATE // vad.sample_rate
        self._start = start
        self._first = self.frames.span(0)[0]  # number of the first sample kept
        self._audio = bytearray(-2 * self._first)  # silence, where the first frame needs some before it
        self._received = 0  # samples
        self._complete = 0  # frames that those make
        self._taken = 0  # frames judged or being judged
        self._report: Report | None = report
        self._room = asyncio.Event()
        self._room.set()

    @property
    def waiting(self) -> int:
        """How many whole frames have come and not been judged."""
        return self._complete - self._taken

    def push(self, pcm: bytes) -> None:
        """Take audio at the stream's rate."""
        if self._report is None:
            return
        self._audio += pcm
        self._received += len(pcm) // 2
        self._complete = self.frames.available(self._received)
        if self._complete > self._taken:
            self._detector._enqueue(self)
            if self.waiting > _MAX_BACKLOG:
                self._room.clear()

    async def room(self) -> None:
        """Wait until the backlog is short enough for more. Safe to cancel."""
        await self._room.wait()

    def take(self) -> Piece:
        """The audio of the next frame, which is then no longer waiting."""
        number = self._taken
        start, end = self.frames.span(number)
        pcm = bytes(self._audio[2 * (start - self._first) : 2 * (end - self._first)])
        self._taken += 1
        keep = self.frames.span(self._taken)[0]
        del self._audio[: 2 * (keep - self._first)]
        self._first = keep
        return Piece(number, pcm)

    def deliver(self, number: int, score: float) -> None:
        if self.waiting <= _MAX_BACKLOG // 2:
            self._room.set()
        if self._report is not None:
            start = self._start + number * self._frame_ticks
            self._report(start, start + self._frame_ticks, score)

    def close(self) -> None:
        """No more reports, not even for frames that are being judged."""
        self._report = None
        self._taken = self._complete
        self._audio.clear()
        self._room.set()
        self._detector._ready.pop(self, None)
