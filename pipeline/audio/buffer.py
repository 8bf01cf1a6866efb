"""The input audio of a session that may still be asked for, addressed by its place in time."""

from pipeline.audio.resample import resample
from pipeline.ticks import TICK_RATE

__all__ = ["InputBuffer"]


class InputBuffer:
    """PCM16 mono at the session's input rate. The rate may change; positions go on."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._data = bytearray()
        # The audio at the current rate began at this tick; sample numbers count from there, and the retained
        # audio from before a change of rate has negative ones.
        self._anchor = 0
        self._first = 0  # number of the first retained sample
        self._next = 0  # number of the next sample to come

    @property
    def end(self) -> int:
        """The tick at which the next audio will begin."""
        return self._anchor + self._next * TICK_RATE // self.rate

    def append(self, pcm: bytes) -> None:
        self._data += pcm
        self._next += len(pcm) // 2

    def slice(self, start: int, end: int | None = None) -> bytes:
        """The audio between two ticks, as far as it is retained; without `end`, to the very last sample.

        Neighbouring slices join without a gap or a repetition. Ticks are coarser than samples at high rates,
        so a slice up to the tick `self.end` may lack the last one or two samples.
        """
        first = self._sample(start)
        last = self._next if end is None else min(self._sample(end), self._next)
        return bytes(self._data[2 * max(0, first - self._first) : 2 * max(0, last - self._first)])

    def drop(self, before: int) -> None:
        """Let go of the audio before that tick."""
        count = min(self._sample(before), self._next) - self._first
        if count > 0:
            del self._data[: 2 * count]
            self._first += count

    def change_rate(self, rate: int) -> None:
        """The next audio comes at another rate; what is retained is converted."""
        if rate == self.rate:
            return
        anchor = self.end
        self._data = bytearray(resample(bytes(self._data), self.rate, rate))
        self._anchor, self._next, self.rate = anchor, 0, rate
        self._first = -(len(self._data) // 2)

    def _sample(self, tick: int) -> int:
        return (tick - self._anchor) * self.rate // TICK_RATE
