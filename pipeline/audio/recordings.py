"""Audio files that clients put into conversation items: WAV, Ogg and WebM, recognised by how they begin.

Everything here is bounded and never leaves the process: the demuxer is named and not guessed, so that no
playlist or other format that refers to further files is opened; only decoders of a short list run, none of
them for video; and what decodes to too much audio is given up.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Literal

from pipeline.errors import InvalidRequest

__all__ = ["Container", "decode_recording", "recognise", "too_long"]

Container = Literal["wav", "ogg", "matroska"]

# Whole signatures, so that raw samples do not look like a file by chance. Ogg: version 0, first page of a
# stream. EBML (Matroska, of which WebM is a part): the header names the document type near its beginning.
_SIGNATURES: dict[Container, re.Pattern[bytes]] = {
    "wav": re.compile(rb"RIFF.{4}WAVE", re.DOTALL),
    "ogg": re.compile(rb"OggS\0[\2\6]", re.DOTALL),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3.{1,64}?\x42\x82.{1,8}?(?:webm|matroska)", re.DOTALL),
}
_CODECS = ("opus", "vorbis", "flac")
_PCM_CODECS = (
    *("pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
)
_RATES = range(1_000, 768_001)  # Hertz; converting from an absurd rate takes seconds
_OPTIONS = {"codec_whitelist": ",".join((*_CODECS, *_PCM_CODECS))}


def recognise(data: bytes) -> Container | None:
    """The kind of file that `data` is; None for anything else, such as bare samples."""
    return next((kind for kind, signature in _SIGNATURES.items() if signature.match(data)), None)


def decode_recording(data: bytes, rate: int, max_seconds: float, param: str) -> bytes:
    """The first audio track of a recognised file, as PCM16 mono at `rate` Hertz.

    Damaged pieces inside it are left out, as a player does. Raises `InvalidRequest`, naming `param`, for a
    file without audio that can be decoded, or with more than `max_seconds` of it. Computes for up to a second
    or so: call it from a worker thread.
    """
    import av  # here, because it takes a tenth of a second that most processes need never spend

    kind = recognise(data)
    assert kind is not None
    pcm = bytearray()
    try:
        with av.open(BytesIO(data), "r", format=kind, options=_OPTIONS) as file:
            resampler = av.AudioResampler("s16", "mono", rate)
            for frame in _frames(file, max_seconds, param):
                for piece in resampler.resample(frame):
                    pcm += bytes(piece.planes[0])[: 2 * piece.samples]
    except InvalidRequest:
        raise
    except Exception as error:  # not only errors of ffmpeg itself: its binding has its own ways to give up
        raise _unreadable(kind, param) from error
    if not pcm:
        raise _unreadable(kind, param)
    return bytes(pcm)


def _frames(file: Any, max_seconds: float, param: str) -> Iterator[Any]:
    """The decoded audio of the first audio track, then None."""
    import av

    if not file.streams.audio:
        raise InvalidRequest(f"Invalid '{param}': the file holds no audio.", param=param)
    track = file.streams.audio[0]
    # A codec that ffmpeg was not built with has no context.
    codec = track.codec_context and track.codec_context.codec.canonical_name
    if codec not in (*_CODECS, *_PCM_CODECS):
        raise InvalidRequest(
            f"Invalid '{param}': the file's codec '{codec or 'unknown'}' is not supported. "
            "Supported are Opus, Vorbis, FLAC and PCM.",
            param=param,
        )
    seconds = 0.0
    for packet in file.demux(track):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        for frame in frames:
            if frame.sample_rate not in _RATES:
                raise InvalidRequest(
                    f"Invalid '{param}': a rate of {frame.sample_rate} Hz is not supported.", param=param
                )
            seconds += frame.samples / frame.sample_rate
            if seconds > max_seconds:
                raise too_long(max_seconds, param)
            yield frame
    yield None


def too_long(max_seconds: float, param: str) -> InvalidRequest:
    """The error for a recording of more than `max_seconds`, which are left for it."""
    return InvalidRequest(
        f"Invalid '{param}': the recording is longer than the {max_seconds:.1f} s that are left for it.",
        param=param,
    )


def _unreadable(kind: Container, param: str) -> InvalidRequest:
    name = {"wav": "WAV", "ogg": "Ogg", "matroska": "WebM"}[kind]
    return InvalidRequest(f"Invalid '{param}': the {name} file could not be decoded.", param=param)
