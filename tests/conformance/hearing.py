"""A voice and ears for tests: what a piece of speech says, how loud it is, how close two wordings are."""

import re
from collections.abc import AsyncIterator
from functools import cache

import numpy as np

from providers.contracts import Stt, SttOptions, TranscriptFinal
from providers.local import LocalProvider
from providers.provider import ProviderSettings
from tests.speech import recording, resample

__all__ = ["VOICE_MS", "VOICE_WORDS", "loudness", "seconds", "transcript_of", "voice", "word_errors", "words"]

VOICE_MS = 1_600
VOICE_WORDS = ["ever", "tried"]  # one sentence, so that it is one turn however that is detected


def voice(ms: int = VOICE_MS, rate: int = 24_000) -> bytes:
    """A person saying `VOICE_WORDS` (the recording pauses after them), or the beginning of it."""
    return recording("beckett", rate)[: 2 * (rate * ms // 1000)]


@cache
def _ears() -> Stt:
    return LocalProvider(ProviderSettings("local")).stt("moonshine-tiny-en")


async def transcript_of(pcm: bytes, rate: int) -> str:
    """The words that Moonshine hears in PCM16 at `rate` Hertz."""
    ears = _ears()

    async def whole() -> AsyncIterator[bytes]:
        yield resample(pcm, rate, ears.sample_rate)

    text = ""
    async for event in ears.transcribe(whole(), SttOptions()):
        if isinstance(event, TranscriptFinal):
            text = event.text
    return text


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(heard: str, said: str) -> float:
    """The share of words that were misheard: edit distance over the words said."""
    a, b = words(heard), words(said)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        row, before = [i], row
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1] / max(1, len(b))


def seconds(pcm: bytes, rate: int) -> float:
    """How long PCM16 at `rate` Hertz lasts."""
    return len(pcm) / 2 / rate


def loudness(pcm: bytes) -> float:
    """Root mean square of PCM16, where 1 is full scale."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / 32768
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
