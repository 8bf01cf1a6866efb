"""Whisper: the real faster-whisper over a tiny model that writes a script, whatever it hears."""

import asyncio
import importlib
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openparley.testing import STT_CHECKS, Check
from providers.contracts import Stt, SttEvent, SttOptions, TranscriptDelta, TranscriptFinal, TranscriptGuess
from providers.errors import ProviderError
from providers.local import LocalProvider
from providers.provider import ProviderSettings
from providers.stt.whisper import WhisperSettings, WhisperStt, whisper_language
from tests.providers.tiny_whisper import HELLO, PROMPTED, write_tiny_whisper
from tests.speech import recording, silence

RATE = 16_000
NAME = "local/whisper-test"

pytest.importorskip("faster_whisper", reason="the extra 'whisper' is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def shared(folder: Path) -> WhisperStt:
    return WhisperStt(folder, NAME, WhisperSettings(device="cpu", threads=1))


@pytest.fixture
async def stt(shared: WhisperStt) -> WhisperStt:
    return shared


async def chunks(pcm: bytes, size: int = 3200) -> AsyncIterator[bytes]:
    for start in range(0, len(pcm), size):
        await asyncio.sleep(0)
        yield pcm[start : start + size]


async def transcript(stt: WhisperStt, pcm: bytes, options: SttOptions | None = None) -> list[SttEvent]:
    return [event async for event in stt.transcribe(chunks(pcm), options or SttOptions())]


def speech(seconds: float = 3.0) -> bytes:
    return recording("beckett", RATE)[: round(2 * RATE * seconds)]


def final(events: list[SttEvent]) -> TranscriptFinal:
    (last,) = [event for event in events if isinstance(event, TranscriptFinal)]
    assert events[-1] is last
    return last


@pytest.mark.parametrize("check", STT_CHECKS.values(), ids=STT_CHECKS)
async def test_it_keeps_the_contract(check: Check[Stt], stt: WhisperStt) -> None:
    await check(stt)


async def test_the_provider_loads_it_from_a_folder_of_the_user(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "whisper-tiny").symlink_to(folder)
    options = {"models": str(tmp_path), "whisper_device": "cpu", "threads": 1, "whisper_beam_size": 2}
    local = LocalProvider(ProviderSettings("local", options))

    engine = local.stt("whisper-tiny")

    assert isinstance(engine, WhisperStt)
    assert final(await transcript(engine, speech())).text == HELLO
    await local.aclose()


async def test_speech_becomes_words_of_a_language(stt: WhisperStt) -> None:
    events = await transcript(stt, speech())

    assert final(events).text == HELLO
    assert final(events).languages == ("de",)
    assert "".join(event.text for event in events if isinstance(event, TranscriptDelta)) == HELLO


async def test_words_come_while_the_speaker_talks(stt: WhisperStt) -> None:
    pcm = recording("beckett", RATE)
    heard = asyncio.Event()

    async def held_back() -> AsyncIterator[bytes]:
        async for chunk in chunks(pcm[: len(pcm) // 2]):
            yield chunk
            while not stt._pool.idle:  # noqa: ASYNC110 - the pool has no event for it, only tests want one
                await asyncio.sleep(0)
        await heard.wait()

    events: list[SttEvent] = []
    async for event in stt.transcribe(held_back(), SttOptions()):
        events.append(event)
        if isinstance(event, TranscriptDelta):
            heard.set()

    assert TranscriptGuess(HELLO) in events
    assert final(events).text == HELLO


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SttOptions(language="en"), "en"),
        (SttOptions(language="fr-CA"), "fr"),
        (SttOptions(language="nb"), "no"),
        (SttOptions(languages=("en",)), "en"),
        (SttOptions(languages=("fr", "de")), "de"),
        (SttOptions(language="fr", languages=("de",)), "fr"),
        (SttOptions(language="tlh"), "de"),
    ],
)
async def test_hints_say_which_languages_may_be_spoken(
    stt: WhisperStt, options: SttOptions, expected: str
) -> None:
    assert final(await transcript(stt, speech(), options)).languages == (expected,)


async def test_a_language_that_it_does_not_know_is_told_once(
    stt: WhisperStt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    for _ in range(2):
        await transcript(stt, speech(1), SttOptions(language="xx-speech"))

    assert [record.getMessage() for record in caplog.records] == [
        f"{NAME} does not know the language 'xx-speech', and goes by what it hears"
    ]


async def test_the_prompt_and_keywords_reach_the_decoder(stt: WhisperStt) -> None:
    prompted = await transcript(stt, speech(), SttOptions(language="en", prompt="Parley"))
    reminded = await transcript(stt, speech(), SttOptions(language="en", keywords=("Parley",)))

    assert final(prompted).text == PROMPTED
    assert final(reminded).text == PROMPTED


async def test_hints_of_any_length_leave_room_for_the_words(stt: WhisperStt) -> None:
    options = SttOptions(
        language="en", prompt="one two three " * 5000, keywords=tuple(f"name{n}" for n in range(5000))
    )

    assert isinstance(final(await transcript(stt, speech(), options)), TranscriptFinal)
    ear: Any = stt.begin(options)
    assert len(ear._prompt) == 150
    assert ear._hotwords is not None
    assert ear._hotwords.startswith("name0, name1, ")
    assert len(ear._hotwords) < 100


async def test_words_come_with_their_probabilities_when_asked(stt: WhisperStt) -> None:
    last = final(await transcript(stt, speech(), SttOptions(language="en", logprobs=True)))

    assert last.text == HELLO
    assert "".join(word.token for word in last.logprobs).strip() == HELLO
    assert all(-1 < word.logprob <= 0 and word.data == word.token.encode() for word in last.logprobs)
    assert len(last.logprobs) == 3


async def test_a_slow_machine_looks_less_often(folder: Path) -> None:
    own = WhisperStt(folder, NAME, WhisperSettings(device="cpu", threads=1))

    assert own.step(SttOptions(delay="xhigh")) == 4 * RATE
    own._seconds = 3.0
    assert own.step(SttOptions(delay="minimal")) == 6 * RATE
    assert final(await transcript(own, speech())).text == HELLO
    await own.aclose()


@pytest.mark.parametrize("ms", [0, 300, 14_000])
async def test_silence_has_no_words(stt: WhisperStt, ms: int) -> None:
    assert await transcript(stt, silence(ms, RATE)) == [TranscriptFinal("")]


async def test_a_long_utterance_is_heard_in_windows(stt: WhisperStt) -> None:
    events = await transcript(stt, recording("two_cities", RATE)[: 2 * RATE * 26], SttOptions(language="en"))

    said = final(events).text
    assert 2 <= said.count("world.") <= 5
    assert said == " ".join([HELLO] * said.count("world."))


async def test_closing_the_stream_leaves_nothing_behind(stt: WhisperStt) -> None:
    before = asyncio.all_tasks()
    endless = asyncio.Event()

    async def talk() -> AsyncIterator[bytes]:
        yield speech(3)
        await endless.wait()

    stream = stt.transcribe(talk(), SttOptions(language="en"))
    assert isinstance(await anext(stream), TranscriptGuess | TranscriptDelta)
    await stream.aclose()

    assert asyncio.all_tasks() == before


async def test_closing_the_engine_ends_its_threads(folder: Path) -> None:
    before = set(threading.enumerate())
    own = WhisperStt(folder, NAME, WhisperSettings(device="cpu", threads=1))
    await transcript(own, speech(1))

    await own.aclose()

    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("whisper")]
    with pytest.raises(ProviderError, match="shut down"):
        await transcript(own, speech(1))


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"half a download")

    with pytest.raises(ProviderError, match=rf"{NAME} cannot be loaded from {tmp_path}"):
        WhisperStt(tmp_path, NAME, WhisperSettings(device="cpu"))


def test_a_machine_without_a_gpu_goes_on_with_its_processor(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster_whisper: Any = importlib.import_module("faster_whisper")

    real = faster_whisper.WhisperModel

    def without_gpu(folder: str, *, device: str, **named: Any) -> Any:
        return real(folder, device="cuda" if device == "auto" else device, **named)

    monkeypatch.setattr(faster_whisper, "WhisperModel", without_gpu)

    stt = WhisperStt(folder, NAME)

    assert stt.sample_rate == RATE
    assert "goes on without it" in caplog.text


def test_tags_become_the_codes_of_whisper() -> None:
    tags = ["en", "en-US", "zh_Hans", "nb-NO", "iw", "fil-PH"]
    assert [whisper_language(tag) for tag in tags] == ["en", "en", "zh", "no", "he", "tl"]
