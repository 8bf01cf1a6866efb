"""Reads a WAV file of any common kind as what a session wants to hear, and finds the voice in it."""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.talk.wav import RecordingError, decode_wav

__all__ = ["RATE", "Recording", "RecordingError", "read_recording"]

RATE = 24_000  # Hertz; the one PCM rate that every Realtime server understands

_FRAME_MS = 10  # resolution of the voice's ends
_MAX_SECONDS = 3600  # a session lasts an hour at most
_Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """Speech as a microphone would deliver it: signed 16-bit little-endian mono PCM at 24 kHz."""

    name: str
    pcm: bytes
    loud: tuple[bool, ...]  # one per 10 ms: whether it is louder than the pauses

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) / 2 / RATE * 1000

    def voice_end_before(self, ms: float) -> float | None:
        """Where the voice was last heard up to `ms` from the start, in milliseconds; None if never."""
        frame = min(len(self.loud), int(ms / _FRAME_MS)) - 1
        while frame >= 0 and not self.loud[frame]:
            frame -= 1
        return None if frame < 0 else (frame + 1) * float(_FRAME_MS)

    @property
    def voice_end(self) -> float | None:
        """Where the last word ends, in milliseconds from the start; None where there is only silence."""
        return self.voice_end_before(self.duration_ms + _FRAME_MS)


def read_recording(path: Path) -> Recording:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, float, A-law or mu-law, any rate, any channels.

    Raises `RecordingError`, whose text tells the user what to do.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(f"there is no file {path}") from None
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    samples, rate = decode_wav(data, str(path))
    if not len(samples):
        raise RecordingError(f"{path} holds no audio")
    if len(samples) > rate * _MAX_SECONDS:
        raise RecordingError(f"{path} is longer than an hour, which is as long as a session lasts")
    return recording(path.name, samples, rate)


def recording(name: str, samples: _Samples, rate: int) -> Recording:
    """Make a recording of mono samples between -1 and 1 at `rate` Hertz."""
    at_rate = _resample(samples, rate, RATE)
    pcm = np.clip(np.rint(at_rate * 32768), -32768, 32767).astype("<i2").tobytes()
    return Recording(name, pcm, tuple(_loud_frames(at_rate).tolist()))


def _resample(samples: _Samples, source: int, target: int) -> _Samples:
    """A whole recording at another rate, through a windowed sinc of 16 zero crossings on each side.

    The ratio is rational, so that only `target / gcd` different filters occur; they are computed once.
    """
    if source == target:
        return samples
    divisor = gcd(source, target)
    up, down = target // divisor, source // divisor
    cutoff = min(1.0, target / source)
    reach = int(np.ceil(16 / cutoff))
    taps = np.arange(-reach + 1, reach + 1)
    distance = taps[None, :] - (np.arange(up) / up)[:, None]
    window = np.cos(np.pi * np.clip(distance / (reach + 1), -1, 1) / 2) ** 2
    filters = cutoff * np.sinc(cutoff * distance) * window
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + 1)])
    count = len(samples) * target // source
    result = np.empty(count)
    for start in range(0, count, 1 << 14):  # in pieces, so that an hour does not need gigabytes
        position = np.arange(start, min(count, start + (1 << 14))) * down
        first = position // up + 1
        result[start : start + len(position)] = np.einsum(
            "ij,ij->i", padded[first[:, None] + np.arange(2 * reach)[None, :]], filters[position % up]
        )
    return result


def _loud_frames(samples: _Samples) -> NDArray[np.bool_]:
    """Which frames of 10 ms carry the voice.

    They are within 22 dB of the loudest half second (where most words have faded away), nearer to it than to
    the noise, above -60 dB of full scale, and last for 40 ms at least, which clicks do not.
    """
    size = RATE * _FRAME_MS // 1000
    whole = len(samples) // size
    if not whole:
        return np.zeros(0, dtype=bool)
    power = (samples[: whole * size].reshape(whole, size) ** 2).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    speech, noise = np.median(np.sort(level)[-50:]), np.percentile(level, 5)
    # Without pauses there is no noise to tell the voice from.
    floor = (speech + noise) / 2 if speech - noise > 20 else -60.0
    loud: NDArray[np.bool_] = level > max(speech - 22, floor, -60)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]])))
    for start, end in edges.reshape(-1, 2):
        loud[start:end] = end - start >= 4
    return loud
