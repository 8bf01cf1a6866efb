"""Hears whether a stretch of input is the assistant's own voice, back from the loudspeaker by the microphone.

What was sent to the client is kept as features, in the order in which it is played. A stretch of input has to
answer two questions:

1. Where in it could that be? Both waveforms are whitened, so that neither the colour of the loudspeaker nor
   the vowels count, and correlated at every lag. A room delays and filters a waveform, but two people, or one
   voice with two words, hardly ever make the same one twice.
2. Is it nothing else? The course of the energy in 16 bands is compared at the place that was found, each band
   without its mean, since that holds the gain and the filter. A person who speaks at the same time fills the
   gaps between the assistant's syllables, even where the waveform still matches.

Features need no clock and no knowledge of the client's delay: playback may be seconds behind what was sent.
"""

import math
import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import Resampler, resample

__all__ = ["ECHO", "EchoDetector"]

# The similarity from which on it is an echo: found in 99 of 100 stretches of half a second that a laptop, a
# phone or a loudspeaker on the table gives back, and in less than one of 100 in which a person speaks.
# `benchmarks/echo.py` prints both for other lengths.
ECHO = 0.6

_RATE = 8000  # Hertz
# A phone's loudspeaker gives little below, a telephone line nothing above.
_LOWEST, _HIGHEST = 250.0, 3600.0  # Hertz
_HOP = 128  # samples: 16 ms, short beside a syllable
_FRAME = 2 * _HOP
_BINS = _HOP + 1
_BANDS = 16
# Bins to either side that the whitening averages: wider than the distance of a voice's harmonics, which would
# otherwise be flattened with their noise.
_SMOOTH = 3
# The power in one bin of noise of 3 units of a 16-bit sample: what is weaker is nobody's voice.
_NOISE = 100.0
_QUANTUM = 4.0  # steps of a stored sample per unit of the whitened waveform; loud speech stays below 127

_SHORTEST, _LONGEST = 0.15, 1.0  # seconds that can be judged, and that are
# What a match is measured by: what the stretch reaches by chance in nine of ten other segments of what was
# played. A voice with a clear pitch reaches more than a breath.
_SEGMENT = 2048  # samples
_QUANTILE = 0.9
_SURE = 2.0  # times chance
# Bounds of chance for stretches of 0.3 s; with the length it falls like its root. The upper one keeps a
# sentence that was played several times from being its own chance, the lower one is for pauses. The middle
# one is what voices reach, and stands for the segments that are missing where little was played.
_CHANCE, _CHANCE_S, _SEGMENTS = (0.08, 0.125, 0.2), 0.3, 8
# How far below a band's mean its power counts. Less would follow the noise between syllables.
_DEPTH = 0.06
# The least energy of a place in what was played, beside the loudest: silence matches anything.
_SILENT = 0.01
_TRANSFORM = 16_384  # samples: the fastest for stretches of 0.3 s
_TAIL_S = 1.0  # seconds for which a client that has been told to stop may still be heard
_BATCH = 16  # blocks analysed at once: a call costs as much as a quarter of a second of audio
_PARTS = 64  # stored pieces before they are joined

_Floats = NDArray[np.float32]


class EchoDetector:
    """Belongs to one session. Thread-safe; `played` must be called in the order of the audio.

    Costs 9 KB for each second that is kept, nothing until something is played.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        """`seconds`: how much of what was played last is kept."""
        self._limit = round(seconds * _RATE / _HOP)
        self._lock = threading.Lock()
        self._analysis = _Analysis()
        self._resampler = Resampler(_RATE, _RATE)
        self._parts: list[tuple[NDArray[np.int8], NDArray[np.uint8]]] = []
        self._blocks = 0

    def played(self, pcm: bytes, rate: int) -> None:
        """The assistant's next audio: PCM16 mono at `rate` Hertz, in pieces of any size, however early.

        Some 2 ms for each second of audio.
        """
        with self._lock:
            if rate != self._resampler.rate_in:
                self._resampler = Resampler(rate, _RATE)
            blocks, energies = self._analysis.process(_samples(self._resampler.process(pcm)), _BATCH)
            if not len(blocks):
                return
            self._parts.append((_packed(blocks), _levels(energies)))
            self._blocks += len(blocks)
            if len(self._parts) > _PARTS or self._blocks > 2 * self._limit:
                self._join(self._blocks)

    def forget(self, seconds: float) -> None:
        """The client has dropped the last `seconds` of what was sent, or all but a moment of them."""
        dropped = round((seconds - _TAIL_S) * _RATE / _HOP)
        if dropped > 0:
            with self._lock:
                self._join(max(0, self._blocks - dropped))
                self._analysis = _Analysis()

    def reset(self) -> None:
        """Nothing that was sent can be heard any more."""
        with self._lock:
            self._parts.clear()
            self._blocks = 0
            self._analysis = _Analysis()

    def is_echo(self, pcm: bytes, rate: int) -> bool:
        """Whether `similarity` finds nothing but the assistant's voice."""
        return self.similarity(pcm, rate) >= ECHO

    def similarity(self, pcm: bytes, rate: int) -> float:
        """How surely this PCM16 mono audio at `rate` Hertz is what was played and nothing else: 0 to 1.

        Judges the last second of it; 0 for less than 150 ms or for silence. From 500 ms on it can be relied
        on; of 300 ms that are an echo 1 to 6 in 100 are missed. Some 5 ms for each half minute that is kept.
        """
        pcm = pcm[-2 * round(_LONGEST * rate) :]
        if len(pcm) < 2 * _SHORTEST * rate:
            return 0.0
        heard = _samples(resample(pcm, rate, _RATE))
        white = _Analysis().process(np.pad(heard, (0, _FRAME)))[0].ravel()[: len(heard)]
        if not white.any():
            return 0.0
        # An echo outlives what was played by the room's answer.
        played, levels = self._snapshot(len(heard) // (2 * _HOP))
        if len(played) < len(heard):
            return 0.0
        place, match = _best_match(played, white)
        return min(1.0, match / _SURE) ** 2 * max(0.0, _agreement(heard, levels, place))

    def _snapshot(self, silence: int) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        """All that is kept and some blocks of silence: samples, shape (128 n,), and levels, shape (n, 16)."""
        with self._lock:
            parts = list(self._parts)
            rest = self._analysis.rest()
        parts.append((_packed(rest[0]), _levels(rest[1])))
        parts.append((np.zeros((silence, _HOP), np.int8), np.zeros((silence, _BANDS), np.uint8)))
        blocks, levels = (np.concatenate(column) for column in zip(*parts, strict=True))
        return blocks.ravel(), levels

    def _join(self, end: int) -> None:
        """Make one piece of what is kept of the blocks before `end`."""
        if not self._parts:
            return
        kept = slice(max(0, end - self._limit), end)
        blocks, levels = (np.concatenate(column)[kept].copy() for column in zip(*self._parts, strict=True))
        self._parts = [(blocks, levels)]
        self._blocks = len(blocks)


class _Analysis:
    """From a stream of samples at 8 kHz to blocks of whitened waveform and rows of energies."""

    def __init__(self) -> None:
        self._waiting: _Floats = np.zeros(_HOP, np.float32)
        self._open: _Floats = np.zeros(_HOP, np.float32)  # the half of a block that the last frame has given

    def process(self, samples: _Floats, least: int = 1) -> tuple[_Floats, _Floats]:
        """Shapes (n, 128) and (n, 16). Row i is the energy in block i and the one after it.

        Waits for more if that makes fewer than `least` blocks.
        """
        data = np.concatenate((self._waiting, samples))
        count = len(data) // _HOP - 1
        if count < least:
            self._waiting = data
            return np.empty((0, _HOP), np.float32), np.empty((0, _BANDS), np.float32)
        self._waiting = data[count * _HOP :].copy()
        frames = _frames(data[: (count + 1) * _HOP])
        spectrum = np.fft.rfft(frames, axis=1)
        power = _power(spectrum)
        around = np.pad(power * _in_band(), ((0, 0), (_SMOOTH, _SMOOTH)))
        envelope = np.zeros_like(power)
        for shift in range(2 * _SMOOTH + 1):
            envelope += around[:, shift : shift + _BINS]
        envelope /= 2 * _SMOOTH + 1
        total = envelope.mean(axis=1, keepdims=True)
        # Of a frame's loudness half is left, in decibels: soft frames hold more of the noise.
        gain = np.sqrt(np.sqrt(total + _NOISE) / (envelope + 0.01 * total + _NOISE)) * _in_band()
        white = np.asarray(np.fft.irfft(spectrum * gain, _FRAME, axis=1), np.float32) * _window()
        blocks = white[:, :_HOP] + np.concatenate((self._open[None], white[:-1, _HOP:]))
        self._open = white[-1, _HOP:].copy()
        return blocks, _energies(power)

    def rest(self) -> tuple[_Floats, _Floats]:
        """What `process` would give if silence followed; the stream goes on as if nobody had asked."""
        ahead = _Analysis()
        ahead._waiting, ahead._open = self._waiting, self._open
        return ahead.process(np.zeros(_FRAME, np.float32))


def _best_match(played: NDArray[np.int8], white: _Floats) -> tuple[int, float]:
    """Where in `played` the stretch begins most probably, and how well it fits there: 1 is by chance."""
    length = len(white)
    step = _TRANSFORM - length + 1
    places = len(played) - length + 1
    rows = -(-places // step)
    padded = np.zeros((rows - 1) * step + _TRANSFORM, np.float32)
    padded[: len(played)] = played
    windows = np.lib.stride_tricks.sliding_window_view(padded, _TRANSFORM)[::step]
    spectra = np.fft.rfft(windows, axis=1)
    spectra *= np.conj(np.fft.rfft(white, _TRANSFORM))
    products = np.fft.irfft(spectra, _TRANSFORM, axis=1)[:, :step].ravel()[:places]
    # The energy of all blocks that a stretch touches, the same for every place within its first block.
    blocks = played.reshape(-1, _HOP)
    sums = np.concatenate(([0], np.cumsum(np.einsum("ij,ij->i", blocks, blocks, dtype=np.int64))))
    touched = -(-length // _HOP) + 1
    first = np.arange(-(-places // _HOP))
    energy = sums[np.minimum(first + touched, len(blocks))] - sums[first]
    weight = 1.0 / ((energy + _SILENT * energy.max() + 1.0) * np.vdot(white, white))
    # Squares: a loudspeaker may be wired the other way round.
    scores = np.square(products)
    scores *= np.repeat(weight.astype(np.float32), _HOP)[:places]
    place = int(np.argmax(scores))
    return place, math.sqrt(scores[place]) / _chance(scores, place, length)


def _chance(scores: _Floats, place: int, length: int) -> float:
    """The correlation that the stretch reaches where it does not belong; `scores` are squares of it."""
    least, usual, most = (math.sqrt(_CHANCE_S * _RATE / length) * bound for bound in _CHANCE)
    whole = scores[: len(scores) // _SEGMENT * _SEGMENT].reshape(-1, _SEGMENT)
    own = place // _SEGMENT
    peaks = np.sqrt(np.concatenate((whole[: max(0, own - 1)], whole[own + 2 :])).max(axis=1))
    peaks = np.pad(peaks, (0, max(0, _SEGMENTS - len(peaks))), constant_values=usual)
    return min(max(float(np.quantile(peaks, _QUANTILE)), least), most)


def _agreement(heard: _Floats, levels: NDArray[np.uint8], place: int) -> float:
    """How the courses of energy correlate, -1 to 1, if `heard` is what was played from `place` on."""
    row = -(-place // _HOP)
    spectrum = np.fft.rfft(_frames(heard[row * _HOP - place :]), axis=1)
    power = _energies(_power(spectrum))
    expected = np.power(10.0, levels[row : row + len(power)] / np.float32(20.0), dtype=np.float32)
    ours, theirs = _course(power[: len(expected)]), _course(expected)
    # Bands count by what is heard in them: a band that the loudspeaker lacks holds noise only.
    weight = np.sqrt(power.mean(axis=0))
    norm = np.sqrt(np.sum(weight * ours**2) * np.sum(weight * theirs**2))
    return float(np.sum(weight * ours * theirs) / norm) if norm else 0.0


def _course(power: _Floats) -> _Floats:
    """The logarithm of each band's power over time, without its mean."""
    course: _Floats = np.log(power + _DEPTH * power.mean(axis=0) + _NOISE / 3)
    course -= course.mean(axis=0)
    return course


def _samples(pcm: bytes) -> _Floats:
    return np.frombuffer(pcm, "<i2").astype(np.float32)


def _packed(blocks: _Floats) -> NDArray[np.int8]:
    packed: NDArray[np.int8] = np.clip(np.rint(blocks * _QUANTUM), -127, 127).astype(np.int8)
    return packed


def _levels(energies: _Floats) -> NDArray[np.uint8]:
    """In steps of half a decibel."""
    levels: NDArray[np.uint8] = np.clip(np.rint(20 * np.log10(energies + 1.0)), 0, 255).astype(np.uint8)
    return levels


def _power(spectra: NDArray[np.complexfloating]) -> _Floats:
    power: _Floats = np.square(spectra.real) + np.square(spectra.imag)
    return power


def _energies(power: _Floats) -> _Floats:
    """From the power of spectra to that of their bands."""
    borders = _borders()
    energies: _Floats = np.add.reduceat(power[:, : borders[-1]], borders[:-1], axis=1)
    return energies


def _frames(samples: _Floats) -> _Floats:
    if len(samples) < _FRAME:
        return np.empty((0, _FRAME), np.float32)
    frames: _Floats = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP] * _window()
    return frames


@cache
def _window() -> _Floats:
    """Used twice, before and after the whitening; overlapping by half, the squares add up to one."""
    window: _Floats = np.sqrt(np.hanning(_FRAME + 1)[:-1]).astype(np.float32)
    return window


@cache
def _in_band() -> _Floats:
    frequencies = np.arange(_BINS) * (_RATE / _FRAME)
    return ((frequencies >= _LOWEST) & (frequencies <= _HIGHEST)).astype(np.float32)


@cache
def _borders() -> NDArray[np.intp]:
    """The first bin of each band, all equally wide in octaves, and the one after the last."""
    borders = np.geomspace(_LOWEST, _HIGHEST, _BANDS + 1) * (_FRAME / _RATE)
    return np.floor(borders).astype(np.intp)
