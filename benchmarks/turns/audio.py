"""Mono audio at 16 kHz as arrays: reading, levels, noises, rooms."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import resample
from server.talk.wav import decode_wav

__all__ = [
    "RATE",
    "Samples",
    "at_level",
    "coloured",
    "decibels",
    "fan",
    "from_pcm",
    "in_room",
    "level_of",
    "loud_runs",
    "read",
    "to_pcm",
]

RATE = 16_000  # Hertz
Samples = NDArray[np.float32]  # full scale is 1

_FRAME = RATE // 100
_JOIN = 15  # frames: what is closer than 150 ms is one run of speech, stops and all
_SHORTEST = 6  # frames: shorter sounds are lips and chairs
_BELOW_SPEECH, _ABOVE_NOISE = 30.0, 8.0  # dB


def from_pcm(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def to_pcm(samples: Samples) -> bytes:
    return bytes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2"))


def read(path: Path) -> Samples:
    """A WAV file of any rate, or headerless PCM16 at 16 kHz."""
    data = path.read_bytes()
    if path.suffix == ".raw":
        return from_pcm(data)
    samples, rate = decode_wav(data, path.name)
    return from_pcm(resample(to_pcm(samples.astype(np.float32)), rate, RATE))


def _levels(samples: Samples) -> NDArray[Any]:
    """In dB of full scale, one for each 10 ms."""
    whole = len(samples) // _FRAME
    power = (samples[: whole * _FRAME].reshape(whole, _FRAME).astype(np.float64) ** 2).mean(axis=1)
    levels: NDArray[Any] = 10 * np.log10(power + 1e-10)
    return levels


def loud_runs(samples: Samples) -> list[tuple[int, int]]:
    """Where somebody speaks, in ms: frames of 10 ms within 30 dB of the loudest, and 8 dB above the quietest.

    Gaps below 150 ms are taken for parts of words.
    """
    levels = _levels(samples)
    speech, noise = np.percentile(levels, 95), np.percentile(levels, 5)
    if speech - noise > 20:
        threshold = max(speech - _BELOW_SPEECH, noise + _ABOVE_NOISE, -60)
    else:
        threshold = (speech + noise) / 2
    edges = np.flatnonzero(np.diff(np.concatenate([[False], levels > threshold, [False]])))
    runs: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if runs and start - runs[-1][1] < _JOIN:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [(10 * start, 10 * end) for start, end in runs if end - start >= _SHORTEST]


def level_of(samples: Samples) -> float:
    """Of the voice: the mean power, in dB, of the frames within 20 dB of the loudest."""
    levels = _levels(samples)
    voiced = levels[levels > np.percentile(levels, 95) - 20]
    return float(10 * np.log10((10 ** (voiced / 10)).mean()))


def decibels(samples: Samples) -> float:
    """The mean power of all of it, in dB of full scale."""
    return float(10 * np.log10((samples.astype(np.float64) ** 2).mean() + 1e-12))


def at_level(samples: Samples, level: float) -> Samples:
    """With that mean power, in dB of full scale."""
    return samples * np.float32(10 ** ((level - decibels(samples)) / 20))


def coloured(count: int, rng: np.random.Generator, *, slope: float) -> Samples:
    """Noise whose power falls by `slope` times 3 dB per octave: 0 is white, 1 is pink, 2 is brown."""
    size = 1 << count.bit_length()  # transforms of odd lengths take seconds
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20.0)
    noise: Samples = np.fft.irfft(spectrum * frequency ** (-slope / 2), size)[:count].astype(np.float32)
    return noise


def fan(count: int, rng: np.random.Generator) -> Samples:
    """A fan and the hum of the mains: brown noise, 50 Hz with harmonics, and blades that turn."""
    time = np.arange(count) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k**1.5 for k in (1, 2, 3, 5, 7))
    blades = 1 + 0.3 * np.sin(2 * np.pi * 11 * time)
    air = at_level(coloured(count, rng, slope=1.5), -20) * blades
    noise: Samples = (air + at_level(np.asarray(hum, np.float32), -22)).astype(np.float32)
    return noise


def in_room(samples: Samples, rng: np.random.Generator, *, seconds: float) -> Samples:
    """As heard across a room: directly, by early reflections, and by a tail of 60 dB in `seconds`."""
    length = int(seconds * RATE)
    response = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length) * 0.03
    response[: RATE // 200] = 0
    for delay in rng.uniform(0.004, 0.05, 8):
        response[int(delay * RATE)] += rng.uniform(0.15, 0.4) * rng.choice([-1, 1])
    response[0] = 1.0
    size = 1 << (len(samples) + length).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    heard: Samples = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    return heard
