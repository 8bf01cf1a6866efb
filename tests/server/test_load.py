"""The load generator measures the real server, and its fakes keep the times that they promise."""

import json
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from benchmarks import load
from benchmarks.caller import Moments
from benchmarks.fakes import FakeTimes, make_app
from benchmarks.report import memory_per_session, percentile, turn_figures
from benchmarks.speech import CHUNK_MS, utterances


def test_a_load_of_two_callers_is_measured_turn_by_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "load.json"

    status = load.main(
        ["--sessions", "2", "--turns", "1", "--speculation", "off,always", "--json", str(file)]
    )

    report = json.loads(file.read_text())
    run, prepared = report["runs"]
    assert (status, run["problems"], prepared["problems"]) == (0, [], [])
    assert run["speculations"] == {}
    assert prepared["speculations"]["used"] > 0
    assert run["turns_measured"] == 2
    for turn in run["per_turn"]:
        assert turn["explained"] == 500 + 100 + 210 + 80
        assert turn["first_audio"] == pytest.approx(turn["explained"] + turn["overhead"])
        assert turn["speech_stopped"] < turn["transcript"] < turn["first_text"] < turn["first_audio"]
        # A recording's last word may fade longer than the detector hears it, but not by much.
        assert -100 < turn["overhead"] < 2000
    assert run["rss_mib"] > 20
    assert run["cpu_seconds_per_session_minute"] > 0
    table = capsys.readouterr().out
    assert "| 2 | off | 2 |" in table
    assert "| 2 | always " in table


async def test_the_fakes_take_as_long_as_they_say() -> None:
    times = FakeTimes(stt_ms=50, llm_sentence_ms=100, llm_token_ms=5, tts_first_ms=40)
    async with TestClient(TestServer(make_app(times))) as client:
        began = time.perf_counter()
        await (await client.post("/v1/audio/transcriptions", data=b"speech")).read()
        transcribed = time.perf_counter() - began
        began, text = time.perf_counter(), b""
        async with client.post("/v1/chat/completions", json={}) as answer:
            while b"simple." not in text:
                text += await answer.content.readany()
        answered = time.perf_counter() - began
        began = time.perf_counter()
        async with client.post("/v1/audio/speech", json={"input": "Hello there."}) as speech:
            await speech.content.readany()
        spoken = time.perf_counter() - began

    assert 0.05 <= transcribed < 0.15
    assert 0.1 <= answered < 0.2
    assert 0.04 <= spoken < 0.14


def test_every_utterance_ends_in_a_pause_that_is_shorter_than_any_silence_window() -> None:
    for utterance in utterances():
        length_ms = len(utterance.messages) * CHUNK_MS
        assert 0 < length_ms - utterance.voice_end_ms < 500
        assert (
            utterance.last_voiced * CHUNK_MS
            < utterance.voice_end_ms
            <= (utterance.last_voiced + 1) * CHUNK_MS
        )


def test_what_did_not_happen_has_no_figure() -> None:
    figures = turn_figures(Moments("x", voice_ended=1.0, stopped=1.6), 890.0)

    assert figures["speech_stopped"] == 600
    assert figures["first_audio"] is None
    assert figures["overhead"] is None


def test_memory_is_counted_between_the_smallest_and_the_largest_run() -> None:
    runs = [
        {"sessions": 1, "rss_mib": 100.0},
        {"sessions": 5, "rss_mib": 101.0},
        {"sessions": 11, "rss_mib": 105.0},
    ]

    assert memory_per_session(runs) == 0.5
    assert memory_per_session(runs[:1]) is None


def test_the_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.95) is None
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(100), 0.95) == 95
