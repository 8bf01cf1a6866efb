"""Piper: the real library over a tiny model with the inputs and outputs of a voice."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from openparley.testing import TTS_CHECKS, Check
from providers.contracts import SpeechChunk, TextMark, Tts, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.local import LocalProvider
from providers.provider import ProviderSettings
from providers.tts.piper import PiperTts
from tests.providers.speaking import segments
from tests.providers.tiny_voices import FRAME, FRAMES, write_tiny_piper

pytest.importorskip("piper", reason="the extra 'piper' is not installed")

NAME = "local/piper-test"


@pytest.fixture(scope="module")
def tts(tmp_path_factory: pytest.TempPathFactory) -> PiperTts:
    return PiperTts(write_tiny_piper(tmp_path_factory.mktemp("piper")), NAME)


async def speech(tts: PiperTts, *texts: str, speed: float = 1.0, voice: str = "tiny") -> list[SpeechChunk]:
    stream = tts.speak(segments(*texts), TtsOptions(voice, speed=speed))
    return [chunk async for chunk in stream]


def own_threads(before: set[threading.Thread]) -> list[str]:
    """The names of the engine's threads that have come since."""
    return [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("piper")]


def samples(chunks: list[SpeechChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in chunks) // 2


def marks(chunks: list[SpeechChunk]) -> list[TextMark]:
    return [mark for chunk in chunks for mark in chunk.marks]


@pytest.mark.parametrize("check", TTS_CHECKS.values(), ids=TTS_CHECKS)
async def test_it_keeps_the_contract(check: Check[Tts], tts: PiperTts) -> None:
    await check(tts)


async def test_the_provider_loads_it_from_a_folder_of_the_user(tmp_path: Path) -> None:
    write_tiny_piper(tmp_path / "piper-en_US-lessac-medium", "en_US-lessac-medium")
    local = LocalProvider(ProviderSettings("local", {"models": str(tmp_path), "threads": 1}))

    engine = local.tts("piper-en_US-lessac-medium")

    assert isinstance(engine, PiperTts)
    assert engine is local.tts("piper-en_US-lessac-medium")
    assert samples(await speech(engine, "Hello.", voice="Dennis")) > 0
    await local.aclose()


async def test_text_becomes_sound_in_chunks_of_a_second_at_most(tts: PiperTts) -> None:
    chunks = await speech(tts, "Hello there, my friend. ", "How are you?")

    assert tts.sample_rate == 16_000
    assert tts.voices == (Voice("tiny", "tiny", "en-US"),)
    assert all(len(chunk.pcm) <= 2 * 16_000 for chunk in chunks)
    heard = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2")
    assert len(heard) % (FRAME * FRAMES) == 0
    assert np.abs(heard).max() > 10_000


async def test_each_word_is_marked_at_its_end(tts: PiperTts) -> None:
    chunks = await speech(tts, "Hello there, my friend. ", "How are you?")

    found = marks(chunks)
    assert [mark.chars for mark in found] == [5, 12, 15, 23, 24, 27, 31, 36, 36]
    assert [mark.samples for mark in found] == sorted(mark.samples for mark in found)
    assert found[-1].samples == samples(chunks)
    # The model gives each phoneme the same time, so the longer word is the longer sound.
    hello, there, my = (mark.samples for mark in found[:3])
    assert hello > there - hello > 0
    assert my > there


async def test_words_of_several_sentences_are_counted_from_the_start(tts: PiperTts) -> None:
    chunks = await speech(tts, "One. Two three.")

    assert [mark.chars for mark in marks(chunks)] == [4, 8, 15, 15]
    assert marks(chunks)[-1].samples == samples(chunks)


async def test_a_number_of_several_words_leaves_the_mark_at_the_end(tts: PiperTts) -> None:
    chunks = await speech(tts, "In 1999 too.")

    assert marks(chunks) == [TextMark(12, samples(chunks))]


async def test_speed_is_the_models_own(tts: PiperTts) -> None:
    usual = samples(await speech(tts, "Hello there."))

    assert samples(await speech(tts, "Hello there.", speed=2.0)) == usual // 2
    assert samples(await speech(tts, "Hello there.", speed=0.5)) == usual * 2
    assert samples(await speech(tts, "Hello there.", speed=9.0)) == usual // 2


@pytest.mark.parametrize("text", ["", " ", "...", "\U0001f600", "\x00\ud800"])
async def test_nothing_to_say_is_silent(tts: PiperTts, text: str) -> None:
    assert await speech(tts, text) == [SpeechChunk(b"", (TextMark(len(text), 0),))]


async def test_phonemes_in_brackets_are_not_obeyed(tts: PiperTts) -> None:
    bracketed, plain = await speech(tts, "[[hhhhhhhh]]"), await speech(tts, "[ [hhhhhhhh] ]")

    assert samples(bracketed) == samples(plain) > 0


async def test_a_long_segment_comes_in_pieces(tts: PiperTts) -> None:
    text = "This is one of many sentences that follow each other. " * 20

    chunks = await speech(tts, text)

    assert marks(chunks)[-1] == TextMark(len(text), samples(chunks))
    assert len({mark.chars for mark in marks(chunks)}) > 150


async def test_speakers_are_its_voices(tmp_path: Path) -> None:
    tts = PiperTts(write_tiny_piper(tmp_path, "en_GB-pair-low", ("anna", "bert")), NAME)

    assert tts.voices == (Voice("anna", "anna", "en-US"), Voice("bert", "bert", "en-US"))
    assert tts.knows_voice("bert")
    assert not tts.knows_voice("tiny")
    assert samples(await speech(tts, "Hello.", voice="bert")) > 0
    with pytest.raises(InvalidRequestError, match="no voice 'carl'"):
        await speech(tts, "Hello.", voice="carl")
    await tts.aclose()


async def test_several_speak_at_once(tts: PiperTts) -> None:
    alone = [await speech(tts, text) for text in ("One of them.", "And the other one.")]

    together = await asyncio.gather(speech(tts, "One of them."), speech(tts, "And the other one."))

    assert list(together) == alone


async def test_closing_the_stream_leaves_nothing_behind(tts: PiperTts) -> None:
    before = asyncio.all_tasks()
    stream = tts.speak(segments("A sentence. " * 100), TtsOptions("tiny"))

    await anext(stream)
    await stream.aclose()

    assert asyncio.all_tasks() == before


async def test_closing_the_engine_ends_its_threads(tmp_path: Path) -> None:
    tts = PiperTts(write_tiny_piper(tmp_path), NAME)
    before = set(threading.enumerate())
    await speech(tts, "Hello.")
    assert own_threads(before)

    await tts.aclose()

    assert not own_threads(before)
    with pytest.raises(ProviderError, match="shut down"):
        await speech(tts, "Hello.")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("en_US-tiny-low.onnx", b"half a download"),
        ("en_US-tiny-low.onnx.json", b"{}"),
        ("en_US-tiny-low.onnx.json", b"[1]"),
        ("en_US-tiny-low.onnx.json", b"no JSON"),
    ],
)
def test_files_that_are_no_voice_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    model = write_tiny_piper(tmp_path)
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ProviderError, match=r"tiny-low\.onnx"):
        PiperTts(model, NAME)
