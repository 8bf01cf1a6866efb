"""The truth about the recordings of `benchmarks.turns`: pauses, ends and levels are where the corpus says."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.turns.audio import (
    RATE,
    Samples,
    at_level,
    coloured,
    decibels,
    from_pcm,
    level_of,
    loud_runs,
    read,
)
from benchmarks.turns.corpus import TAIL_MS, clip_of
from benchmarks.turns.recordings import LINES, Line
from benchmarks.turns.sounds import SOUNDS, stretch
from benchmarks.turns.takes import Pause, Synthetic, Take, with_pauses
from benchmarks.turns.voices import SENTENCES, VOICES, speak
from providers.weights import wheel_file


def tone(*words: tuple[int, int]) -> Samples:
    """Two seconds with a voice-like buzz at these ms, silence elsewhere."""
    samples = np.zeros(2 * RATE, np.float32)
    buzz = 0.2 * np.sign(np.sin(2 * np.pi * 150 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    for start, end in words:
        samples[start * 16 : end * 16] = buzz[start * 16 : end * 16]
    return samples


def take(*words: tuple[int, int], splits: tuple[float, ...]) -> Take:
    gaps = [Pause(float(a[1]), float(b[0])) for a, b in pairwise(words)]
    return Take(tone(*words), words[0][0], words[-1][1], tuple(gaps), "", "buzz", "buzz", splits)


def test_speech_is_found_to_10_ms() -> None:
    assert loud_runs(tone((200, 700), (1000, 1500))) == [(200, 700), (1000, 1500)]


def test_stops_inside_of_words_are_no_gaps() -> None:
    assert loud_runs(tone((200, 700), (800, 1500))) == [(200, 1500)]


def test_a_pause_put_into_a_gap_has_the_length_that_it_says() -> None:
    paused = with_pauses(take((200, 700), (900, 1500), splits=(800.0,)), (600,), seed=3)
    (pause,) = paused.pauses
    assert pause.start == 700
    assert 540 <= pause.end - pause.start <= 660
    # What is there is what is said to be there.
    assert [(run[0], run[1]) for run in loud_runs(paused.samples)] == [
        (200, 700),
        (pytest.approx(pause.end, abs=10), pytest.approx(paused.end, abs=10)),
    ]


def test_a_pause_in_fluent_speech_begins_at_the_border_and_moves_the_end() -> None:
    paused = with_pauses(take((200, 1500), splits=(800.0,)), (1000,), seed=3)
    (pause,) = paused.pauses
    assert abs(pause.start - 800) <= 60
    assert paused.end == pytest.approx(1500 + pause.end - pause.start)
    inside = paused.samples[round(pause.start + 20) * 16 : round(pause.end - 20) * 16]
    assert not inside.any()


def test_several_pauses_do_not_overlap_and_keep_the_gaps_that_were_there() -> None:
    plain = take((100, 400), (650, 1900), splits=(1000.0, 1400.0))
    paused = with_pauses(plain, (500, 700), seed=5)
    assert len(paused.pauses) == 3
    borders = [moment for pause in paused.pauses for moment in (pause.start, pause.end)]
    assert borders == sorted(borders)
    assert paused.pauses[0] == Pause(400.0, 650.0)


def test_the_same_seed_makes_the_same_clip() -> None:
    plain = take((200, 1500), splits=(800.0,))
    clips = [clip_of(with_pauses(plain, (500,), seed=9), "made pauses", "500", 1) for _ in range(2)]
    assert clips[0].pcm == clips[1].pcm
    assert clips[0].pcm != clip_of(with_pauses(plain, (500,), seed=8), "made pauses", "500", 1).pcm


def test_a_clip_ends_in_silence_longer_than_any_wait() -> None:
    clip = clip_of(take((200, 1500), splits=()), "complete", "", 1)
    assert clip.seconds * 1000 - clip.end == pytest.approx(TAIL_MS)
    assert clip.end - clip.start == 1300
    samples = from_pcm(clip.pcm)
    assert level_of(samples[round(clip.start) * 16 : round(clip.end) * 16]) > -20
    assert decibels(samples[round(clip.end + 110) * 16 :]) == pytest.approx(-68, abs=1)


def test_synthetic_speech_knows_where_its_words_begin() -> None:
    (spoken,) = speak([(SENTENCES[0], "en-us", 1.0)])
    (alone,) = speak([(SENTENCES[0].partition("| ")[0], "en-us", 1.0)])
    (split,) = spoken.splits
    # Spoken on its own the first half is about as long: its end is stretched, but there is no second half.
    assert split == pytest.approx(len(alone.samples), rel=0.25)
    assert 0.2 < split / len(spoken.samples) < 0.8


def test_every_process_hears_the_same_voices() -> None:
    program = (
        "import hashlib, json; from benchmarks.turns.voices import SENTENCES, VOICES, speak; "
        "spoken = speak([(SENTENCES[0], *voice) for voice in VOICES]); "
        "print(json.dumps([hashlib.sha256(each.samples.tobytes()).hexdigest() for each in spoken]))"
    )
    told = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(2)
    ]
    assert told[0].stdout == told[1].stdout
    assert len(set(json.loads(told[0].stdout))) == len(VOICES)


def test_takes_of_synthetic_speech_are_equally_loud() -> None:
    takes = Synthetic().takes(SENTENCES[:3])
    assert len({each.voice for each in takes}) == 3
    assert all(level_of(each.samples) == pytest.approx(-23, abs=0.1) for each in takes)
    assert all(each.start < each.splits[0] < each.end for each in takes)


@pytest.mark.parametrize("line", [line for line in LINES if line.file in ("beckett", "endgame", "cities")])
def test_lines_of_installed_recordings_are_where_the_table_says(line: Line) -> None:
    name = {"cities": "two_cities", "endgame": "endgame_nagg_nell"}.get(line.file, line.file)
    samples = read(wheel_file("moonshine_voice", f"assets/{name}.wav"))
    runs = loud_runs(samples[line.start * 16 : line.end * 16])
    length = line.end - line.start
    assert runs[0][0] < 150
    assert length - runs[-1][1] < 150
    assert all(line.start < split < line.end for split in line.splits)
    if line.pauses:
        assert len(runs) > 1
    assert length / len(line.text.split()) < 700  # ms for a word


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_noise_falls_with_frequency_as_it_should(slope: int) -> None:
    noise = coloured(8 * RATE, np.random.default_rng(1), slope=slope)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octave = [power[8 * low : 16 * low].mean() for low in (500, 1000, 2000)]
    assert 10 * np.log10(octave[0] / octave[1]) == pytest.approx(3 * slope, abs=0.5)
    assert 10 * np.log10(octave[1] / octave[2]) == pytest.approx(3 * slope, abs=0.5)
    assert decibels(at_level(noise, -30)) == pytest.approx(-30, abs=0.01)


@pytest.mark.parametrize("sound", SOUNDS)
def test_sounds_are_heard_and_come_out_the_same_for_a_seed(sound: str) -> None:
    audio, events = stretch(sound, 20, np.random.default_rng(4))
    again, _ = stretch(sound, 20, np.random.default_rng(4))
    assert np.array_equal(audio, again)
    assert np.abs(audio).max() < 1.5
    if sound == "noise":
        assert not events
        assert decibels(audio[-RATE:]) > decibels(audio[:RATE]) + 15
    else:
        assert events > 0
        assert np.abs(audio).max() > 0.02


def test_a_take_without_pauses_stays_as_it_is() -> None:
    plain = take((200, 1500), splits=(800.0,))
    assert with_pauses(plain, (), seed=1) is plain
    assert with_pauses(replace(plain, splits=()), (500,), seed=1).end == plain.end
