"""Real recordings of human voices, and silence, as PCM for every test that needs to hear something."""

import wave
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.weights import wheel_file

__all__ = ["BECKETT", "recording", "resample", "silence"]

# What is said in `recording("beckett", ...)`: ten seconds, one speaker, pauses between the sentences.
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."


@cache
def recording(name: str, rate: int) -> bytes:
    """A recording as signed 16-bit little-endian mono PCM at `rate` Hertz.

    Names: "beckett" (10 s, the words of `BECKETT`), "clone-test" (4 s, one sentence), "two_cities" (44 s of
    reading from a novel), "endgame_nagg_nell" (a dialogue).
    """
    with wave.open(str(wheel_file("moonshine_voice", f"assets/{name}.wav")), "rb") as file:
        assert file.getsampwidth() == 2
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        samples = samples.reshape(-1, file.getnchannels()).mean(axis=1)
        return resample(samples.astype("<i2").tobytes(), file.getframerate(), rate)


def silence(ms: int, rate: int) -> bytes:
    """Digital silence: `ms` milliseconds of zero samples at `rate` Hertz."""
    return bytes(2 * (ms * rate // 1000))


def resample(pcm: bytes, source: int, target: int) -> bytes:
    """Convert PCM16 mono between rates: the whole recording at once, through its spectrum."""
    if source == target or not pcm:
        return pcm
    samples: NDArray[Any] = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    count = round(len(samples) * target / source)
    # Zeros at the end keep the spectrum's circularity from folding the end into the beginning, and a
    # length without large prime factors keeps the transform fast.
    size = 1 << (len(samples) + source // 10 - 1).bit_length()
    spectrum = np.fft.rfft(samples, size)
    bins = np.arange(len(spectrum))
    wanted = np.arange(count) * (source / target)
    if target < source:
        spectrum[bins >= size * target / source / 2] = 0
    finer = 1 if source % target == 0 else 4  # four points per period: interpolating by lines is then enough
    padded = np.concatenate([spectrum, np.zeros((finer - 1) * (size // 2))])
    points = np.fft.irfft(padded, finer * size) * finer
    result = np.interp(wanted * finer, np.arange(len(points)), points)
    pcm_out: bytes = np.clip(np.rint(result), -32768, 32767).astype("<i2").tobytes()
    return pcm_out
