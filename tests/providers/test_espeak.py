"""Speech out of eSpeak NG: heard by the transcriber, timed by its marks, shared, cancelled, abused."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from providers.contracts import SpeechChunk, SttOptions, TextMark, TranscriptFinal, TtsOptions
from providers.errors import InvalidRequestError, ProviderError
from providers.stt.moonshine import MoonshineStt
from providers.tts.espeak import MAX_CHUNK, MAX_PIECE, EspeakTts, pieces
from providers.tts.espeak_library import WordStart, open_espeak
from tests.speech import resample

CLAUSES = ("Good morning, ", "the weather in London is fine today. ", "Shall we go for a walk in the park?")


@pytest.fixture(scope="module")
def tts() -> EspeakTts:
    return EspeakTts()


async def each(*segments: str) -> AsyncIterator[str]:
    for segment in segments:
        yield segment


async def say(tts: EspeakTts, *segments: str, voice: str = "en-us", speed: float = 1.0) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(each(*segments), TtsOptions(voice, speed))]


def audio(chunks: list[SpeechChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def marks(chunks: list[SpeechChunk]) -> list[TextMark]:
    return [mark for chunk in chunks for mark in chunk.marks]


async def test_what_is_said_can_be_understood(tts: EspeakTts) -> None:
    # A sentence that the recogniser gets right whatever eSpeak has spoken before: its voice differs a little
    # from call to call, and with many other sentences that decides what is heard.
    speech = audio(await say(tts, "Good morning. ", "Please tell me what time it is."))
    pcm = resample(speech, tts.sample_rate, 16_000)

    async def heard() -> AsyncIterator[bytes]:
        yield pcm

    text = ""
    async for event in MoonshineStt().transcribe(heard(), SttOptions()):
        text = event.text if isinstance(event, TranscriptFinal) else text
    heard_words = [word.strip(".,?!").lower() for word in text.split()]
    assert heard_words == ["good", "morning", "please", "tell", "me", "what", "time", "it", "is"]


async def test_marks_lead_from_word_to_word_up_to_the_end(tts: EspeakTts) -> None:
    text = "".join(CLAUSES)
    chunks = await say(tts, *CLAUSES)
    points = marks(chunks)

    assert all(a.chars < b.chars and a.samples <= b.samples for a, b in pairwise(points))
    assert points[-1] == TextMark(len(text), len(audio(chunks)) // 2)
    assert all(text[mark.chars - 1].isspace() for mark in points[:-1])
    assert len(points) >= len(text.split()) - 2


async def test_marks_count_characters_whatever_their_size_in_bytes(tts: EspeakTts) -> None:
    text = "Größe “quoted” naïve 😀 word."

    points = [mark.chars for mark in marks(await say(tts, text, " End."))]

    assert points == sorted(set(points))
    assert text.index("naïve") in points
    assert text.index("word") in points
    assert points[-1] == len(text) + len(" End.")


async def test_clauses_keep_the_pauses_between_them(tts: EspeakTts) -> None:
    together = len(audio(await say(tts, "Hello there. My friend, how are you?"))) / tts.sample_rate / 2
    apart = len(audio(await say(tts, "Hello there. ", "My friend, ", "how are you?"))) / tts.sample_rate / 2

    assert apart == pytest.approx(together, abs=0.1)


async def test_the_first_audio_does_not_wait_for_the_rest(tts: EspeakTts) -> None:
    asked = []

    async def segments() -> AsyncIterator[str]:
        for clause in CLAUSES:
            asked.append(clause)
            yield clause

    stream = tts.speak(segments(), TtsOptions("en-us"))
    first = await anext(stream)
    await stream.aclose()

    assert 0 < len(first.pcm) <= tts.sample_rate * 2 // 10
    assert asked == [CLAUSES[0]]


async def test_speed_shortens_and_lengthens(tts: EspeakTts) -> None:
    slow, normal, fast = [len(audio(await say(tts, *CLAUSES, speed=speed))) for speed in (0.5, 1.0, 1.5)]

    assert slow > 1.5 * normal
    assert 0.55 * normal < fast < 0.8 * normal


async def test_closing_mid_sentence_stops_and_the_next_speaker_is_served(tts: EspeakTts) -> None:
    stream = tts.speak(each("one two three four five " * 400), TtsOptions("en-us"))
    await anext(stream)

    await stream.aclose()

    assert audio(await say(tts, "Hello."))


async def test_cancelling_the_task_stops_the_stream(tts: EspeakTts) -> None:
    started = asyncio.Event()

    async def segments() -> AsyncIterator[str]:
        yield "Hello. "
        started.set()
        await asyncio.Event().wait()

    async def speak() -> None:
        async for _ in tts.speak(segments(), TtsOptions("en-us")):
            pass

    task = asyncio.create_task(speak())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_slow_listener_holds_nobody_up(tts: EspeakTts) -> None:
    slow = tts.speak(each("one two three four five " * 400), TtsOptions("en-us"))
    await anext(slow)

    quick = await say(tts, "Hello there.")  # would wait for ever if the library were held

    assert len(audio(quick)) > tts.sample_rate
    await slow.aclose()


async def test_streams_at_once_keep_their_voices_apart(tts: EspeakTts) -> None:
    text = "This is one of several speakers, and all of them speak at once. " * 3
    asked = [("en-us", 1.0), ("en-us", 1.5), ("de", 1.0), ("en-gb+f3", 0.8)]

    alone = [len(audio(await say(tts, text, voice=voice, speed=speed))) for voice, speed in asked]
    at_once = await asyncio.gather(*(say(tts, text, voice=voice, speed=speed) for voice, speed in asked * 3))

    for index, chunks in enumerate(at_once):
        assert len(audio(chunks)) == pytest.approx(alone[index % len(asked)], rel=0.02)


@pytest.mark.parametrize("text", ["", " ", "...", " — !? ", "\n\n", "\0", "\x07\x1b", "\ud800"])
async def test_text_without_words_is_silent(tts: EspeakTts, text: str) -> None:
    chunks = await say(tts, text)

    assert audio(chunks) == b""
    assert marks(chunks) == [TextMark(len(text), 0)]


@pytest.mark.parametrize(
    "text",
    [
        '</speak> a < b & c > d <break time="9s"/>',
        "[[h@l'oU]] &amp; &#0; %s %n",
        "a\0b \x1b[31m red \x7f \ud83d lone",
        "日本語とעברית and العربية",
        "9" * 500,
        "x" * 2000,
        "no commas just words going on and on " * 60,
        "😀" * 100,
    ],
)
async def test_odd_text_is_spoken_or_skipped_and_accounted_for(tts: EspeakTts, text: str) -> None:
    chunks = await say(tts, text, " And on.")

    assert audio(chunks)
    assert all(len(chunk.pcm) <= 1.5 * MAX_CHUNK and len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert marks(chunks)[-1] == TextMark(len(text) + len(" And on."), len(audio(chunks)) // 2)


async def test_markup_is_not_obeyed(tts: EspeakTts) -> None:
    plain = len(audio(await say(tts, "a b")))
    marked = len(audio(await say(tts, 'a <break time="30s"/> b')))

    assert marked < plain + 10 * 2 * tts.sample_rate


def test_long_text_is_cut_where_it_hurts_least() -> None:
    text = "A clause of some length, and another one; then a sentence. " * 20

    cut = list(pieces(text))

    assert "".join(cut) == text
    assert all(len(piece) <= MAX_PIECE and piece.rstrip()[-1] in ",;." for piece in cut)
    assert [len(piece) for piece in pieces("x" * 500)] == [MAX_PIECE, MAX_PIECE, 20]
    assert list(pieces("")) == []


@pytest.mark.parametrize(
    "text", ["999 " * 100, "\u6f22" * 240, "\U0001f600" * 240, "a, " * 100, "word " * 100]
)
def test_no_piece_holds_the_library_for_long_whatever_it_consists_of(text: str) -> None:
    library = open_espeak()

    for piece in pieces(text):
        heard: list[int] = []

        def sink(pcm: bytes, words: list[WordStart], heard: list[int] = heard) -> bool:
            heard.append(len(pcm) // 2)
            return True

        library.synthesise(piece, "gmw/en-US", 175, sink)
        assert sum(heard) < 45 * library.sample_rate


def test_voices_have_names_and_languages(tts: EspeakTts) -> None:
    assert tts.voices is not None
    ids = [voice.id for voice in tts.voices]

    assert len(set(ids)) == len(ids) > 120
    assert all(tts.knows_voice(voice) for voice in ids)
    assert {"en-us", "en-gb", "de", "fr-fr", "es", "cmn"} <= set(ids)
    assert next(voice for voice in tts.voices if voice.id == "en-us").name == "English (America)"


def test_each_voice_that_is_listed_can_speak(tts: EspeakTts) -> None:
    library = open_espeak()
    for voice in library.voices:
        heard: list[bytes] = []

        def sink(pcm: bytes, words: list[WordStart], heard: list[bytes] = heard) -> bool:
            heard.append(pcm)
            return True

        for text in ("1 2 3", "hello", "\u04d1\u0432\u0430"):  # not each has words for digits, or our letters
            library.synthesise(text, voice.identifier, 300, sink)
        assert len(b"".join(heard)) > library.sample_rate // 4, voice


@pytest.mark.parametrize("voice", ["en-us+f3", "EN-US", "en-GB+Whisper", "en", "no", "en-us+Mr serious"])
def test_variants_and_other_spellings_are_known(tts: EspeakTts, voice: str) -> None:
    assert tts.knows_voice(voice)


@pytest.mark.parametrize(
    "voice", ["", "+f3", "en-us+", "en-us+nobody", "en-us+../../lang/gmw/de", "klingon1", "alloy"]
)
async def test_other_voices_are_refused(tts: EspeakTts, voice: str) -> None:
    assert not tts.knows_voice(voice)
    with pytest.raises(InvalidRequestError, match="no voice"):
        await say(tts, "Hello.", voice=voice)


async def test_variants_sound_different(tts: EspeakTts) -> None:
    assert audio(await say(tts, "Hello.", voice="en-us+f3")) != audio(await say(tts, "Hello."))


async def test_two_engines_in_one_process_share_the_library() -> None:
    first, second = EspeakTts(), EspeakTts()

    results = await asyncio.gather(*(say(engine, *CLAUSES) for engine in (first, second) * 8))

    assert all(audio(chunks) for chunks in results)
    await first.aclose()
    await second.aclose()


async def test_after_shutdown_speech_fails_clearly() -> None:
    tts = EspeakTts()
    await tts.aclose()

    with pytest.raises(ProviderError, match="shut down"):
        await say(tts, "Hello.")


def test_loading_and_speaking_prints_nothing_and_leaves_signals_and_locale_alone(tmp_path: Path) -> None:
    program = (
        "import locale, signal\n"
        "before = [signal.getsignal(s) for s in signal.valid_signals()], locale.setlocale(locale.LC_ALL)\n"
        "from providers.tts.espeak_library import WordStart, open_espeak\n"
        "espeak = open_espeak()\n"
        "espeak.synthesise('Hello', 'gmw/en-US', 175, lambda *_: True)\n"
        "after = [signal.getsignal(s) for s in signal.valid_signals()], locale.setlocale(locale.LC_ALL)\n"
        "assert before == after, (before, after)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
