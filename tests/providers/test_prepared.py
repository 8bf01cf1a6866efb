"""Voices behind the preparation: what they are given to speak, what their marks become, and their speed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from itertools import pairwise

import pytest

from openparley.testing import TTS_CHECKS, Check
from providers.contracts import RouteTaken, SpeechChunk, TextMark, Tts, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.tts.espeak import EspeakTts
from providers.tts.prepared import PreparedTts

OPTIONS = TtsOptions("anna")
ROUTE = RouteTaken("r", "a", "b", "local/x", "first", ())


class Metronome:
    """A voice that takes 1000 samples for each character, and reports each word, or each segment."""

    sample_rate = 24_000
    voices: tuple[Voice, ...] | None = (Voice("anna", "Anna", "de-DE"), Voice("joe", "Joe", "en-GB"))
    speeds = (0.8, 1.2)
    tags = r"\[[a-z]+\]"

    def __init__(self, *, by_word: bool = True, fails: bool = False) -> None:
        self.segments: list[str] = []
        self.options: list[TtsOptions] = []
        self.closed = asyncio.Event()
        self.warmed = 0
        self._by_word = by_word
        self._fails = fails

    def knows_voice(self, voice: str) -> bool:
        return voice in ("anna", "joe")

    async def warm(self) -> None:
        self.warmed += 1

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        self.options.append(options)
        route: RouteTaken | None = ROUTE
        chars = 0
        try:
            async for segment in text:
                self.segments.append(segment)
                words = segment.split(" ") if self._by_word else [segment]
                for number, word in enumerate(words):
                    spoken = word if number == len(words) - 1 else word + " "
                    if not spoken:
                        continue
                    chars += len(spoken)
                    pcm = b"\x10\x01" * (1000 * len(spoken))
                    yield SpeechChunk(pcm, (TextMark(chars, 1000 * chars),), route)
                    route = None
            if self._fails:
                raise ProviderError("the voice broke")
        finally:
            self.closed.set()


async def each(*segments: str) -> AsyncIterator[str]:
    for segment in segments:
        yield segment


async def say(tts: Tts, *segments: str, options: TtsOptions = OPTIONS) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(each(*segments), options)]


def samples(chunks: list[SpeechChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in chunks) // 2


def marks(chunks: list[SpeechChunk]) -> list[tuple[int, int]]:
    return [(mark.chars, mark.samples) for chunk in chunks for mark in chunk.marks]


async def test_plain_text_at_a_native_speed_passes_untouched() -> None:
    voice, same = Metronome(), Metronome()
    options = replace(OPTIONS, speed=1.1)

    chunks = await say(PreparedTts(voice), "Hello there, ", "you.", options=options)

    assert chunks == await say(same, "Hello there, ", "you.", options=options)
    assert voice.segments == ["Hello there, ", "you."]
    assert voice.options == [options]


async def test_marks_count_the_original_text() -> None:
    voice = Metronome()
    written = [
        "**Hello** 😀 ",
        "world, see\n",
        "```\ncode\n```\n",
        "- [docs](https://a.b/c)!\n",
        "[laugh] 👍",
    ]

    chunks = await say(PreparedTts(voice), *written)

    assert voice.segments == ["Hello ", "world, see\n", "docs!\n", "[laugh] "]
    length = sum(map(len, written))
    points = marks(chunks)
    assert points[-1] == (length, samples(chunks))
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    heard = {"".join(written)[:chars]: at for chars, at in points}
    assert heard["**Hello** 😀 "] == 6000
    assert heard["**Hello** 😀 world, "] == 13_000
    assert heard["".join(written[:2])] == heard["".join(written[:3]) + "- "] == 17_000


async def test_silent_text_is_accounted_for_before_the_next_word_is_spoken() -> None:
    """Someone who interrupts in the sentence after a block of code has been given the block."""
    chunks = await say(PreparedTts(Metronome(by_word=False)), "Look.\n", "```\ncode\n```\n", "That is it.")

    assert marks(chunks) == [(6, 6000), (19, 6000), (30, 17_000)]


@pytest.mark.parametrize("written", [["```\ncode\n```\n"], ["😀", " ", "---\n"], ["..."], []])
async def test_a_reply_without_a_word_is_silent_and_accounted_for(written: list[str]) -> None:
    voice = Metronome()

    chunks = await say(PreparedTts(voice), *written)

    assert voice.segments == []
    assert samples(chunks) == 0
    assert marks(chunks)[-1:] == ([(sum(map(len, written)), 0)] if written else [])


async def test_segments_are_passed_on_as_they_come() -> None:
    voice = Metronome()
    more: asyncio.Queue[str] = asyncio.Queue()

    async def text() -> AsyncIterator[str]:
        while True:
            yield await more.get()

    stream = PreparedTts(voice).speak(text(), OPTIONS)
    more.put_nowait("One, ")
    first = await anext(stream)

    assert first.pcm
    assert first.route == ROUTE
    assert voice.segments == ["One, "]
    await stream.aclose()
    assert voice.closed.is_set()


@pytest.mark.parametrize(
    ("numbers", "options", "spoken"),
    [
        (False, TtsOptions("joe"), "It is $5 at example dot com"),
        (True, TtsOptions("joe"), "It is five dollars at example dot com"),
        (True, TtsOptions("anna"), "It is $5 at example Punkt com"),
        (True, TtsOptions("anna", language="en"), "It is five dollars at example dot com"),
        (True, TtsOptions("Joe+whisper"), "It is five dollars at example dot com"),
        (True, TtsOptions("anna-north+f2"), "It is $5 at example Punkt com"),
        (True, TtsOptions("nobody"), "It is $5 at example point com"),
    ],
)
async def test_the_language_is_that_of_the_reply_then_of_the_voice(
    numbers: bool, options: TtsOptions, spoken: str
) -> None:
    voice = Metronome()

    await say(PreparedTts(voice, numbers=numbers, language="fr"), "It is $5 at example.com", options=options)

    assert voice.segments == [spoken]


@pytest.mark.parametrize(("speed", "native"), [(0.4, 0.8), (1.5, 1.2), (0.25, 0.8)])
async def test_speeds_that_the_voice_lacks_are_made(speed: float, native: float) -> None:
    voice = Metronome()
    factor = speed / native

    chunks = await say(
        PreparedTts(voice), "One *two* three. ", "Four.", options=replace(OPTIONS, speed=speed)
    )

    assert voice.options[0].speed == native
    assert samples(chunks) == round(20_000 / factor)
    points = marks(chunks)
    assert (4, round(4000 / factor)) in points
    assert (17, round(15_000 / factor)) in points
    assert points[-1] == (22, samples(chunks))
    assert chunks[0].route == ROUTE
    assert [chunk.route for chunk in chunks[1:]] == [None] * (len(chunks) - 1)


async def test_a_segment_is_stretched_to_its_end_although_no_text_follows() -> None:
    voice = Metronome()
    waiting = asyncio.Event()
    chunks: list[SpeechChunk] = []

    async def text() -> AsyncIterator[str]:
        yield "One two. "
        waiting.set()
        await asyncio.Event().wait()

    async def consume() -> None:
        async for chunk in PreparedTts(voice).speak(text(), replace(OPTIONS, speed=0.4)):
            chunks.append(chunk)  # noqa: PERF401 - it is cancelled on the way

    task = asyncio.create_task(consume())
    await waiting.wait()  # the voice asks for more only after all that it said was taken
    task.cancel()

    assert samples(chunks) == 18_000
    assert marks(chunks)[-1] == (9, 18_000)


async def test_any_speed_is_within_its_range() -> None:
    prepared = PreparedTts(Metronome())

    assert prepared.speeds[0] <= 0.25
    assert prepared.speeds[1] >= 1.5
    assert (prepared.sample_rate, prepared.voices, prepared.tags) == (
        24_000,
        Metronome.voices,
        Metronome.tags,
    )
    assert prepared.knows_voice("joe")
    assert not prepared.knows_voice("jim")


async def test_stretching_lets_others_work() -> None:
    voice = Metronome(by_word=False)  # one chunk of 40 s
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await say(PreparedTts(voice), "word " * 192, options=replace(OPTIONS, speed=0.5))
    task.cancel()

    assert turns > 40 / 0.06


async def test_failures_pass_and_the_voice_is_closed() -> None:
    voice = Metronome(fails=True)
    with pytest.raises(ProviderError, match="the voice broke"):
        await say(PreparedTts(voice), "Hello.")
    assert voice.closed.is_set()

    async def text() -> AsyncIterator[str]:
        yield "One. "
        raise InvalidRequestError("no more")

    voice = Metronome()
    with pytest.raises(InvalidRequestError):
        _ = [chunk async for chunk in PreparedTts(voice).speak(text(), OPTIONS)]
    assert voice.closed.is_set()


async def test_being_cancelled_closes_the_voice() -> None:
    voice = Metronome()
    waiting = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "One. "
        waiting.set()
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in PreparedTts(voice).speak(text(), replace(OPTIONS, speed=0.5)):
            pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert voice.closed.is_set()


async def test_it_can_be_warmed_if_the_voice_can() -> None:
    voice = Metronome()
    await PreparedTts(voice).warm()
    assert voice.warmed == 1

    espeak = EspeakTts()
    await PreparedTts(espeak).warm()
    await espeak.aclose()


@pytest.mark.parametrize("check", TTS_CHECKS.values(), ids=TTS_CHECKS)
async def test_a_prepared_voice_keeps_the_contract(check: Check[Tts]) -> None:
    await check(PreparedTts(Metronome(), numbers=True))
    await check(PreparedTts(Metronome(by_word=False)))
    espeak = EspeakTts()
    await check(PreparedTts(espeak, numbers=True))
    await espeak.aclose()


async def test_espeak_speaks_what_it_is_given() -> None:
    espeak = EspeakTts()
    written = ["# Prices\n", "It costs **$5.99** 😀, ", "see https://www.example.com/a now.\n", "```\nx\n```"]
    spoken = [
        "Prices.\n",
        "It costs five dollars and ninety-nine cents, ",
        "see example dot com slash a now.\n",
    ]

    chunks = await say(PreparedTts(espeak, numbers=True), *written, options=TtsOptions("en-us"))
    plain = await say(espeak, *spoken, options=TtsOptions("en-us"))
    await espeak.aclose()

    # The same words take the same time, but for what differs from call to call.
    assert samples(chunks) == pytest.approx(samples(plain), rel=0.05)
    text = "".join(written)
    points = {text[:chars]: at for chars, at in marks(chunks)}
    assert points[text] == samples(chunks)
    price = points["# Prices\nIt costs **$5.99"] - points["# Prices\nIt costs "]
    assert price > 1.2 * espeak.sample_rate  # "five dollars and ninety-nine cents"
