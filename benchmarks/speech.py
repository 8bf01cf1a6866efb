"""What the load generator says: short human utterances whose true end is known, as ready-made messages."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import orjson
import pybase64

from providers.weights import wheel_file
from server.talk.recording import RATE, read_recording

__all__ = ["CHUNK_MS", "SILENCE", "Utterance", "utterances"]

CHUNK_MS = 20
CHUNK_BYTES = RATE * CHUNK_MS // 1000 * 2
FADE_MS = 20

# File, first and last millisecond: cut in pauses, so that a voice is heard to fade and no second one begins.
CUTS = (
    ("beckett", 6400, 7750),
    ("beckett", 7900, 9250),
    ("two_cities", 24300, 26300),
    ("two_cities", 26200, 28500),
    ("clone-test", 0, 4100),
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Messages to send, one per 20 ms."""

    name: str
    messages: tuple[str, ...]
    voice_end_ms: float  # from its beginning, found by energy
    last_voiced: int  # index of the message that carries the end of the voice


def message(pcm: bytes) -> str:
    event = {"type": "input_audio_buffer.append", "audio": pybase64.b64encode(pcm).decode()}
    return orjson.dumps(event).decode()


SILENCE = message(bytes(CHUNK_BYTES))


@cache
def utterances() -> tuple[Utterance, ...]:
    """Human voices out of the recordings that ship with the speech recogniser."""
    return tuple(_cut(name, first, last) for name, first, last in CUTS)


def _cut(name: str, first_ms: int, last_ms: int) -> Utterance:
    whole = read_recording(wheel_file("moonshine_voice", f"assets/{name}.wav"))
    voice_end = whole.voice_end_before(last_ms)
    assert voice_end is not None
    pcm = whole.pcm[first_ms * RATE // 1000 * 2 : last_ms * RATE // 1000 * 2]
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    fade = RATE * FADE_MS // 1000  # room noise must not end in a click
    samples[:fade] *= np.linspace(0, 1, fade)
    samples[-fade:] *= np.linspace(1, 0, fade)
    smooth = np.rint(samples).astype("<i2").tobytes()
    pieces = [
        smooth[at : at + CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0") for at in range(0, len(smooth), CHUNK_BYTES)
    ]
    voice_end -= first_ms
    last_voiced = int(np.ceil(voice_end / CHUNK_MS)) - 1
    return Utterance(name, tuple(map(message, pieces)), voice_end, last_voiced)
