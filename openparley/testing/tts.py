"""The contract of voices."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence

from openparley.testing.common import Check, collect, expect, first_of, nothing_left, stream
from providers.contracts import SpeechChunk, Tts, TtsOptions

__all__ = ["TTS_CHECKS", "check_tts"]

FIRST_S = 10.0  # in which the first of several segments must be heard

_SEGMENTS = ("Hello there. ", "This is the second sentence, ", "and this its end.")


def _options(tts: Tts, speed: float = 1.0) -> TtsOptions:
    return TtsOptions(voice=tts.voices[0].id if tts.voices else "any", speed=speed)


async def _says_what_it_can(tts: Tts) -> None:
    expect(8_000 <= tts.sample_rate <= 48_000, "sample_rate is between 8000 and 48000 Hz")
    slowest, fastest = tts.speeds
    expect(0 < slowest <= 1 <= fastest, "speeds are a slowest and a fastest one, with 1.0 between them")
    re.compile(tts.tags)
    for voice in tts.voices or ():
        expect(bool(voice.id) and tts.knows_voice(voice.id), f"a listed voice is known: {voice.id!r}")
    expect(not tts.knows_voice(""), "no voice has an empty name")


async def _speaks(tts: Tts) -> None:
    _check(await collect(tts.speak(stream(_SEGMENTS), _options(tts))), _SEGMENTS)


async def _speaks_at_other_speeds(tts: Tts) -> None:
    for speed in {tts.speeds[0], tts.speeds[1]} - {1.0}:
        _check(await collect(tts.speak(stream(_SEGMENTS), _options(tts, speed))), _SEGMENTS)


async def _is_silent_without_text(tts: Tts) -> None:
    for segments in ((), (" ",), ("\n", "  ")):
        chunks = await collect(tts.speak(stream(segments), _options(tts)))
        expect(all(len(chunk.pcm) % 2 == 0 for chunk in chunks), "chunks hold whole samples")


async def _begins_before_the_text_is_complete(tts: Tts) -> None:
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield _SEGMENTS[0]
        await more.wait()

    async def heard() -> None:
        async for chunk in tts.speak(text(), _options(tts)):
            if chunk.pcm:
                return

    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(FIRST_S):
            await heard()
    except TimeoutError:
        expect(False, "a segment is spoken when it comes, not when the whole text is there")
    await asyncio.sleep(0)
    await nothing_left(before)


async def _keeps_replies_apart(tts: Tts) -> None:
    streams = [tts.speak(stream(_SEGMENTS), _options(tts)) for _ in range(3)]
    for chunks in await asyncio.gather(*map(collect, streams)):
        _check(chunks, _SEGMENTS)


async def _stops_when_closed(tts: Tts) -> None:
    before = asyncio.all_tasks()
    await first_of(tts.speak(stream(_SEGMENTS), _options(tts)))
    await nothing_left(before)
    _check(await collect(tts.speak(stream(_SEGMENTS), _options(tts))), _SEGMENTS)  # and it works afterwards


def _check(chunks: Sequence[SpeechChunk], segments: Sequence[str]) -> None:
    total = sum(len(segment) for segment in segments)
    samples = sum(len(chunk.pcm) for chunk in chunks) // 2
    expect(all(len(chunk.pcm) % 2 == 0 for chunk in chunks), "chunks hold whole samples")
    expect(samples > 0, "text is spoken")
    expect(all(chunk.route is None for chunk in chunks[1:]), "only the first chunk names a route")
    marks = [mark for chunk in chunks for mark in chunk.marks]
    expect(bool(marks), "marks say where the words are; at the least, where the text ends")
    for earlier, later in itertools.pairwise(marks):
        expect(earlier.chars <= later.chars, "marks do not go back in the text")
        expect(earlier.samples <= later.samples, "marks do not go back in time")
    expect(marks[-1].chars == total, "the last mark lies at the end of the text")
    expect(marks[0].samples >= 0 and marks[-1].samples <= samples, "marks lie within the audio")


TTS_CHECKS: Mapping[str, Check[Tts]] = {
    "says what it can": _says_what_it_can,
    "speaks": _speaks,
    "speaks at other speeds": _speaks_at_other_speeds,
    "is silent without text": _is_silent_without_text,
    "begins before the text is complete": _begins_before_the_text_is_complete,
    "keeps replies apart": _keeps_replies_apart,
    "stops when closed": _stops_when_closed,
}


async def check_tts(tts: Tts) -> None:
    """Run all checks. Raises `ContractError`, or the engine's own `ProviderError`."""
    for check in TTS_CHECKS.values():
        await check(tts)
