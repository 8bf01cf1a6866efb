"""The voice activity detector against real speech, silence and noise, alone and batched."""

from itertools import pairwise

import numpy as np
import pytest

from providers.contracts import Vad, VadFrame
from providers.vad.silero import SileroVad
from tests.speech import recording, silence


@pytest.fixture(scope="module")
def vad() -> Vad:
    return SileroVad()


def frames_of(vad: Vad, pcm: bytes) -> list[bytes]:
    size = 2 * vad.frame_samples
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def probabilities(vad: Vad, pcm: bytes) -> list[float]:
    stream = vad.new_stream()
    return [vad.infer([VadFrame(stream, frame)])[0] for frame in frames_of(vad, pcm)]


def test_speech_is_likely_and_the_silence_around_it_is_not(vad: Vad) -> None:
    lead, tail = silence(960, vad.sample_rate), silence(1920, vad.sample_rate)
    speech = recording("two_cities", vad.sample_rate)[: 2 * 16_000 * 8]

    before, during, after = 30, len(speech) // (2 * vad.frame_samples), 60
    values = probabilities(vad, lead + speech + tail)

    assert max(values[:before]) < 0.3
    assert np.mean(np.array(values[before : before + during]) > 0.5) > 0.6
    assert max(values[before + during + 10 : before + during + after]) < 0.3


def test_the_pauses_between_sentences_are_heard(vad: Vad) -> None:
    speaking = [value > 0.5 for value in probabilities(vad, recording("beckett", vad.sample_rate))]

    starts = sum(later and not earlier for earlier, later in pairwise([False, *speaking]))

    assert starts >= 4


def test_noise_is_not_speech(vad: Vad) -> None:
    noise = np.random.default_rng(1).normal(0, 1000, 16_000 * 2).astype("<i2").tobytes()

    assert np.mean(np.array(probabilities(vad, noise)[5:]) > 0.5) < 0.1


def test_a_batch_gives_what_each_stream_gives_alone_also_when_streams_come_and_go(vad: Vad) -> None:
    voice, novel = recording("beckett", 16_000), recording("two_cities", 16_000)
    sources = [frames_of(vad, (voice if index % 2 else novel)[index * 6400 :])[:40] for index in range(9)]
    streams = [vad.new_stream() for _ in sources]
    batched: list[list[float]] = [[] for _ in sources]

    for tick in range(40):
        present = [index for index in range(len(sources)) if (tick + index) % 3 or tick < 3]
        frames = [VadFrame(streams[index], sources[index][len(batched[index])]) for index in present]
        for index, value in zip(present, vad.infer(frames), strict=True):
            batched[index].append(value)

    for frames_alone, together in zip(sources, batched, strict=True):
        alone = probabilities(vad, b"".join(frames_alone))[: len(together)]
        assert np.allclose(alone, together, atol=1e-4)


def test_what_came_before_a_frame_matters(vad: Vad) -> None:
    pcm = recording("beckett", 16_000)

    in_context = probabilities(vad, pcm)
    fresh = [vad.infer([VadFrame(vad.new_stream(), frame)])[0] for frame in frames_of(vad, pcm)]

    assert np.max(np.abs(np.array(in_context) - np.array(fresh))) > 0.5


def test_a_stream_twice_in_a_batch_is_refused_and_left_as_it_was(vad: Vad) -> None:
    first, second = frames_of(vad, recording("beckett", 16_000))[30:32]
    stream, twin = vad.new_stream(), vad.new_stream()

    with pytest.raises(ValueError, match="twice"):
        vad.infer([VadFrame(stream, first), VadFrame(stream, second)])

    assert vad.infer([VadFrame(stream, first)]) == vad.infer([VadFrame(twin, first)])


@pytest.mark.parametrize("size", [0, 1022, 1023, 1026])
def test_a_frame_of_another_length_is_refused(vad: Vad, size: int) -> None:
    with pytest.raises(ValueError, match="512"):
        vad.infer([VadFrame(vad.new_stream(), bytes(size))])


def test_an_empty_batch_is_no_work(vad: Vad) -> None:
    assert vad.infer([]) == []
