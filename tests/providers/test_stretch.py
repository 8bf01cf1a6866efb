"""Speech made slower and faster: length, pitch, delay, and whether it can still be understood."""

import random
import re
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from providers.contracts import SttOptions, TranscriptFinal, TtsOptions
from providers.stt.moonshine import MoonshineStt
from providers.tts.espeak import EspeakTts
from providers.tts.stretch import Stretcher
from tests.speech import resample

RATE = 24_000
FACTORS = [0.25, 0.4, 0.5, 0.7, 0.95, 1.05, 1.25, 1.5, 2.0, 4.0]


def tone(seconds: float, hertz: float = 200.0, rate: int = RATE) -> bytes:
    """A buzz with overtones, as a voice has them."""
    times = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hertz * n * times) / n for n in range(1, 8))
    return (6000 * np.asarray(wave)).astype(np.int16).tobytes()


def stretched(pcm: bytes, factor: float, step: int = 960, rate: int = RATE) -> bytes:
    stretcher = Stretcher(rate, factor)
    out = [stretcher.process(pcm[at : at + step]) for at in range(0, len(pcm), step)]
    return b"".join(out) + stretcher.flush()


def pitch(pcm: bytes, rate: int = RATE) -> float:
    """The fundamental, in Hertz: where the lowest strong line of the spectrum lies."""
    samples = np.frombuffer(pcm, np.int16)[: 4 * rate].astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * rate))
    low = spectrum[: 300 * 8]
    return float(low.argmax()) / 8


@pytest.mark.parametrize("factor", FACTORS)
def test_the_length_is_exact_and_the_pitch_stays(factor: float) -> None:
    pcm = tone(3.0)

    out = stretched(pcm, factor)

    assert len(out) // 2 == round(3.0 * RATE / factor)
    assert pitch(out) == pytest.approx(200, abs=1)
    loudness = np.frombuffer(out, np.int16)[RATE // 10 : -RATE // 5].astype(float).std()
    assert loudness == pytest.approx(np.frombuffer(pcm, np.int16).astype(float).std(), rel=0.1)


@pytest.mark.parametrize("factor", FACTORS)
def test_little_speech_is_held_back(factor: float) -> None:
    stretcher = Stretcher(RATE, factor)
    pcm = tone(5.0)
    given = 0
    for at in range(0, len(pcm), 960):
        given += len(stretcher.process(pcm[at : at + 960])) // 2
        behind = stretcher.taken - given * factor  # samples of the speech

        assert -0.002 * RATE <= behind <= 0.13 * RATE


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
def test_every_rate_keeps_its_length_and_pitch(rate: int) -> None:
    out = stretched(tone(2.0, rate=rate), 0.8, step=2 * (rate // 50), rate=rate)

    assert len(out) // 2 == round(2 * rate / 0.8)
    assert pitch(out, rate) == pytest.approx(200, abs=1)


def test_the_size_of_the_pieces_does_not_matter_to_the_length() -> None:
    pcm = tone(1.0)
    chance = random.Random(5)
    stretcher = Stretcher(RATE, 1.3)
    out, at = b"", 0
    while at < len(pcm):
        step = 2 * chance.choice([0, 1, 2, 7, 480, 5000])
        out += stretcher.process(pcm[at : at + step])
        at += step

    out += stretcher.flush()

    assert len(out) // 2 == round(RATE / 1.3)


@pytest.mark.parametrize("samples", [0, 1, 100, 2000])
def test_very_short_speech_has_its_length_too(samples: int) -> None:
    assert len(stretched(tone(1.0)[: 2 * samples], 0.5)) // 2 == 2 * samples


def test_sounds_stay_in_their_places() -> None:
    """Clicks come out where `place` says, to within the filter's window."""
    silence = np.zeros(4 * RATE, np.int16)
    noise = np.random.default_rng(3).normal(0, 6000, RATE // 10).astype(np.int16)
    starts = [RATE // 2, 2 * RATE, 3 * RATE + 777]
    for start in starts:
        silence[start : start + len(noise)] = noise
    for factor in (0.7, 1.4):
        out = np.abs(np.frombuffer(stretched(silence.tobytes(), factor), np.int16).astype(float))
        loud = np.flatnonzero(out > 1000)
        found = [int(loud[0]), *(b for a, b in pairwise(loud.tolist()) if b - a > RATE // 4)]

        expected = [Stretcher(RATE, factor).place(start) for start in starts]
        assert found == pytest.approx(expected, abs=0.04 * RATE)


@pytest.mark.parametrize("factor", [0.1, 5.0, float("nan")])
def test_factors_beyond_its_reach_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="times as fast"):
        Stretcher(RATE, factor)


@pytest.mark.parametrize("factor", [0.7, 1.25])
async def test_stretched_speech_can_be_understood(factor: float) -> None:
    voice = EspeakTts()

    async def text() -> AsyncIterator[str]:
        yield "Good morning. Please tell me what time it is."

    pcm = b"".join([chunk.pcm async for chunk in voice.speak(text(), TtsOptions("en-us"))])
    spoken = resample(stretched(pcm, factor, rate=voice.sample_rate), voice.sample_rate, 16_000)

    async def audio() -> AsyncIterator[bytes]:
        yield spoken

    heard = ""
    async for event in MoonshineStt().transcribe(audio(), SttOptions()):
        heard = event.text if isinstance(event, TranscriptFinal) else heard
    await voice.aclose()

    words = re.findall(r"\w+", heard.lower())
    assert len({"good", "morning", "please", "tell", "me", "what", "time", "it", "is"} & set(words)) >= 7


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.4])
def test_a_pause_can_be_given_out_and_the_speech_goes_on(factor: float) -> None:
    """The tone after the flush begins at its place, and at full strength; nothing is said twice."""
    silence = bytes(2 * (RATE // 5))
    stretcher = Stretcher(RATE, factor)

    before = stretcher.process(tone(1.0) + silence) + stretcher.flush()
    assert len(before) // 2 == stretcher.place(stretcher.taken)
    assert stretcher.flush() == b""
    after = stretcher.process(tone(1.0)) + stretcher.flush()

    assert len(before + after) // 2 == round(2.2 * RATE / factor)
    loud = np.abs(np.frombuffer(before + after, np.int16).astype(float)) > 1000
    places = np.flatnonzero(loud) / RATE * factor
    assert all(place < 1.05 or place > 1.15 for place in places)
    assert (places > 1.2).sum() == pytest.approx((places < 1.1).sum(), rel=0.1)
