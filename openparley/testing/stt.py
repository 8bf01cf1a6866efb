"""The contract of transcription."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Mapping

from openparley.testing.common import Check, collect, expect, first_of, nothing_left, stream
from providers.contracts import (
    EndOfTurn,
    RouteTaken,
    Stt,
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
    TranscriptSegment,
)

__all__ = ["STT_CHECKS", "check_stt"]

_HINTS = SttOptions(
    language="en-US", prompt="A greeting.", languages=(), keywords=("OpenParley",), delay="low", logprobs=True
)


def _sound(stt: Stt, seconds: float = 1.0) -> bytes:
    """A tone that rises and falls in loudness, as syllables do."""
    rate = stt.sample_rate
    samples = (
        int(8000 * math.sin(2 * math.pi * 200 * n / rate) * abs(math.sin(2 * math.pi * 2 * n / rate)))
        for n in range(int(seconds * rate))
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def _pieces(pcm: bytes, size: int) -> AsyncIterator[bytes]:
    return stream([pcm[offset : offset + size] for offset in range(0, len(pcm), size)])


async def _says_what_it_wants(stt: Stt) -> None:
    expect(8_000 <= stt.sample_rate <= 48_000, "sample_rate is between 8000 and 48000 Hz")
    expect(isinstance(stt.streaming, bool), "streaming says whether deltas come while somebody talks")


async def _hears_nothing_in_nothing(stt: Stt) -> None:
    events = await collect(stt.transcribe(stream([]), SttOptions()))
    expect(bool(events) and isinstance(events[-1], TranscriptFinal), "a stream ends with a TranscriptFinal")
    final = events[-1]
    assert isinstance(final, TranscriptFinal)
    expect(final.text == "", "where there is no audio, there is no text")


async def _transcribes(stt: Stt) -> None:
    for size in (2 * 77, stt.sample_rate // 5 * 2):
        events = await collect(stt.transcribe(_pieces(_sound(stt), size), _HINTS))
        _check_order(events)


async def _keeps_utterances_apart(stt: Stt) -> None:
    pcm = _sound(stt)
    streams = [stt.transcribe(_pieces(pcm, 2000), SttOptions()) for _ in range(3)]
    for events in await asyncio.gather(*map(collect, streams)):
        _check_order(events)


async def _stops_when_cancelled(stt: Stt) -> None:
    before = asyncio.all_tasks()
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield _sound(stt, 0.3)
        await endless.wait()

    task = asyncio.create_task(first_of(stt.transcribe(audio(), SttOptions()), 10_000))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await nothing_left(before)


def _check_order(events: list[SttEvent]) -> None:
    expect(bool(events) and isinstance(events[-1], TranscriptFinal), "a stream ends with a TranscriptFinal")
    told = ""
    for number, event in enumerate(events):
        match event:
            case RouteTaken():
                expect(number == 0, "RouteTaken comes first")
            case TranscriptDelta(text):
                expect(bool(text), "a delta has text")
                told += text
            case TranscriptGuess(text):
                expect(bool(text), "a guess has text")
            case EndOfTurn(probability):
                expect(0 <= probability <= 1, "probabilities are between 0 and 1")
            case TranscriptSegment(_, _, _, start, end):
                expect(0 <= start <= end, "a segment ends after it begins")
            case TranscriptFinal(text):
                expect(number == len(events) - 1, "nothing comes after TranscriptFinal")
                expect(text == text.strip(), "the final text has no space around it")
                if told:
                    expect(
                        _words(text) == _words(told),
                        f"deltas are never revised: {told!r} was told, and the final text is {text!r}",
                    )


def _words(text: str) -> list[str]:
    return text.split()


STT_CHECKS: Mapping[str, Check[Stt]] = {
    "says what it wants": _says_what_it_wants,
    "hears nothing in nothing": _hears_nothing_in_nothing,
    "transcribes": _transcribes,
    "keeps utterances apart": _keeps_utterances_apart,
    "stops when cancelled": _stops_when_cancelled,
}


async def check_stt(stt: Stt) -> None:
    """Run all checks. Raises `ContractError`, or the engine's own `ProviderError`."""
    for check in STT_CHECKS.values():
        await check(stt)
