"""`local/espeak`: eSpeak NG with all its voices, spoken piece by piece so that many sessions share it."""

import asyncio
import re
import threading
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass

from providers.contracts import SpeechChunk, TextMark, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.tts.espeak_library import DEFAULT_RATE, InstalledVoice, WordStart, open_espeak
from providers.workers import WorkerPool

__all__ = ["EspeakTts", "pieces"]

# The most that is given to the library in one go, in letters. It bounds both how long one session keeps it
# from the others (20 ms) and how much audio is ready but not yet fetched (10 s of plain text, 40 s of the
# worst, which is 1.7 MiB), however slow the listener. A digit or an ideograph counts as four letters.
MAX_PIECE = 240
LONG_CHARACTER = 4
MAX_CHUNK = 22_050 * 2  # bytes: one second

# The library drops the pause at the end of what it is given, so it is put back in front of what follows.
# Measured between clauses inside of one text, at the default pace.
PAUSES = {",;:\u2013\u2014\uff0c\u3001\uff1b\uff1a": 0.143, ".?!\u2026\u3002\uff1f\uff01": 0.294}  # seconds
CLOSING = " \t\n\"'\u201d\u2019)]}\u00bb"

UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
BREAK = re.compile(r"[.?!,;:\u2026\u3002\uff0c\uff1f\uff01][\"'\u201d\u2019)\]]*\s+|\s+")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Audio on its way out of the library; the words count from the piece's start."""

    pcm: bytes
    words: tuple[WordStart, ...]


class EspeakTts:
    """Implements `contracts.Tts`. One thread enters the library, for all sessions in turn.

    A voice is a language tag (`en-us`), or that and a variant (`en-us+f3`). `speed` multiplies 175 words per
    minute, within the library's 80 to 450. `instructions` have no effect.
    """

    sample_rate: int
    voices: tuple[Voice, ...] | None
    speeds = (0.25, 1.5)
    tags = ""
    reads_numbers = False  # it says "dollar five" for $5 and "dash" in 3-5

    def __init__(self) -> None:
        """Load the library (15 ms); raises `ProviderError` when its wheel is damaged."""
        self._library = open_espeak()
        self.sample_rate = self._library.sample_rate
        self._identifiers = _names(self._library.voices)
        self._variants = {variant.casefold(): variant for variant in self._library.variants}
        self.voices = tuple(Voice(_own_name(voice), voice.name, voice.tag) for voice in self._library.voices)
        self._pool = WorkerPool(1, "espeak")

    def knows_voice(self, voice: str) -> bool:
        """Whether `voice` is a voice, or a voice and a variant (`en-gb+whisper`), that is installed."""
        return self._identifier(voice) is not None

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Yield speech for each segment, with a mark at each word's start and each segment's end.

        Closing it ends the synthesis within 60 ms of audio (microseconds). Raises `InvalidRequestError` for
        an unknown voice, `ProviderError` when the library fails.
        """
        identifier = self._identifier(options.voice)
        if identifier is None:
            raise InvalidRequestError(f"eSpeak NG has no voice '{options.voice}'")
        rate = DEFAULT_RATE * options.speed
        chars = samples = 0
        pause = 0
        async for segment in text:
            for piece in pieces(UNSPEAKABLE.sub(" ", segment)):
                if _has_words(piece):
                    if pause:
                        yield SpeechChunk(bytes(2 * pause))
                        samples += pause
                    start = samples
                    marked = chars
                    async for batch in self._synthesise(piece, identifier, rate):
                        marks = []
                        for word in batch.words:
                            at = chars + _word_start(piece, word.chars)
                            if marked < at <= chars + len(piece):
                                marks.append(TextMark(at, start + word.samples))
                                marked = at
                        samples += len(batch.pcm) // 2
                        yield SpeechChunk(batch.pcm, tuple(marks))
                    pause = round(_pause(piece) * self.sample_rate * DEFAULT_RATE / rate)
                chars += len(piece)
            yield SpeechChunk(b"", (TextMark(chars, samples),))

    async def aclose(self) -> None:
        """End the thread; streams that still speak fail with `ProviderError`."""
        await asyncio.to_thread(self._pool.close)

    async def _synthesise(self, text: str, voice: str, rate: float) -> AsyncGenerator[_Batch, None]:
        loop = asyncio.get_running_loop()
        batches: asyncio.Queue[_Batch | None] = asyncio.Queue()  # bounded by the length of `text`
        stopped = threading.Event()

        def work() -> None:
            # The first audio leaves at once; what follows is gathered, more each time, since each handover
            # costs more than the synthesis.
            pcm = bytearray()
            words: list[WordStart] = []
            wanted = 1

            def sink(more: bytes, starts: list[WordStart]) -> bool:
                nonlocal wanted
                pcm.extend(more)
                words.extend(starts)
                if len(pcm) >= wanted:
                    hand_over()
                    wanted = min(max(4 * len(more), 2 * wanted), MAX_CHUNK)
                return not stopped.is_set()

            def hand_over() -> None:
                loop.call_soon_threadsafe(batches.put_nowait, _Batch(bytes(pcm), tuple(words)))
                pcm.clear()
                words.clear()

            if not stopped.is_set():
                self._library.synthesise(text, voice, rate, sink)
                if pcm or words:
                    hand_over()

        try:
            done = self._pool.submit(work, urgency=0)
        except RuntimeError:
            raise ProviderError("speech has been shut down") from None
        done.add_done_callback(lambda _: batches.put_nowait(None))
        try:
            while (batch := await batches.get()) is not None:
                yield batch
            if done.cancelled():
                raise ProviderError("speech has been shut down")
            done.result()
        finally:
            stopped.set()
            done.cancel()

    def _identifier(self, voice: str) -> str | None:
        base, plus, variant = voice.partition("+")
        identifier = self._identifiers.get(base.casefold())
        if identifier is None or not plus:
            return identifier
        # Anything that is not a file of the variants' folder is refused here: the library would open it.
        known = self._variants.get(variant.casefold())
        return None if known is None else f"{identifier}+{known}"


def pieces(text: str) -> Iterator[str]:
    """Cut `text` into pieces as long as `MAX_PIECE` letters at most; joined they are the text.

    Cuts at the last punctuation, else at the last white space, else anywhere.
    """
    while (reach := _reach(text)) < len(text):
        breaks = [match.span() for match in BREAK.finditer(text, 0, reach)]
        marked = [end for start, end in breaks if not text[start].isspace() and end > reach // 4]
        cut = marked[-1] if marked else breaks[-1][1] if breaks else reach
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


def _reach(text: str) -> int:
    """How many characters from the start may be spoken in one go."""
    room = MAX_PIECE
    for index, char in enumerate(text[:MAX_PIECE]):
        room -= LONG_CHARACTER if char.isdigit() or unicodedata.east_asian_width(char) in "WF" else 1
        if room < 0:
            return index
    return min(len(text), MAX_PIECE)


def _has_words(text: str) -> bool:
    """Whether there is more than punctuation and space, which the library would read out by name."""
    return any(unicodedata.category(char)[0] not in "PZC" for char in text)


def _word_start(text: str, index: int) -> int:
    """The first character of the word at `index`: the library counts a space short now and then."""
    index = max(index, 0)
    while index < len(text) and text[index].isspace():
        index += 1
    return index


def _pause(text: str) -> float:
    """How long to wait before the text that follows, in seconds."""
    last = text.rstrip(CLOSING)[-1:]
    return next((seconds for marks, seconds in PAUSES.items() if last and last in marks), 0.0)


def _own_name(voice: InstalledVoice) -> str:
    """The voice's language, or the name of its file where it is a second voice of it."""
    file = voice.identifier.rpartition("/")[2].casefold()
    tag = voice.tag.casefold()
    return file if file.startswith(f"{tag}-") else tag


def _names(voices: tuple[InstalledVoice, ...]) -> dict[str, str]:
    """Every name that a voice may be asked for by, in lower case, with its identifier."""
    names = {_own_name(voice): voice.identifier for voice in voices}
    claims = ((rank, tag, voice.identifier) for voice in voices for rank, tag in voice.claims)
    for _, tag, identifier in sorted(claims):
        names.setdefault(tag.casefold(), identifier)
    return names
