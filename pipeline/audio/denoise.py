"""Noise reduction of a session's input with the noise suppressor and the gain control of WebRTC.

The library works on frames of 10 ms at 16 kHz. What it changes there is brought back to the session's rate
and added to the input, delayed as much, and the band above 8 kHz is scaled as the band below was:

    input ─┬─► delay ──────────────────────► × factor ─► + ─► mix by strength ─► output
           │     └──────────────────────────────────────│───────▲
           └─► 16 kHz ─► frames ─► library ─► change ───┘

So nothing is lost that 16 kHz cannot carry, and where the strength is 0 the input comes out bit by bit. The
library's own way to higher rates, two or three bands, is not taken: bands that are split and joined again are
out of phase with the input, which would extinguish tones at half strength, and cost up to four times as much.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pywebrtc_audio import GainController, NoiseSuppressor

from pipeline.audio.resample import Resampler, resample
from pipeline.config import NoiseReduction

__all__ = ["DELAY_MS", "Denoiser"]

# A frame (10 ms), the library's overlap of frames (6), the resampler to 16 kHz and back (1 to 2 each): less
# than this at every rate, which is then the same for all.
DELAY_MS = 20

_RATE = 16_000  # Hertz; where speech detectors and most transcribers listen
_FRAME = _RATE // 100
_OVERLAP = 96  # samples by which the library's output lags behind its input
# The resampler hands out 44.1 kHz in blocks of 10 ms, which would double the delay. The library does not mind
# whether its 16 kHz are really 14.7.
_TAKEN_FOR = {44_100: 48_000}

_Type = Literal["near_field", "far_field"]
# Of 0 to 3, for 6, 12, 18 and 21 dB: more takes more of the voice as well, and a close one needs less.
_LEVELS: dict[_Type, int] = {"near_field": 1, "far_field": 2}
# It begins with 15 dB, so that the first words of a distant voice are loud enough; a loud one is limited
# while it comes down.
_MAX_GAIN_DB = 18.0
_HEADROOM_DB = 10.0  # kept between the peaks of the voice and full scale
_GAIN_DB_PER_SECOND = 6.0
# The limiter fills PCM16 to the brim. Brought to another rate, its peaks come out higher.
_ROOM = np.float32(0.8)
_MAX_FACTOR = 10 ** (_MAX_GAIN_DB / 20)

_CHANGE_MS = 10  # from dry to wet; shorter ones can be heard as clicks

_Samples = NDArray[np.int16]
_Signal = NDArray[np.float32]


class Denoiser:
    """Reduces the noise in one stream of PCM16 mono, chunk by chunk.

    It gives out as many samples as it takes, their content `DELAY_MS` later. That delay stays when the
    reduction is switched off, so that no sample is lost or said twice. Use by one thread at a time; instances
    share nothing.
    """

    def __init__(self, rate: int, reduction: NoiseReduction | None, past: bytes = b"") -> None:
        """`rate` in Hertz: 8000, 16000, 24000, 32000, 44100 or 48000.

        `past` is the end of what was heard without a denoiser, when it comes in the middle of a stream: that
        much as lies in the delay is heard again, beneath the input that fades out, and no gap is.
        """
        self._rate = rate
        # Taken, but not given out yet.
        self._line = _last(np.frombuffer(past, "<i2"), rate * DELAY_MS // 1000)
        self._reduction = reduction
        self._suppressor: _Suppressor | None = None
        self._start_suppressor(self._line)
        self._strength = self._goal()
        self._fading = len(self._line) if past else 0  # samples for which the undelayed input is still heard

    @property
    def held(self) -> bytes:
        """The last `DELAY_MS` of the input, unprocessed, which have not been given out yet."""
        return self._line.tobytes()

    def process(self, pcm: bytes) -> bytes:
        """Take input; return as much output.

        Computes for 80 to 180 us per chunk of 20 ms, for 2 to 5 ms per second of audio in one piece, and for
        next to nothing while the reduction is off.
        """
        if not pcm:
            return b""
        samples = np.frombuffer(pcm, "<i2")
        line = np.concatenate((self._line, samples))
        result = line[: len(samples)].copy()
        position = 0
        while position < len(samples):
            if self._strength == 0.0:
                self._start_suppressor(line[position : position + len(self._line)])
            position += self._reduce(samples[position:], result[position:])
        self._line = line[len(samples) :].copy()
        if self._fading:
            self._fade(samples, result)
        return result.tobytes()

    def reconfigure(self, reduction: NoiseReduction | None) -> None:
        """Reduce noise in this way from the next chunk on, without a click; None leaves it in.

        A change of type goes through 10 ms without reduction.
        """
        self._reduction = reduction

    def change_rate(self, rate: int) -> None:
        """The next audio comes at another rate; what is held back is converted."""
        if rate == self._rate:
            return
        held = np.frombuffer(resample(self.held, self._rate, rate), "<i2")
        self._rate, self._line, self._fading = rate, _last(held, rate * DELAY_MS // 1000), 0
        self._suppressor = None
        self._start_suppressor(self._line)
        self._strength = self._goal()

    def _start_suppressor(self, held: _Samples) -> None:
        """Have the suppressor that is wanted; a new one begins with what the delay holds."""
        wanted = self._reduction
        if wanted is None or wanted.strength == 0.0:
            self._suppressor = None
        elif self._suppressor is None or self._suppressor.type != wanted.type:
            self._suppressor = _Suppressor(self._rate, wanted.type)
            self._suppressor.feed(held)

    def _goal(self) -> float:
        """Where the strength is heading."""
        wanted = self._reduction
        if wanted is None or self._suppressor is None or self._suppressor.type != wanted.type:
            return 0.0
        return 1.0 if wanted.strength is None else wanted.strength

    def _reduce(self, samples: _Samples, result: _Samples) -> int:
        """Mix what the suppressor makes of `samples` into `result`, up to the end of a change of strength.

        Returns for how many samples that was.
        """
        if self._suppressor is None:
            return len(samples)
        count, goal = len(samples), self._goal()
        strength: _Signal | float = goal
        if self._strength != goal:
            whole = _CHANGE_MS * self._rate // 1000  # samples from nothing to everything
            rest = max(1, round(abs(goal - self._strength) * whole))
            count = min(count, rest)
            strength = self._strength + (goal - self._strength) / rest * np.arange(
                1, count + 1, dtype=np.float32
            )
            self._strength = goal if count == rest else float(strength[-1])
        self._suppressor.feed(samples[:count])
        dry = result[:count].astype(np.float32)
        wet = self._suppressor.take(dry)
        result[:count] = _pcm(dry + strength * (wet - dry))
        return count

    def _fade(self, samples: _Samples, result: _Samples) -> None:
        """Let the undelayed input fade out of `result`."""
        count = min(len(samples), self._fading)
        weight = (self._fading - np.arange(1, count + 1, dtype=np.float32)) / len(self._line)
        delayed = result[:count].astype(np.float32)
        result[:count] = _pcm(delayed + weight * (samples[:count] - delayed))
        self._fading -= count


class _Suppressor:
    """One run of the library over a stream, which begins with the first sample fed."""

    def __init__(self, rate: int, type: _Type) -> None:
        self.type = type
        rate = _TAKEN_FOR.get(rate, rate)
        self._down, self._up = Resampler(rate, _RATE), Resampler(_RATE, rate)
        self._noise = NoiseSuppressor(_RATE, level=_LEVELS[type])
        self._gain: GainController | None = None
        if type == "far_field":
            self._gain = GainController(
                _RATE,
                max_gain_db=_MAX_GAIN_DB,
                headroom_db=_HEADROOM_DB,
                max_gain_change_db_per_second=_GAIN_DB_PER_SECOND,
            )
        self._waiting = np.zeros(0, np.int16)  # the beginning of a frame
        self._before = np.zeros(_OVERLAP, np.int16)  # the end of the frame before
        self._factor = 1.0  # by which the level changed at the end of the last frame
        self._way, self._way_out = _way(_FRAME), _way(_FRAME * rate // _RATE)  # at both rates
        # What became of the input and has not been taken yet. It begins too early, with what the library said
        # before the first sample had come through.
        self._factors = np.zeros(0, np.float32)
        self._changes = np.zeros(0, np.float32)
        self._early = _OVERLAP * rate // _RATE

    def feed(self, samples: _Samples) -> None:
        """Samples at the session's rate; `take` has them `DELAY_MS` later."""
        fresh = np.frombuffer(self._down.process(samples.tobytes()), "<i2")
        data = np.concatenate((self._waiting, fresh))
        whole = len(data) - len(data) % _FRAME
        self._waiting = data[whole:]
        if not whole:
            return
        frames = data[:whole]
        clean = self._noise.process(frames)
        if self._gain is not None:
            clean = self._gain.process(clean)
        late = np.concatenate((self._before, frames))
        self._before = late[whole:]
        self._compare(late[:whole].reshape(-1, _FRAME), clean.reshape(-1, _FRAME))

    def take(self, dry: _Signal) -> _Signal:
        """What becomes of the next samples; `dry` is the same piece of the input."""
        start, end = self._early, self._early + len(dry)
        self._early = 0
        wet = self._factors[start:end] * dry + self._changes[start:end]
        self._factors, self._changes = self._factors[end:], self._changes[end:]
        return wet

    def _compare(self, before: _Samples, after: _Samples) -> None:
        """Queue what the library did to some frames."""
        old, new = before.astype(np.float32), after.astype(np.float32)
        if self._gain is not None:
            new *= _ROOM
        # Below one step of PCM16 a level says nothing.
        ends = np.sqrt((np.vecdot(new, new) + _FRAME) / (np.vecdot(old, old) + _FRAME))
        ends = np.minimum(ends, _MAX_FACTOR)
        starts = np.concatenate(((self._factor,), ends[:-1]), dtype=np.float32)
        self._factor = float(ends[-1])
        change = _pcm(new - _lines(starts, ends, self._way) * old)
        fresh = np.frombuffer(self._up.process(change.tobytes()), "<i2")
        self._changes = np.concatenate((self._changes, fresh), dtype=np.float32)
        self._factors = np.concatenate((self._factors, _lines(starts, ends, self._way_out).ravel()))


def _lines(starts: _Signal, ends: _Signal, way: _Signal) -> _Signal:
    """Straight lines with a point for each part of the `way`, one per row, that join at their ends."""
    return starts[:, None] + (ends - starts)[:, None] * way


def _way(count: int) -> _Signal:
    return np.arange(1, count + 1, dtype=np.float32) / np.float32(count)


def _last(samples: _Samples, count: int) -> _Samples:
    """The last `count` samples, with silence before them where there are fewer."""
    return np.concatenate((np.zeros(count, np.int16), samples))[-count:]


def _pcm(signal: _Signal) -> _Samples:
    return np.rint(signal).clip(-32768, 32767).astype("<i2")
