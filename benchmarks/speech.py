"""What the load generator says: short utterances whose true end is known, as ready-made messages."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import orjson
import pybase64

from providers.weights import wheel_file
from server.talk.recording import RATE, Recording, read_recording

__all__ = ["CHUNK_MS", "SILENCE", "Utterance", "utterances"]

CHUNK_MS = 20
CHUNK_BYTES = RATE * CHUNK_MS // 1000 * 2

RECORDING = "assets/endgame_nagg_nell.wav"

# First and last millisecond of some of its lines. Each fades within 50 ms and digital silence follows, so
# that there is no doubt where the voice ends; in other recordings rooms answer and breaths are drawn.
LINES = ((2380, 3660), (11900, 14350), (14570, 17300), (20350, 22300), (22450, 23550))


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
    """Lines of a dialogue that ships with the speech recogniser."""
    whole = read_recording(wheel_file("moonshine_voice", RECORDING))
    return tuple(_cut(whole, first, last) for first, last in LINES)


def _cut(whole: Recording, first_ms: int, last_ms: int) -> Utterance:
    voice_end = whole.voice_end_before(last_ms)
    assert voice_end is not None
    pcm = whole.pcm[first_ms * RATE // 1000 * 2 : last_ms * RATE // 1000 * 2]
    pieces = [pcm[at : at + CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0") for at in range(0, len(pcm), CHUNK_BYTES)]
    voice_end -= first_ms
    last_voiced = int(np.ceil(voice_end / CHUNK_MS)) - 1
    return Utterance(f"line at {first_ms} ms", tuple(map(message, pieces)), voice_end, last_voiced)
