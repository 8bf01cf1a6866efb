"""The voice activity detector against real speech, silence and noise, alone and batched."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.contracts import Vad, VadFrame
from providers.errors import ProviderError
from providers.onnx import open_model
from providers.vad.silero import MODEL_FILE, SileroVad
from providers.vad.silero_graph import build
from providers.weights import wheel_file
from tests.chance import examples
from tests.speech import recording, silence


@pytest.fixture(scope="module")
def vad() -> Vad:
    return SileroVad()


def frames_of(vad: Vad, pcm: bytes) -> list[bytes]:
    size = 2 * vad.frame_samples
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def as_published(pcm: bytes) -> list[float]:
    """What the wheel's own file says of audio at 16 kHz, a frame at a time and one stream by itself."""
    model = open_model(wheel_file("silero_vad", MODEL_FILE))
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    values = []
    for start in range(0, len(samples) - 511, 512):
        heard = np.concatenate([context, samples[start : start + 512]])
        inputs = {"input": heard[None], "state": state, "sr": np.array(16_000)}
        output, state = model.run(None, inputs)
        context = heard[-64:]
        values.append(float(output[0, 0]))
    return values


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


@pytest.mark.parametrize("name", ["two_cities", "beckett", "endgame_nagg_nell"])
def test_the_rearranged_network_answers_as_the_published_one(vad: Vad, name: str) -> None:
    speech = recording(name, 16_000)

    assert np.allclose(probabilities(vad, speech), as_published(speech), rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0, 1, -1, 32_767, -32_768])
def test_the_two_networks_agree_at_the_limits_of_samples(vad: Vad, value: int) -> None:
    steady = np.full(4_096, value, "<i2").tobytes()
    square = np.tile(np.array([value, -value - 1] * 16).repeat(8), 32).astype("<i2").tobytes()
    noise = np.random.default_rng(1).integers(-32_768, 32_768, 8_192).astype("<i2").tobytes()

    for pcm in (steady, square, noise):
        assert np.allclose(probabilities(vad, pcm), as_published(pcm), rtol=0, atol=1e-5)


SOURCES = tuple(
    recording(name, 16_000)[start : start + 1024 * 24]
    for name in ("two_cities", "beckett", "endgame_nagg_nell")
    for start in range(0, 1024 * 24 * 8, 1024 * 24)
)


@pytest.fixture(scope="module")
def published() -> list[list[float]]:
    return [as_published(source) for source in SOURCES]


@examples(25)
@given(
    chosen=st.lists(st.integers(0, len(SOURCES) - 1), min_size=1, max_size=40),
    seed=st.integers(0, 2**32),
)
def test_any_batch_gives_what_the_published_network_gives_one_stream(
    vad: Vad, published: list[list[float]], chosen: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    left = {number: (vad.new_stream(), frames_of(vad, SOURCES[which])) for number, which in enumerate(chosen)}
    heard: dict[int, list[float]] = {number: [] for number in left}
    while left:
        present = chance.sample(sorted(left), chance.randint(1, len(left)))  # in any order, too
        frames = [VadFrame(left[number][0], left[number][1].pop(0)) for number in present]
        for number, value in zip(present, vad.infer(frames), strict=True):
            heard[number].append(value)
        left = {number: rest for number, rest in left.items() if rest[1]}

    for number, which in enumerate(chosen):
        assert np.allclose(heard[number], published[which], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 0.3, 0.999])
def test_a_file_with_another_network_is_refused(
    kept: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = wheel_file("silero_vad", MODEL_FILE).read_bytes()
    damaged = tmp_path / "silero_vad.onnx"
    damaged.write_bytes(whole[: int(len(whole) * kept)])
    monkeypatch.setattr("providers.vad.silero.wheel_file", lambda package, path: damaged)

    with pytest.raises(ProviderError, match=r"cannot be loaded as Silero VAD 6"):
        SileroVad()


def test_weights_of_another_shape_are_named() -> None:
    whole = wheel_file("silero_vad", MODEL_FILE).read_bytes()

    with pytest.raises(ValueError, match=r"'encoder\.1\.reparam_conv\.bias' is missing"):
        build(whole.replace(b"encoder.1.reparam_conv.bias", b"encoder.1.reparam_conv.tune"))


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
