"""Speech for transcription adapters, and what their streams told."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from providers.contracts import (
    EndOfTurn,
    Stt,
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
)
from providers.provider import Provider
from tests.fakes.hearing import in_pieces

__all__ = ["deltas", "final", "guesses", "heard_by", "opinions", "spoken", "transcribed"]


async def spoken(pcm: bytes, rate: int, seconds: float = 0.02) -> AsyncIterator[bytes]:
    """Audio in pieces, as fast as somebody takes it."""
    for piece in in_pieces(pcm, rate=rate, seconds=seconds):
        yield piece
        await asyncio.sleep(0)


async def transcribed(stt: Stt, pcm: bytes, options: SttOptions | None = None) -> list[SttEvent]:
    """All that an engine tells of one utterance."""
    async with asyncio.timeout(10):
        events = stt.transcribe(spoken(pcm, stt.sample_rate), options or SttOptions())
        return [event async for event in events]


async def heard_by(
    lab: Provider, model: str, pcm: bytes, options: SttOptions | None = None
) -> list[SttEvent]:
    """The same of a provider's engine; the provider is closed afterwards."""
    try:
        return await transcribed(lab.stt(model), pcm, options)
    finally:
        await lab.aclose()


def deltas(events: Iterable[SttEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TranscriptDelta)]


def guesses(events: Iterable[SttEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TranscriptGuess)]


def opinions(events: Iterable[SttEvent]) -> list[float]:
    return [event.probability for event in events if isinstance(event, EndOfTurn)]


def final(events: list[SttEvent]) -> str:
    """The text of the last event, which all that was told before adds up to."""
    [last] = [event for event in events if isinstance(event, TranscriptFinal)]
    assert events[-1] is last
    assert "".join(deltas(events)).strip() == last.text
    return last.text
