"""Between the bytes of a wire format and PCM16 mono, sample by sample; rates stay as they are."""

from functools import cache
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline.config import FormatType
from pipeline.errors import InvalidRequest

__all__ = ["bytes_per_sample", "check_whole_samples", "decode", "encode"]

_Law = Literal["audio/pcmu", "audio/pcma"]

_BYTES: dict[FormatType, int] = {"audio/pcm": 2, "audio/pcmu": 1, "audio/pcma": 1, "audio/float32": 4}


def bytes_per_sample(type: FormatType) -> int:
    """The size of one sample on the wire."""
    return _BYTES[type]


def check_whole_samples(data: bytes, type: FormatType, param: str) -> None:
    """Raise `InvalidRequest`, naming `param`, when the last sample of `data` is incomplete."""
    if len(data) % _BYTES[type] == 0:
        return
    wanted = "PCM16 audio has an even number of bytes"
    if type == "audio/float32":
        wanted = "float32 audio has four bytes per sample"
    raise InvalidRequest(f"Invalid '{param}': {wanted}, but this has {len(data)}.", param=param)


def decode(data: bytes, type: FormatType) -> bytes:
    """PCM16 mono from whole samples of that format; out-of-range floats are clipped, and NaN is silence."""
    match type:
        case "audio/pcm":
            pcm = data
        case "audio/pcmu" | "audio/pcma":
            pcm = _expansion(type)[np.frombuffer(data, "u1")].tobytes()
        case "audio/float32":
            # Clipped before it is scaled, so that a huge value cannot overflow on the way.
            values = np.clip(np.nan_to_num(np.frombuffer(data, "<f4"), nan=0.0), -1.0, 1.0)
            pcm = np.minimum(np.rint(values * 32768.0), 32767.0).astype("<i2").tobytes()
        case _:
            assert_never(type)
    return pcm


def encode(pcm: bytes, type: FormatType) -> bytes:
    """PCM16 mono in that format: one byte per sample for G.711, four between -1 and 1 for float32."""
    match type:
        case "audio/pcm":
            data = pcm
        case "audio/pcmu" | "audio/pcma":
            data = _compression(type)[np.frombuffer(pcm, "<u2")].tobytes()
        case "audio/float32":
            data = (np.frombuffer(pcm, "<i2") / np.float32(32768.0)).astype("<f4").tobytes()
        case _:
            assert_never(type)
    return data


# --- ITU-T G.711 -------------------------------------------------------------------------------------
#
# A code is a sign, a segment of 3 bits and a step of 4 bits within it; from one segment to the next the steps
# double in size. The laws are written for magnitudes of 13 bits (mu-law) or 12 (A-law), here scaled to 16-bit
# samples. On the line, mu-law codes travel inverted and A-law codes with every second bit inverted.


def _levels(law: _Law) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """For the 128 magnitudes of a law: where their interval begins, and the value that stands for it."""
    magnitude = np.arange(128)
    segment, step = magnitude >> 4, magnitude & 15
    if law == "audio/pcmu":
        begins, value = ((2 * step + 32) << segment) - 33, ((2 * step + 33) << segment) - 33
        return np.maximum(begins, 0) * 4, value * 4
    # The first two segments of A-law have steps of the same size.
    offset = np.where(segment == 0, 0, 32) + 2 * step
    shift = np.maximum(segment - 1, 0)
    return (offset << shift) * 8, ((offset + 1) << shift) * 8


def _codes(law: _Law) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The 128 codes of positive samples and the 128 of negative ones, by rising magnitude."""
    inverted = np.uint8(0x7F if law == "audio/pcmu" else 0x55)
    negative = np.arange(128, dtype=np.uint8) ^ inverted
    return negative | np.uint8(0x80), negative


@cache
def _expansion(law: _Law) -> NDArray[np.int16]:
    """The sample that each of the 256 codes stands for."""
    _, value = _levels(law)
    positive, negative = _codes(law)
    table = np.empty(256, "<i2")
    table[positive], table[negative] = value, -value
    return table


@cache
def _compression(law: _Law) -> NDArray[np.uint8]:
    """The code of each sample, by its 16 bits read as an unsigned number. Made in under a millisecond."""
    begins, _ = _levels(law)
    positive, negative = _codes(law)
    magnitude = np.searchsorted(begins, np.arange(32768), side="right") - 1
    # Negative samples mirror the others around -1/2, so that both signs have as many.
    return np.concatenate((positive[magnitude], negative[magnitude[::-1]]))
