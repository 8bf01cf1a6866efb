"""Kokoro: the real library over a tiny model with its inputs and outputs, and eSpeak NG's real phonemes."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from openparley.testing import TTS_CHECKS, Check
from providers.contracts import SpeechChunk, TextMark, Tts, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.local import LocalProvider
from providers.onnx import open_model
from providers.provider import ProviderSettings
from providers.tts.computed import Stop, StoppableSession
from providers.tts.espeak import EspeakTts
from providers.tts.kokoro import KokoroTts, _language
from tests.providers.speaking import segments
from tests.providers.tiny_voices import write_endless_model, write_tiny_kokoro

pytest.importorskip("kokoro_onnx", reason="the extra 'kokoro' is not installed")

NAME = "local/kokoro"


@pytest.fixture(scope="module")
def tts(tmp_path_factory: pytest.TempPathFactory) -> KokoroTts:
    return KokoroTts(write_tiny_kokoro(tmp_path_factory.mktemp("kokoro")), NAME)


async def speech(
    tts: KokoroTts | EspeakTts, *texts: str, voice: str = "af_heart", speed: float = 1.0
) -> list[SpeechChunk]:
    stream = tts.speak(segments(*texts), TtsOptions(voice, speed=speed))
    return [chunk async for chunk in stream]


def own_threads(before: set[threading.Thread]) -> list[str]:
    """The names of the engine's threads that have come since."""
    return [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("kokoro")]


def samples(chunks: list[SpeechChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in chunks) // 2


def marks(chunks: list[SpeechChunk]) -> list[TextMark]:
    return [mark for chunk in chunks for mark in chunk.marks]


@pytest.mark.parametrize("check", TTS_CHECKS.values(), ids=TTS_CHECKS)
async def test_it_keeps_the_contract(check: Check[Tts], tts: KokoroTts) -> None:
    await check(tts)


async def test_the_provider_loads_it_from_a_folder_of_the_user(tmp_path: Path) -> None:
    write_tiny_kokoro(tmp_path / "kokoro")
    (tmp_path / "kokoro" / "tiny.onnx").rename(tmp_path / "kokoro" / "kokoro-v1.0.onnx")
    (tmp_path / "kokoro" / "voices.bin").rename(tmp_path / "kokoro" / "voices-v1.0.bin")
    local = LocalProvider(ProviderSettings("local", {"models": str(tmp_path), "threads": 1}))

    engine = local.tts("kokoro")

    assert isinstance(engine, KokoroTts)
    assert engine is local.tts("kokoro")
    assert samples(await speech(engine, "Hello.", voice="af_heart")) > 0
    await local.aclose()


async def test_voices_are_listed_with_their_languages(tts: KokoroTts) -> None:
    assert tts.voices == (
        Voice("af_heart", "Heart", "en-US"),
        Voice("am_echo", "Echo", "en-US"),
        Voice("bf_emma", "Emma", "en-GB"),
        Voice("ff_siwis", "Siwis", "fr-FR"),
    )
    assert tts.sample_rate == 24_000
    with pytest.raises(InvalidRequestError, match="no voice 'nobody'"):
        await speech(tts, "Hello.", voice="nobody")


async def test_each_word_is_marked_at_its_end(tts: KokoroTts) -> None:
    chunks = await speech(tts, "Hello there, my friend. ", "How old is he?")

    found = marks(chunks)
    assert [mark.chars for mark in found] == [5, 12, 15, 23, 24, 27, 31, 34, 38, 38]
    assert [mark.samples for mark in found] == sorted(mark.samples for mark in found)
    assert found[-1].samples == samples(chunks)
    hello, there, my = (mark.samples for mark in found[:3])
    assert hello > there - hello > 0
    assert my > there


async def test_a_pause_stands_between_sentences(tts: KokoroTts) -> None:
    chunks = await speech(tts, "Yes. ", "No.")

    assert [len(chunk.pcm) // 2 for chunk in chunks if chunk.pcm and not any(chunk.pcm)] == [6000]


async def test_without_durations_the_ends_of_segments_are_marked(tmp_path: Path) -> None:
    tts = KokoroTts(write_tiny_kokoro(tmp_path, durations=False), NAME)

    chunks = await speech(tts, "Hello there, ", "my friend.")

    first, last = marks(chunks)
    assert (first.chars, last) == (13, TextMark(23, samples(chunks)))
    assert 0 < first.samples < last.samples
    await tts.aclose()


async def test_speed_is_the_models_own(tts: KokoroTts) -> None:
    usual = samples(await speech(tts, "Hello there."))

    assert samples(await speech(tts, "Hello there.", speed=2.0)) == pytest.approx(usual / 2, rel=0.05)
    assert samples(await speech(tts, "Hello there.", speed=0.25)) == pytest.approx(usual * 2, rel=0.05)


async def test_a_voice_reads_its_own_language(tts: KokoroTts) -> None:
    assert tts._phonemes.of("bonjour", "fr-fr") != tts._phonemes.of("bonjour", "en-us")
    french, english = [
        samples(await speech(tts, "oiseaux", voice=voice)) for voice in ("ff_siwis", "af_heart")
    ]
    assert french != english


@pytest.mark.parametrize(
    ("voice", "language", "expected"),
    [
        ("af_heart", None, "en-us"),
        ("bf_emma", "en", "en-gb"),
        ("bf_emma", "en-US", "en-gb"),
        ("af_heart", "fr", "fr-fr"),
        ("af_heart", "pt-PT", "pt-br"),
        ("ff_siwis", "en", "en-us"),
        ("ff_siwis", "en-GB", "en-gb"),
        ("zf_xiaoxiao", None, "cmn"),
        ("af_heart", "tlh", "en-us"),
        ("custom", None, "en-us"),
    ],
)
def test_the_language_is_the_voices_unless_another_is_asked_for(
    voice: str, language: str | None, expected: str
) -> None:
    assert _language(TtsOptions(voice, language=language)) == expected


@pytest.mark.parametrize("text", ["", " ", "...", "\U0001f600", "\x00\ud800"])
async def test_nothing_to_say_is_silent(tts: KokoroTts, text: str) -> None:
    assert await speech(tts, text) == [SpeechChunk(b"", (TextMark(len(text), 0),))]


async def test_a_long_segment_comes_in_pieces(tts: KokoroTts) -> None:
    text = "This is one of many sentences that follow each other. " * 20

    chunks = await speech(tts, text)

    assert marks(chunks)[-1] == TextMark(len(text), samples(chunks))
    assert all(len(chunk.pcm) <= 2 * 24_000 for chunk in chunks)


async def test_it_shares_the_process_with_the_other_user_of_espeak(tts: KokoroTts) -> None:
    espeak = EspeakTts()
    alone = await speech(espeak, "One, two, three.", voice="en-us")
    mine = await speech(tts, "One, two, three.")

    together = await asyncio.gather(
        *(speech(espeak, "One, two, three.", voice="en-us") for _ in range(5)),
        *(speech(tts, "One, two, three.") for _ in range(5)),
    )

    # eSpeak NG varies its pitch and pace by chance, but not what it says.
    assert [samples(chunks) for chunks in together[:5]] == pytest.approx([samples(alone)] * 5, rel=0.05)
    assert [[mark.chars for mark in marks(chunks)] for chunks in together[:5]] == [[5, 10, 16]] * 5
    assert together[5:] == [mine] * 5
    await espeak.aclose()


async def test_closing_the_stream_leaves_nothing_behind(tts: KokoroTts) -> None:
    before = asyncio.all_tasks()
    stream = tts.speak(segments("A sentence. " * 100), TtsOptions("af_heart"))

    await anext(stream)
    await stream.aclose()

    assert asyncio.all_tasks() == before


def test_an_inference_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    folder = write_tiny_kokoro(tmp_path)
    session = StoppableSession(open_model(folder / "tiny.onnx"), "tiny.onnx")
    inputs = {
        "tokens": np.ones((1, 3), np.int64),
        "style": np.zeros((1, 256), np.float32),
        "speed": np.ones(1, np.float32),
    }
    stop = Stop()
    with session.until(stop):
        assert len(session.run(None, inputs)) == 2
        stop.set()
        with pytest.raises(Exception, match="terminate"):
            session.run(None, inputs)
    assert len(session.run(None, inputs)) == 2


def test_an_inference_is_stopped_in_its_middle(tmp_path: Path) -> None:
    session = StoppableSession(open_model(write_endless_model(tmp_path / "endless.onnx")), "endless.onnx")
    stop = Stop()
    timer = threading.Timer(0.1, stop.set)
    timer.start()

    with session.until(stop), pytest.raises(Exception, match="terminate"):
        session.run(None, {"times": np.array(1 << 40, np.int64)})

    timer.join()


async def test_closing_the_engine_ends_its_threads(tmp_path: Path) -> None:
    tts = KokoroTts(write_tiny_kokoro(tmp_path), NAME)
    before = set(threading.enumerate())
    await speech(tts, "Hello.")
    assert own_threads(before)

    await tts.aclose()

    assert not own_threads(before)
    with pytest.raises(ProviderError, match="shut down"):
        await speech(tts, "Hello.")


@pytest.mark.parametrize("name", ["tiny.onnx", "voices.bin"])
def test_files_that_are_no_model_are_named(tmp_path: Path, name: str) -> None:
    folder = write_tiny_kokoro(tmp_path)
    (folder / name).write_bytes(b"half a download")

    with pytest.raises(ProviderError, match=r"cannot be loaded"):
        KokoroTts(folder, NAME)

    (folder / name).unlink()
    with pytest.raises(ProviderError, match=rf"has no {Path(name).suffix} file"):
        KokoroTts(folder, NAME)
