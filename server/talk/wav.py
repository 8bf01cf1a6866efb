"""RIFF/WAVE: decodes every sample format that recorders write, and encodes PCM16.

The standard library's `wave` module refuses float, A-law and mu-law, and (before Python 3.12) the
WAVE_FORMAT_EXTENSIBLE header that many recorders use for plain PCM.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.codecs import decode

__all__ = ["RecordingError", "decode_wav", "encode_wav"]

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_RATES = range(1_000, 768_001)


class RecordingError(Exception):
    """A file that cannot be used as speech; the text says what to do about it."""


def decode_wav(data: bytes, name: str) -> tuple[NDArray[np.float64], int]:
    """The file's channels mixed to mono, between -1 and 1, and its rate in Hertz.

    `name` appears in the text of the `RecordingError` that is raised for anything else than a WAV file.
    """
    advice = f"convert it with: ffmpeg -i {name} -ac 1 -ar 24000 speech.wav"
    if not data:
        raise RecordingError(f"{name} is empty")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise RecordingError(f"{name} is not a WAV file; {advice}")
    chunks = dict(_chunks(data))
    layout, body = chunks.get(b"fmt ", b""), chunks.get(b"data")
    if len(layout) < 16 or body is None:
        raise RecordingError(f"{name} is a damaged WAV file: it has no format or no data; {advice}")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
    if kind == _EXTENSIBLE and len(layout) >= 26:
        (kind,) = struct.unpack_from("<H", layout, 24)  # the first two bytes of the sub-format's GUID
    samples = _samples(body, kind, bits)
    if samples is None or not channels or rate not in _RATES:
        raise RecordingError(
            f"{name} has a format that is not supported (code {kind}, {bits} bits, {rate} Hz); {advice}"
        )
    whole = len(samples) // channels * channels
    mono = samples[:whole].reshape(-1, channels).mean(axis=1)
    return np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0), rate


def encode_wav(pcm: bytes, rate: int) -> bytes:
    """Signed 16-bit little-endian mono PCM as a WAV file."""
    layout = struct.pack("<HHIIHH", _PCM, 1, rate, rate * 2, 2, 16)
    return b"".join(
        [
            b"RIFF" + struct.pack("<I", 4 + 8 + len(layout) + 8 + len(pcm)) + b"WAVE",
            b"fmt " + struct.pack("<I", len(layout)) + layout,
            b"data" + struct.pack("<I", len(pcm)) + pcm,
        ]
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        # A file that was written to a pipe has a size of all ones, or too large a one: slicing clamps it.
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _samples(body: bytes, kind: int, bits: int) -> NDArray[np.float64] | None:
    """All samples, channels interleaved, between -1 and 1; None for a format that is not known."""
    body = body[: len(body) // max(1, bits // 8) * max(1, bits // 8)]
    match kind, bits:
        case (1, 8):
            return (np.frombuffer(body, "u1").astype(np.float64) - 128) / 128
        case (1, 16):
            return np.asarray(np.frombuffer(body, "<i2") / 32768)
        case (1, 24):
            triples = np.frombuffer(body, "u1").reshape(-1, 3)
            quads = np.zeros((len(triples), 4), "u1")
            quads[:, 1:] = triples  # as the upper bytes, so that the sign comes out right
            return np.asarray(quads.view("<i4").reshape(-1) / 2147483648)
        case (1, 32):
            return np.asarray(np.frombuffer(body, "<i4") / 2147483648)
        case (3, 32):
            return np.frombuffer(body, "<f4").astype(np.float64)
        case (3, 64):
            return np.frombuffer(body, "<f8").astype(np.float64)
        case (6, 8):
            return np.asarray(np.frombuffer(decode(body, "audio/pcma"), "<i2") / 32768)
        case (7, 8):
            return np.asarray(np.frombuffer(decode(body, "audio/pcmu"), "<i2") / 32768)
    return None
