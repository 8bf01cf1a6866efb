"""Short phrases as speech, kept for all sessions of the process: the second time they cost nothing."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from pipeline.audio.resample import Resampler
from pipeline.engines import Engines, load
from pipeline.events import BACKCHANNEL_RATE as RATE
from pipeline.stages.phrases import as_sentence
from providers.contracts import Caller, Tts, TtsOptions
from providers.errors import BadAnswerError

__all__ = ["SpokenPhrases", "pieces"]

_MAX_SECONDS = 4  # of one phrase: what takes longer is no listener's sound
_PIECE = 2 * RATE * 200 // 1000  # bytes in one event
_STEP = 2 * RATE // 2  # bytes that are resampled at once: 0.25 ms of work


@dataclass(frozen=True, slots=True)
class _Entry:
    tts: Tts  # kept, so that nobody else can have its identity
    pcm: bytes


class SpokenPhrases:
    """Bounded by the bytes it keeps: a second of speech has 48 000, most phrases half of that."""

    def __init__(self, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[int, str, float, str], _Entry] = OrderedDict()
        self._bytes = 0

    async def get(
        self, engines: Engines, model: str, voice: str, speed: float, phrase: str, caller: Caller
    ) -> bytes:
        """PCM16 mono at 24 kHz. Raises `ProviderError` and `UnknownModelError`."""
        tts = await load(engines, engines.tts, model)
        known = engines.resolve_voice(model, voice)
        key = (id(tts), known, speed, phrase)
        if (entry := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
            return entry.pcm
        pcm = await _spoken(tts, phrase, TtsOptions(known, speed, caller=caller))
        self._keep(key, _Entry(tts, pcm))
        return pcm

    def _keep(self, key: tuple[int, str, float, str], entry: _Entry) -> None:
        before = self._entries.pop(key, None)  # another session may have been as quick
        self._bytes += len(entry.pcm) - (len(before.pcm) if before is not None else 0)
        self._entries[key] = entry
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= len(oldest.pcm)


async def _spoken(tts: Tts, phrase: str, options: TtsOptions) -> bytes:
    resampler = Resampler(tts.sample_rate, RATE)
    pcm = bytearray()
    # The voice's stream is closed first: until then it may be reading its text.
    async with (
        aclosing(_once(as_sentence(phrase))) as text,
        aclosing(tts.speak(text, options)) as chunks,
    ):
        async for chunk in chunks:
            for offset in range(0, len(chunk.pcm), _STEP):
                pcm += resampler.process(chunk.pcm[offset : offset + _STEP])
                if len(pcm) > 2 * RATE * _MAX_SECONDS:
                    raise BadAnswerError(f"'{phrase}' takes longer than {_MAX_SECONDS} s to say.")
                await asyncio.sleep(0)
    pcm += resampler.flush()
    if not pcm:
        raise BadAnswerError(f"The voice said nothing for '{phrase}'.")
    return bytes(pcm)


async def _once(text: str) -> AsyncGenerator[str, None]:
    yield text


def pieces(pcm: bytes, gain: float) -> Iterator[bytes]:
    """The speech in pieces of 200 ms, louder or softer by that factor; none at all where that is 0."""
    for offset in range(0, len(pcm) if gain else 0, _PIECE):
        piece = pcm[offset : offset + _PIECE]
        if gain != 1.0:
            samples = np.rint(np.frombuffer(piece, "<i2").astype(np.float32) * gain)
            piece = samples.clip(-32768, 32767).astype("<i2").tobytes()
        yield piece
