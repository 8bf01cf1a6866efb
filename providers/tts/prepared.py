"""Stands before any voice: gives it text that can be spoken, at a pace that it need not have itself."""

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace

from providers.contracts import SpeechChunk, TextMark, Tts, TtsOptions, Voice, Warmable
from providers.speakable import Positions, SpeakableText
from providers.tts.stretch import MAX_FACTOR, MIN_FACTOR, Stretcher

__all__ = ["PreparedTts"]

# How much audio is stretched before other tasks get their turn: 0.1 to 0.3 ms of work.
_SLICE_S = 0.05


class PreparedTts:
    """A `contracts.Tts` whose text may hold Markdown, addresses and pictures, and whose speed is free.

    `numbers` also puts figures, dates, money, measures and signs into words, where the language is English.
    It is off by default: remote voices read them well, from more context than we see, and in every language.
    It is meant for eSpeak and for voices that get their phonemes from it (Kokoro, Piper), which say "dollar
    five" for $5 and "dash" in 3-5.

    `language` (BCP 47) is that of replies where neither the options nor the voice tell one.

    Marks count the characters of the original text. Code blocks are not spoken, and neither is what has no
    word in it; both are heard with the word before them.

    A speed that the voice has leaves its audio untouched. Beyond that, the voice goes as far as it can, and
    the rest is done by stretching its audio. That holds back 40 to 100 ms of speech, but not at the end of a
    segment that the voice marks.
    """

    def __init__(self, inner: Tts, *, numbers: bool = False, language: str = "en") -> None:
        self._inner = inner
        self._numbers = numbers
        self._language = language
        slowest, fastest = inner.speeds
        self.sample_rate = inner.sample_rate
        self.voices: tuple[Voice, ...] | None = inner.voices
        self.speeds = (min(slowest, MIN_FACTOR), max(fastest, MAX_FACTOR))
        self.tags = inner.tags

    @property
    def inner(self) -> Tts:
        """The voice that speaks."""
        return self._inner

    def knows_voice(self, voice: str) -> bool:
        """As the voice itself."""
        return self._inner.knows_voice(voice)

    async def warm(self) -> None:
        """Warm the voice, if it can be."""
        if isinstance(self._inner, Warmable):
            await self._inner.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises what the voice raises. Closing it closes the voice's stream."""
        slowest, fastest = self._inner.speeds
        native = min(max(options.speed, slowest), fastest)
        stretcher: Stretcher | None = None
        if native != options.speed:
            factor = min(max(options.speed / native, MIN_FACTOR), MAX_FACTOR)
            stretcher = await asyncio.to_thread(Stretcher, self.sample_rate, factor)
            options = replace(options, speed=native)
        speakable = SpeakableText(self._language_of(options), numbers=self._numbers, tags=self.tags)
        positions = Positions()
        samples = 0  # from the voice
        # The voice's stream is closed first: until then it may be reading its text.
        async with (
            aclosing(_segments(text, speakable, positions)) as segments,
            aclosing(self._inner.speak(segments, options)) as chunks,
        ):
            async for chunk in chunks:
                marks = [
                    *positions.pass_silence(),
                    *(m for mark in chunk.marks for m in positions.marks(mark)),
                ]
                samples += len(chunk.pcm) // 2
                if stretcher is None:
                    if chunk.pcm or marks or chunk.route:
                        yield SpeechChunk(chunk.pcm, tuple(marks), chunk.route)
                    continue
                if marks or chunk.route:
                    yield SpeechChunk(b"", tuple(_placed(marks, stretcher)), chunk.route)
                for piece in _slices(chunk.pcm, self.sample_rate):
                    if pcm := stretcher.process(piece):
                        yield SpeechChunk(pcm)
                    await asyncio.sleep(0)
                if chunk.marks and positions.caught_up and chunk.marks[-1].samples <= samples:
                    # More text may be long in coming, and the end of the last word must not wait for it.
                    yield SpeechChunk(await asyncio.to_thread(stretcher.flush))
        rest = tuple(positions.finish(samples))
        if stretcher is not None:
            pcm = await asyncio.to_thread(stretcher.flush)
            if pcm or rest:
                yield SpeechChunk(pcm, tuple(_placed(rest, stretcher)))
        elif rest:
            yield SpeechChunk(b"", rest)

    def _language_of(self, options: TtsOptions) -> str:
        if options.language:
            return options.language
        known = {voice.id.casefold(): voice.language for voice in self._inner.voices or ()}
        # Voices that are not listed may be variants of one that is, such as eSpeak's "de+f2" and "fr-ca".
        name = options.voice.casefold()
        base = name.partition("+")[0]
        spoken = (known.get(form) for form in (name, base, base.partition("-")[0]))
        return next(filter(None, spoken), self._language)


async def _segments(
    text: AsyncIterator[str], speakable: SpeakableText, positions: Positions
) -> AsyncGenerator[str, None]:
    """The segments to speak. One without a word waits for the next, and for nothing else."""
    waiting = ""
    async for segment in text:
        pieces = await speakable.feed(segment)
        positions.add(pieces)
        waiting += "".join(piece.spoken for piece in pieces)
        if any(unicodedata.category(char)[0] not in "PZC" for char in waiting):
            yield waiting
            waiting = ""


def _placed(marks: Iterable[TextMark], stretcher: Stretcher) -> Iterator[TextMark]:
    return (TextMark(mark.chars, stretcher.place(mark.samples)) for mark in marks)


def _slices(pcm: bytes, sample_rate: int) -> Iterator[bytes]:
    step = 2 * max(1, round(_SLICE_S * sample_rate))
    return (pcm[at : at + step] for at in range(0, len(pcm), step))
