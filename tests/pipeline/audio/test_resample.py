"""The live resampler: chunking, timing, and how clean tones come out of it."""

from itertools import permutations
from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.resample import Piece, Resampler, frames, resample
from tests.chance import examples
from tests.speech import recording

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
PAIRS = list(permutations(RATES, 2))


def tone(frequency: float, rate: int, seconds: float = 0.5, phase: float = 0.0) -> NDArray[np.float64]:
    times = np.arange(round(seconds * rate)) / rate
    return np.asarray(16_000 * np.sin(2 * np.pi * frequency * times + phase))


def pcm(samples: NDArray[np.float64]) -> bytes:
    return bytes(np.rint(samples).astype("<i2").tobytes())


def samples(data: bytes) -> NDArray[np.float64]:
    return np.frombuffer(data, "<i2").astype(np.float64)


def decibels(error: NDArray[np.float64]) -> float:
    """The level of an error beside that of the test tone, without the ends, where the tone is cut off."""
    middle = error[len(error) // 5 : -len(error) // 5]
    return float(20 * np.log10(max(1e-9, np.sqrt(np.mean(middle**2)) * np.sqrt(2) / 16_000)))


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("share", [0.02, 0.4, 0.79])
def test_a_tone_comes_out_as_it_went_in_and_in_its_place(rate_in: int, rate_out: int, share: float) -> None:
    frequency = share * min(rate_in, rate_out) / 2

    result = samples(resample(pcm(tone(frequency, rate_in)), rate_in, rate_out))

    ideal = tone(frequency, rate_out)[: len(result)]
    assert decibels(result[: len(ideal)] - ideal) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] > pair[1]])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_the_lower_rate_cannot_carry_is_left_out(rate_in: int, rate_out: int, share: float) -> None:
    lowest, highest = 1.05 * rate_out / 2, rate_in / 2
    frequency = lowest + share * (highest - lowest)

    result = samples(resample(pcm(tone(frequency, rate_in)), rate_in, rate_out))

    assert decibels(result) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("count", [0, 1, 7, 480, 9_999])
def test_the_length_is_that_of_the_same_time(rate_in: int, rate_out: int, count: int) -> None:
    result = resample(bytes(2 * count), rate_in, rate_out)

    assert abs(len(result) / 2 - count * rate_out / rate_in) <= 1


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_click_stays_where_it_was(rate_in: int, rate_out: int) -> None:
    click = np.zeros(rate_in // 10)
    click[rate_in // 20] = 30_000

    result = samples(resample(pcm(click), rate_in, rate_out))

    assert abs(int(np.argmax(np.abs(result))) / rate_out - 0.05) <= 0.5 / rate_out + 1e-9


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_output_comes_within_two_milliseconds_and_a_block(rate_in: int, rate_out: int) -> None:
    block = 1 / gcd(rate_in, rate_out)  # seconds; 10 ms for 44.1 kHz, next to nothing for its neighbours
    resampler = Resampler(rate_in, rate_out)

    result = resampler.process(bytes(2 * (rate_in // 10)))

    assert len(result) / 2 / rate_out >= 0.1 - 0.0021 - block


@examples(60)
@given(
    st.sampled_from(PAIRS),
    st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2_000)), max_size=12),
)
def test_any_chunking_gives_the_same_samples(pair: tuple[int, int], sizes: list[int]) -> None:
    speech = recording("clone-test", pair[0])[: 2 * sum(sizes)]
    resampler, result, place = Resampler(*pair), b"", 0

    for size in sizes:
        result += resampler.process(speech[place : place + 2 * size])
        place += 2 * size
    result += resampler.flush()

    whole = resample(speech, *pair)
    assert len(result) == len(whole)
    # The order of additions may differ with the chunk, so the last bit may.
    assert np.abs(samples(result) - samples(whole)).max(initial=0) <= 1


def test_the_same_rate_changes_nothing() -> None:
    resampler = Resampler(16_000, 16_000)

    assert resampler.process(b"\1\0\2\0") + resampler.flush() == b"\1\0\2\0"


@pytest.mark.parametrize("value", [-32_768, 32_767, 12_345])
def test_a_constant_stays_itself_and_nothing_overflows(value: int) -> None:
    constant = pcm(np.full(4_800, float(value)))

    for rate in (8_000, 24_000, 44_100):
        result = samples(resample(constant, 16_000, rate))
        assert np.abs(result[200:-200] - value).max() <= 1


def test_a_long_recording_is_the_same_as_its_parts_joined() -> None:
    speech = recording("beckett", 24_000)
    resampler = Resampler(24_000, 16_000)

    parts = [resampler.process(speech[i : i + 48_000]) for i in range(0, len(speech), 48_000)]

    difference = samples(b"".join([*parts, resampler.flush()])) - samples(resample(speech, 24_000, 16_000))
    assert np.abs(difference).max() <= 1


# --- frames -----------------------------------------------------------------------------------------------

FRAME = 512


def pieces_of(speech: bytes, rate: int) -> list[Piece]:
    """What all frames of a recording at 16 kHz are made of."""
    cutter, pieces = frames(rate, 16_000, FRAME), []
    for number in range(cutter.available(len(speech) // 2)):
        start, end = cutter.span(number)
        pieces.append(Piece(number, bytes(2 * max(0, -start)) + speech[2 * max(0, start) : 2 * end]))
    return pieces


@pytest.mark.parametrize("rate", [*RATES, 22_050, 32_000])
def test_frames_are_what_the_resampler_gives_and_as_many(rate: int) -> None:
    speech = recording("clone-test", rate)

    cut = b"".join(frames(rate, 16_000, FRAME).cut(pieces_of(speech, rate)))

    streamed = Resampler(rate, 16_000).process(speech)
    assert len(cut) == len(streamed) // (2 * FRAME) * 2 * FRAME
    assert np.abs(samples(cut) - samples(streamed[: len(cut)])).max() <= 1


@pytest.mark.parametrize("rate", [*RATES, 32_000])
def test_a_frame_needs_the_audio_of_its_span_and_no_more(rate: int) -> None:
    cutter = frames(rate, 16_000, FRAME)

    for number in range(200):
        _, end = cutter.span(number)
        assert cutter.available(end - 1) <= number < cutter.available(end)


@examples(40)
@given(
    rate=st.sampled_from([8_000, 24_000, 32_000, 44_100, 48_000]),
    chosen=st.lists(st.integers(0, 99), min_size=1, max_size=40),
)
def test_a_frame_is_the_same_to_the_last_bit_in_any_company(rate: int, chosen: list[int]) -> None:
    cutter, pieces = frames(rate, 16_000, FRAME), pieces_of(recording("clone-test", rate), rate)

    together = cutter.cut([pieces[number] for number in chosen])

    assert together == [cutter.cut([pieces[number]])[0] for number in chosen]


@pytest.mark.parametrize("value", [-32_768, 32_767])
def test_frames_at_full_scale_do_not_overflow(value: int) -> None:
    loud = pcm(np.where(np.arange(24_000) % 480 < 240, value, 0))

    cut = samples(b"".join(frames(24_000, 16_000, FRAME).cut(pieces_of(loud, 24_000))))

    assert np.abs(cut).max() >= 32_767  # what swings over the edge is clipped
    assert np.abs(cut - samples(resample(loud, 24_000, 16_000))[: len(cut)]).max() <= 1


def test_nothing_is_cut_out_of_nothing() -> None:
    assert frames(24_000, 16_000, FRAME).cut([]) == []
