"""Noise reduction: lengths and places, what it does to noise and to voices, and changes in mid-speech."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from statistics import median
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.denoise import (
    LEAD_S,
    contrast,
    fidelity,
    noise,
    probabilities,
    reduced,
    voiced,
    word_errors,
)
from pipeline.audio.denoise import DELAY_MS, Denoiser
from pipeline.audio.resample import resample
from pipeline.config import NoiseReduction
from providers.stt.moonshine_model import MoonshineModel
from providers.vad.silero import SileroVad
from tests.chance import examples
from tests.speech import BECKETT, recording, silence

RATES = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
TYPES: tuple[Literal["near_field", "far_field"], ...] = ("near_field", "far_field")
NEAR, FAR = NoiseReduction("near_field"), NoiseReduction("far_field")
OFF = NoiseReduction(strength=0.0)

each_rate = pytest.mark.parametrize("rate", RATES)
each_type = pytest.mark.parametrize("reduction", [NEAR, FAR], ids=TYPES)


def delay(rate: int) -> int:
    """In samples."""
    return rate * DELAY_MS // 1000


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def pcm(signal: NDArray[np.float64]) -> bytes:
    return bytes(np.rint(signal).clip(-32768, 32767).astype("<i2"))


def delayed(audio: bytes, rate: int) -> bytes:
    return (bytes(2 * delay(rate)) + audio)[: len(audio)]


def decibels(signal: NDArray[np.float64]) -> float:
    return float(20 * np.log10(max(1e-9, np.sqrt((signal**2).mean()))))


def in_chunks(denoiser: Denoiser, audio: bytes, ms: int, rate: int) -> bytes:
    size = 2 * (rate * ms // 1000)
    return b"".join(denoiser.process(audio[at : at + size]) for at in range(0, len(audio), size))


class Scene:
    """Ten seconds of a voice after two of silence, and the same in noise of the same root mean square."""

    def __init__(self, kind: str, ratio: float, *, rate: int = 24_000, level: float = 1.0) -> None:
        speech = level * samples(recording("beckett", rate))
        self.rate = rate
        self.clean = np.concatenate((np.zeros(LEAD_S * rate), speech))
        self.speaks = voiced(self.clean, rate)
        segments = self.clean[: len(self.speaks) * (rate // 4)].reshape(-1, rate // 4)
        loudness = np.sqrt((segments[self.speaks] ** 2).mean())
        self.noisy = pcm(self.clean + loudness / 10 ** (ratio / 20) * noise(kind, len(self.clean), rate))

    def contrast(self, audio: bytes) -> float:
        return contrast(samples(audio), self.speaks, self.rate)

    def fidelity(self, audio: bytes) -> float:
        return fidelity(samples(audio), self.clean, self.speaks, self.rate)


# --- lengths and places -------------------------------------------------------------------------------


@each_rate
@pytest.mark.parametrize("reduction", [None, OFF])
def test_without_reduction_the_input_comes_out_unchanged_and_later(
    rate: int, reduction: NoiseReduction | None
) -> None:
    speech = recording("clone-test", rate)

    result = in_chunks(Denoiser(rate, reduction), speech, 20, rate)

    assert result == delayed(speech, rate)


@each_rate
@each_type
def test_what_is_reduced_comes_out_at_the_same_delay(rate: int, reduction: NoiseReduction) -> None:
    speech = recording("beckett", rate)

    result = in_chunks(Denoiser(rate, reduction), speech, 20, rate)

    heard, said = samples(result), samples(speech)
    size = 1 << (2 * len(said)).bit_length()
    likeness = np.fft.irfft(np.conj(np.fft.rfft(said, size)) * np.fft.rfft(heard, size))
    assert int(np.argmax(likeness)) == delay(rate)


@examples(40)
@given(
    st.sampled_from(RATES),
    st.sampled_from([NEAR, FAR, NoiseReduction("near_field", 0.3)]),
    st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2_000)), min_size=1, max_size=12),
)
def test_any_chunking_gives_as_many_samples_and_the_same_ones(
    rate: int, reduction: NoiseReduction, sizes: list[int]
) -> None:
    speech = recording("clone-test", rate)[rate : rate + 2 * sum(sizes)]
    whole = Denoiser(rate, reduction).process(speech)
    denoiser, place, result = Denoiser(rate, reduction), 0, b""

    for size in sizes:
        piece = denoiser.process(speech[place : place + 2 * size])
        assert len(piece) == 2 * size
        result += piece
        place += 2 * size

    assert len(whole) == len(speech)
    # The resampler may round differently where a chunk ends, and the library may multiply that.
    assert np.abs(samples(result) - samples(whole)).max(initial=0) <= 8


@each_rate
@each_type
def test_single_samples_are_enough(rate: int, reduction: NoiseReduction) -> None:
    speech = recording("clone-test", rate)[rate : rate + rate // 5 * 2]
    denoiser = Denoiser(rate, reduction)

    result = b"".join(denoiser.process(speech[at : at + 2]) for at in range(0, len(speech), 2))

    assert np.abs(samples(result) - samples(Denoiser(rate, reduction).process(speech))).max() <= 8


@each_rate
@each_type
def test_silence_stays_silence(rate: int, reduction: NoiseReduction) -> None:
    quiet = silence(3_000, rate)

    assert in_chunks(Denoiser(rate, reduction), quiet, 20, rate) == quiet


def test_instances_in_several_threads_do_not_disturb_each_other() -> None:
    rate = 24_000
    speech = recording("beckett", rate)
    alone = in_chunks(Denoiser(rate, FAR), speech, 20, rate)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: in_chunks(Denoiser(rate, FAR), speech, 20, rate), range(4)))

    assert results == [alone] * 4


def test_a_long_stream_needs_no_more_memory_than_a_short_one() -> None:
    rate = 8_000
    minute = pcm(300 * noise("pink", 60 * rate, rate))
    denoiser = Denoiser(rate, FAR)
    used = []
    tracemalloc.start()
    try:
        for _ in range(10):
            in_chunks(denoiser, minute, 500, rate)
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert used[-1] - used[0] < 4096


@each_rate
@each_type
def test_a_chunk_of_20_ms_takes_less_than_a_millisecond(rate: int, reduction: NoiseReduction) -> None:
    speech = recording("clone-test", rate)
    denoiser, size = Denoiser(rate, reduction), 2 * (rate // 50)
    times = [time.thread_time()]

    for at in range(0, len(speech), size):
        denoiser.process(speech[at : at + size])
        times.append(time.thread_time())

    assert median(after - before for before, after in pairwise(times)) < 0.001


# --- noise and voices ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("kind", ["white", "pink", "fan"])
def test_speech_stands_out_of_noise(kind: str, rate: int) -> None:
    scene = Scene(kind, 10, rate=rate)

    near, far = reduced(scene.noisy, rate, NEAR), reduced(scene.noisy, rate, FAR)

    assert scene.contrast(near) > scene.contrast(scene.noisy) + 7
    assert scene.contrast(far) > scene.contrast(scene.noisy) + 5
    assert scene.fidelity(near) > scene.fidelity(scene.noisy) + 0.4
    assert scene.fidelity(far) > scene.fidelity(scene.noisy)


@pytest.mark.parametrize("kind", ["white", "pink", "fan"])
@pytest.mark.parametrize("level", [10, 300, 1000])
def test_noise_alone_falls_by_12_dB_and_is_never_raised(kind: str, level: int) -> None:
    rate = 24_000
    steady = pcm(level * noise(kind, 6 * rate, rate))

    near, far = (
        decibels(samples(steady)) - decibels(samples(reduced(steady, rate, reduction))[3 * rate :])
        for reduction in (NEAR, FAR)
    )

    assert near == pytest.approx(11.7, abs=0.8)
    # Suppressed by 18 dB, and then amplified in wait for a distant voice; the less, the louder the noise.
    assert far > {10: 2, 300: 6, 1000: 14}[level]


def test_noise_above_8_kHz_falls_as_well() -> None:
    rate = 48_000
    steady = pcm(300 * noise("white", 6 * rate, rate))

    spectra = [
        np.abs(np.fft.rfft(samples(audio)[3 * rate :])) ** 2
        for audio in (steady, reduced(steady, rate, NEAR))
    ]

    frequency = np.fft.rfftfreq(3 * rate, 1 / rate)
    for low in range(1_000, 23_000, 2_000):
        band = (frequency >= low) & (frequency < low + 1_000)
        assert 10 * np.log10(spectra[0][band].sum() / spectra[1][band].sum()) == pytest.approx(12, abs=1.5)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_half_the_strength_takes_half_and_extinguishes_no_band(rate: int) -> None:
    steady = pcm(300 * noise("white", 6 * rate, rate))

    half = reduced(steady, rate, NoiseReduction("near_field", 0.5))

    before, after = (np.abs(np.fft.rfft(samples(audio)[3 * rate :])) ** 2 for audio in (steady, half))
    frequency = np.fft.rfftfreq(3 * rate, 1 / rate)
    for low in range(200, rate // 2 - 500, 250):
        band = (frequency >= low) & (frequency < low + 250)
        # Half of the input and half of what is 12 dB below it.
        assert 10 * np.log10(before[band].sum() / after[band].sum()) == pytest.approx(4.1, abs=1)


@each_rate
def test_a_close_voice_without_noise_is_left_alone(rate: int) -> None:
    speech = recording("beckett", rate)

    result = reduced(speech, rate, NEAR)

    said, heard = samples(speech), samples(result)
    speaks = voiced(said, rate)
    assert fidelity(heard, said, speaks, rate) > 10
    segments = [decibels(part) for part in (said[rate:], heard[rate:])]
    assert segments[1] == pytest.approx(segments[0], abs=1)


def test_a_distant_voice_is_raised_and_without_pumping() -> None:
    rate = 16_000
    speech = pcm(
        0.05 * samples(recording("two_cities", rate)[: 2 * 20 * rate]) + 3 * noise("pink", 20 * rate, rate)
    )

    result = reduced(speech, rate, FAR)

    said, heard = (
        [decibels(second) for second in samples(audio).reshape(-1, rate)] for audio in (speech, result)
    )
    gains = [after - before for before, after in zip(said, heard, strict=True)]
    assert all(12 < gain < 18 for gain in gains[1:])
    assert max(gains[5:]) - min(gains[5:]) < 2


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
@each_type
def test_a_loud_voice_is_not_clipped(rate: int, reduction: NoiseReduction) -> None:
    speech = samples(recording("beckett", rate))
    loud = pcm(speech * (32_000 / np.abs(speech).max()))

    result = samples(reduced(loud, rate, reduction))

    assert np.abs(result).max() < 32_767
    speaks = voiced(samples(loud), rate)
    assert fidelity(result, samples(loud), speaks, rate) > 8


# --- what the engines make of it ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


@pytest.mark.parametrize("kind", ["white", "pink", "fan"])
@each_type
def test_the_detector_still_hears_speech_and_no_speech_in_noise(
    vad: SileroVad, kind: str, reduction: NoiseReduction
) -> None:
    scene = Scene(kind, 10, rate=16_000)
    lead = LEAD_S * 16_000 // vad.frame_samples

    before, after = (
        np.array(probabilities(vad, audio))
        for audio in (scene.noisy, reduced(scene.noisy, 16_000, reduction))
    )

    assert after[:lead].mean() <= before[:lead].mean()
    assert after[lead:].mean() > 0.9 * before[lead:].mean()
    assert ((after[lead:] > 0.5) == (before[lead:] > 0.5)).mean() > 0.95


def test_the_detector_hears_a_distant_voice_in_noise_better(vad: SileroVad) -> None:
    scene = Scene("pink", 5, rate=16_000, level=0.05)
    lead = LEAD_S * 16_000 // vad.frame_samples

    before, after = (
        np.array(probabilities(vad, audio))[lead:]
        for audio in (scene.noisy, reduced(scene.noisy, 16_000, FAR))
    )

    assert (after > 0.5).sum() > 1.2 * (before > 0.5).sum()


@each_type
def test_words_in_noise_are_understood_no_worse(reduction: NoiseReduction) -> None:
    model = MoonshineModel()
    before: list[float] = []
    after: list[float] = []

    for kind, ratio in product(("white", "pink", "fan"), (10, 5)):
        scene = Scene(kind, ratio, rate=24_000)
        for errors, audio in ((before, scene.noisy), (after, reduced(scene.noisy, 24_000, reduction))):
            heard = model.transcribe(resample(audio[2 * LEAD_S * 24_000 :], 24_000, 16_000))
            assert heard is not None
            errors.append(word_errors(BECKETT, heard.text))

    assert sum(after) <= sum(before) + 4 / 12  # words in 72


# --- changes in mid-speech ----------------------------------------------------------------------------


def roughness(audio: bytes) -> float:
    """The largest bend between three samples beside the largest sample: a click is much more than a tone."""
    signal = samples(audio)
    return float(np.abs(np.diff(signal, 2)).max() / np.abs(signal).max())


def hum(rate: int, seconds: float) -> bytes:
    """A distant tone, loud and soft like a voice, beside which the smallest click stands out."""
    times = np.arange(round(rate * seconds)) / rate
    return pcm(1_500 * np.sin(2 * np.pi * 220 * times) * (1.2 + np.sin(2 * np.pi * 3 * times)))


@each_rate
def test_switching_it_on_repeats_a_moment_and_loses_nothing(rate: int) -> None:
    speech = recording("beckett", rate)
    switch = len(speech) // 4 * 2
    before, after = speech[:switch], speech[switch:]

    result = before + in_chunks(Denoiser(rate, OFF, before), after, 20, rate)

    late = 2 * delay(rate)
    assert len(result) == len(speech)
    assert result[switch + late :] == speech[switch:-late]


@each_rate
@each_type
def test_switching_on_and_off_makes_no_click_and_loses_nothing(rate: int, reduction: NoiseReduction) -> None:
    tone = hum(rate, 3)
    second = 2 * rate
    denoiser = Denoiser(rate, reduction, tone[:second])

    on = in_chunks(denoiser, tone[second : 2 * second], 20, rate)
    denoiser.reconfigure(None)
    off = in_chunks(denoiser, tone[2 * second :], 20, rate)

    late, change = 2 * delay(rate), 2 * (rate // 100)
    assert off[change:] == tone[2 * second + change - late : -late]
    # The suppressor learns the tone, of which nothing can be said there but that there is no click.
    assert roughness(tone[:second] + on + off) < 6 * roughness(tone) + 0.01  # of rounding
    assert denoiser.held == tone[-late:]


@each_rate
def test_a_speaker_is_heard_through_every_change(rate: int) -> None:
    speech = recording("two_cities", rate)[: 2 * 12 * rate]
    denoiser, chunk = Denoiser(rate, NEAR), 2 * (rate // 50)
    settings = [
        FAR,
        None,
        NoiseReduction("far_field", 0.5),
        NEAR,
        OFF,
        NoiseReduction("near_field", 0.7),
        None,
    ]
    result = b""

    for number, at in enumerate(range(0, len(speech), chunk)):
        if number % 70 == 69:
            denoiser.reconfigure(settings[number // 70 % len(settings)])
        result += denoiser.process(speech[at : at + chunk])

    said, heard = samples(delayed(speech, rate)), samples(result)
    speaks = voiced(said, rate)
    size = rate // 4
    for segment in np.flatnonzero(speaks):
        first, second = (part[segment * size : (segment + 1) * size] for part in (said, heard))
        assert np.corrcoef(first, second)[0, 1] > 0.7


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.3, 1 / 3, 0.9, 1.0])
def test_a_new_strength_is_reached_within_10_ms_and_kept(strength: float) -> None:
    rate = 24_000
    speech = recording("beckett", rate)
    denoiser, steady = Denoiser(rate, NEAR), Denoiser(rate, NoiseReduction("near_field", strength))
    half = len(speech) // 4 * 2
    denoiser.process(speech[:half])
    steady.process(speech[:half])

    denoiser.reconfigure(NoiseReduction("near_field", strength))
    changed, wanted = (in_chunks(each, speech[half:], 20, rate) for each in (denoiser, steady))

    assert len(changed) == len(wanted)
    assert np.abs(samples(changed) - samples(wanted))[rate // 100 :].max() <= 1


@each_rate
@each_type
def test_a_change_of_type_makes_no_click(rate: int, reduction: NoiseReduction) -> None:
    tone = hum(rate, 2)
    other = FAR if reduction is NEAR else NEAR
    denoiser = Denoiser(rate, reduction)

    first = in_chunks(denoiser, tone[: 2 * rate], 20, rate)
    denoiser.reconfigure(other)
    result = first + in_chunks(denoiser, tone[2 * rate :], 20, rate)

    assert len(result) == len(tone)
    assert roughness(result) < 6 * roughness(tone) + 0.01  # of rounding


@pytest.mark.parametrize("pair", list(pairwise((8_000, 24_000, 16_000, 44_100, 48_000, 8_000))))
def test_a_change_of_rate_loses_nothing(pair: tuple[int, int]) -> None:
    old, new = pair
    first, second = hum(old, 1), hum(new, 2)[2 * new :]
    denoiser = Denoiser(old, None)

    before = denoiser.process(first)
    denoiser.change_rate(new)
    after = denoiser.process(second)

    assert before == delayed(first, old)
    assert after[2 * delay(new) :] == second[: -2 * delay(new)]
    held = samples(resample(first[-2 * delay(old) :], old, new))
    assert np.abs(samples(after)[: delay(new)] - held[-delay(new) :]).max() <= 1
