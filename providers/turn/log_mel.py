"""The features that Whisper's encoder listens to: 80 mel bands in decibels, 100 times a second; numpy only.

As in the paper "Robust Speech Recognition via Large-Scale Weak Supervision" (Radford et al., 2022), section
2.2, and its published code: frames of 25 ms each 10 ms, a periodic Hann window, Slaney's mel scale with bands
of equal area, the loudest 80 dB kept and brought near the range -1 to 1.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "HOP", "RATE", "log_mel"]

RATE = 16_000  # Hertz
HOP = 160  # samples
BANDS = 80
_FRAME = 400  # samples
_FLOOR = 1e-10  # power
_RANGE = 8.0  # in powers of ten

# Slaney's scale: linear up to 1 kHz, then 27 mels for each factor of 6.4.
_LINEAR_HZ, _LINEAR_MELS = 1000.0, 15.0
_STEP = np.log(6.4) / 27.0


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features of audio at 16 kHz: shape (80, len(samples) // 160). Some 2 ms for 8 s."""
    padded = np.pad(samples, _FRAME // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::HOP][: len(samples) // HOP]
    spectrum = np.fft.rfft(frames * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = np.log10(np.maximum(power @ _filters(), _FLOOR))
    np.maximum(bands, bands.max() - _RANGE, out=bands)
    return np.ascontiguousarray(((bands + 4.0) / 4.0).T, np.float32)


@cache
def _window() -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.hanning(_FRAME + 1)[:-1]
    return window


@cache
def _filters() -> NDArray[np.float64]:
    """From the powers of a spectrum to those of the bands: triangles between three neighbouring borders."""
    highest = _LINEAR_MELS + np.log(RATE / 2 / _LINEAR_HZ) / _STEP
    mels = np.linspace(0.0, highest, BANDS + 2)
    linear = mels * (_LINEAR_HZ / _LINEAR_MELS)
    borders = np.where(mels < _LINEAR_MELS, linear, _LINEAR_HZ * np.exp(_STEP * (mels - _LINEAR_MELS)))
    left, middle, right = borders[:-2], borders[1:-1], borders[2:]
    frequencies = np.linspace(0.0, RATE / 2, _FRAME // 2 + 1)[:, None]
    rising = (frequencies - left) / (middle - left)
    falling = (right - frequencies) / (right - middle)
    triangles = np.clip(np.minimum(rising, falling), 0.0, None)
    filters: NDArray[np.float64] = triangles * (2.0 / (right - left))
    return filters
