"""The judge of turns against recordings of people, whole and cut off; its features against slow formulas."""

import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from providers.contracts import TurnModel
from providers.downloads import HubFile, fetch
from providers.errors import ProviderError
from providers.turn.log_mel import BANDS, HOP, log_mel
from providers.turn.smart_turn import HUB_FILE, SmartTurn, find_model
from providers.weights import wheel_file
from tests.speech import recording, silence

RATE = 16_000
MISSING = "parley download smart-turn-v3"


@pytest.fixture(scope="module")
def judge() -> SmartTurn:
    return SmartTurn()


def spoken(begin: float, end: float, name: str = "two_cities") -> bytes:
    """That part of a recording, in seconds, and the pause behind it after which turns are first judged."""
    pcm = recording(name, RATE)
    return pcm[2 * int(begin * RATE) : 2 * int(end * RATE)] + silence(200, RATE)


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        (1.1, 4.7, "It was the best of times, it was the worst of times."),
        (10.6, 12.9, "It was the epoch of incredulity."),
        (4.9, 8.35, "It was the age of wisdom, it was the age of foolishness."),
        (24.5, 28.4, "We were all going direct to heaven, we were all going direct the other way."),
        (26.4, 28.4, "We were all going direct the other way."),
        (29.0, 41.75, "In short, the period was so far ... in the superlative degree of comparison only."),
    ],
)
def test_a_finished_sentence_sounds_finished(judge: SmartTurn, begin: float, end: float, words: str) -> None:
    assert judge.probability(spoken(begin, end)) > 0.7, words


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        (1.1, 3.28, "It was the best of times, it was"),
        (1.1, 3.75, "It was the best of times, it was the"),
        (21.1, 22.64, "We had everything before us, we"),
        (21.1, 22.93, "We had everything before us, we had"),
        (29.0, 32.88, "In short, the period was so far like the present period that"),
        (29.0, 33.27, "... the present period that some of its"),
        (29.0, 37.37, "... that some of its noisiest authorities insisted on its being received for"),
        (29.0, 38.95, "... for good or for evil in"),
    ],
)
def test_a_sentence_that_is_cut_off_does_not(judge: SmartTurn, begin: float, end: float, words: str) -> None:
    assert judge.probability(spoken(begin, end)) < 0.3, words


def test_only_the_last_eight_seconds_are_heard(judge: SmartTurn) -> None:
    sentence = recording("two_cities", RATE)[2 * 30 * RATE : 2 * 42 * RATE]
    window = int(judge.window_seconds * RATE)

    assert judge.probability(sentence) == judge.probability(sentence[-2 * window :])
    assert judge.probability(sentence) != judge.probability(sentence[-window:])


def test_what_is_shorter_is_heard_behind_silence(judge: SmartTurn) -> None:
    sentence = spoken(26.4, 28.4)

    assert judge.probability(silence(1500, RATE) + sentence) == judge.probability(sentence)
    assert judge.probability(sentence + silence(1500, RATE)) != judge.probability(sentence)


def test_how_loud_somebody_speaks_matters_little(judge: SmartTurn) -> None:
    loud = np.frombuffer(spoken(21.1, 22.93), "<i2")
    soft = np.rint(loud / 8).astype("<i2").tobytes()

    assert judge.probability(soft) == pytest.approx(judge.probability(loud.tobytes()), abs=0.05)


def test_the_same_audio_is_judged_alike_by_all_threads(judge: SmartTurn) -> None:
    pieces = [spoken(26.4, 28.4), spoken(21.1, 22.93), spoken(1.1, 4.7)]
    alone = [judge.probability(piece) for piece in pieces]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(judge.probability, pieces * 3)) == alone * 3


@pytest.mark.parametrize("pcm", [b"", silence(200, RATE), silence(9000, RATE)], ids=["no", "short", "long"])
def test_silence_is_judged_too(judge: SmartTurn, pcm: bytes) -> None:
    assert 0.0 <= judge.probability(pcm) <= 1.0


def test_it_keeps_to_its_contract(judge: SmartTurn) -> None:
    model: TurnModel = judge

    assert (model.sample_rate, model.window_seconds) == (RATE, 8.0)


# --- Where its weights come from ---------------------------------------------------------------------


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation without the wheel that carries the weights, and an empty cache folder."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "openparley"


def test_the_wheel_has_the_very_file_that_is_downloaded_elsewhere(tmp_path: Path) -> None:
    bundled = find_model()
    assert bundled.stat().st_size == HUB_FILE.size

    # Nothing is asked for: a file with the right checksum is at its place already.
    HUB_FILE.place(tmp_path).parent.mkdir(parents=True)
    HUB_FILE.place(tmp_path).symlink_to(bundled)
    assert fetch(HUB_FILE, folder=tmp_path, environ={"HF_HUB_OFFLINE": "1"}).samefile(bundled)


def test_a_configured_file_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.symlink_to(find_model())

    assert find_model(own) == own
    assert SmartTurn(own).probability(spoken(26.4, 28.4)) > 0.7


def test_a_configured_file_that_is_missing_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"no file .*own\.onnx, which the option smart_turn names"):
        SmartTurn(tmp_path / "own.onnx")


def test_a_home_folder_may_be_named_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.onnx").touch()

    assert find_model(Path("~/own.onnx")) == tmp_path / "own.onnx"


def test_a_downloaded_file_serves_where_there_is_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = find_model()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = HUB_FILE.place(tmp_path / "openparley")
    place.parent.mkdir(parents=True)
    place.symlink_to(bundled)

    assert find_model() == place


def test_without_any_file_it_says_how_to_get_one(without_wheel: Path) -> None:
    with pytest.raises(ProviderError, match=MISSING) as caught:
        SmartTurn()

    assert "'pipecat-ai' is not installed" in str(caught.value)
    assert str(HUB_FILE.place(without_wheel)) in str(caught.value)


def test_half_a_file_is_no_file(without_wheel: Path) -> None:
    place = HUB_FILE.place(without_wheel)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half a download")

    with pytest.raises(ProviderError, match=MISSING):
        find_model()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "own.onnx"
    broken.write_bytes(b"half a download")

    with pytest.raises(ProviderError, match=r"own\.onnx cannot be loaded"):
        SmartTurn(broken)


def test_another_model_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"silero_vad\.onnx is no Smart Turn v3 model"):
        SmartTurn(wheel_file("silero_vad", "data/silero_vad.onnx"))


def test_a_failure_of_the_model_is_a_provider_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = SmartTurn()
    monkeypatch.setattr("providers.turn.smart_turn.log_mel", lambda samples: np.zeros((3, 3), np.float32))

    with pytest.raises(ProviderError, match="Smart Turn failed"):
        judge.probability(b"")


def test_the_file_on_the_hub_is_named_as_hubs_name_files() -> None:
    assert isinstance(HUB_FILE, HubFile)
    assert HUB_FILE.url("https://hub.example") == (
        "https://hub.example/pipecat-ai/smart-turn-v3/resolve/main/smart-turn-v3.2-cpu.onnx"
    )


def test_loading_it_prints_nothing_and_does_not_import_the_wheel() -> None:
    program = (
        "import sys\n"
        "from providers.turn.smart_turn import SmartTurn\n"
        "SmartTurn().probability(bytes(32000))\n"
        "unwanted = {'pipecat', 'torch', 'transformers'} & set(sys.modules)\n"
        "assert not unwanted, unwanted\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- Features ----------------------------------------------------------------------------------------


def slow_log_mel(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same by definition: sums of products in double precision, one frame and one band at a time."""

    def mel(hertz: float) -> float:
        return 0.015 * hertz if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)

    def hertz(mel: float) -> float:
        return mel / 0.015 if mel < 15 else float(1000 * 6.4 ** ((mel - 15) / 27))

    inner = samples.astype(np.float64)
    padded = np.concatenate([inner[200:0:-1], inner, inner[-2:-202:-1]])
    times = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * times / 400)
    borders = [hertz(mel(8000) * number / 81) for number in range(82)]
    bins = [40.0 * number for number in range(201)]
    waves = [np.exp(-2j * np.pi * number * times / 400) for number in range(201)]
    result = np.empty((80, len(samples) // 160))
    for column in range(result.shape[1]):
        frame = padded[160 * column : 160 * column + 400] * window
        power = [abs(complex(frame @ wave)) ** 2 for wave in waves]
        for band in range(80):
            low, middle, high = borders[band : band + 3]
            total = 0.0
            for at, value in zip(bins, power, strict=True):
                if low < at <= middle:
                    total += value * (at - low) / (middle - low) * 2 / (high - low)
                elif middle < at < high:
                    total += value * (high - at) / (high - middle) * 2 / (high - low)
            result[band, column] = math.log10(max(total, 1e-10))
    features: NDArray[np.float64] = (np.maximum(result, result.max() - 8) + 4) / 4
    return features


def tone(hertz: float, seconds: float = 0.5) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def noise(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 0.1, count).astype(np.float32)


def speech(count: int) -> NDArray[np.float32]:
    pcm = np.frombuffer(recording("two_cities", RATE), "<i2")
    return (pcm[40_000 : 40_000 + count] / np.float32(32768)).astype(np.float32)


@pytest.mark.parametrize("make", [noise, speech, lambda count: np.zeros(count, np.float32)])
@pytest.mark.parametrize("count", [1600, 2079])
def test_features_equal_their_definition(make: Callable[[int], NDArray[np.float32]], count: int) -> None:
    samples = make(count)

    features = log_mel(samples)

    assert features.dtype == np.float32
    assert features.shape == (BANDS, count // HOP)
    assert np.max(np.abs(features - slow_log_mel(samples))) < 1e-5


def test_eight_seconds_are_what_the_model_takes() -> None:
    assert log_mel(noise(8 * RATE)).shape == (80, 800)


@pytest.mark.parametrize("hertz", [200.0, 440.0, 1000.0, 2500.0, 6000.0])
def test_a_tone_is_loudest_in_the_band_around_it(hertz: float) -> None:
    mels = 0.015 * hertz if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)
    step = (15 + 27 * math.log(8, 6.4)) / 81

    loudest = np.argmax(log_mel(tone(hertz))[:, 20])

    assert abs((loudest + 1) * step - mels) <= step


def test_ten_times_as_loud_is_half_a_step_up() -> None:
    samples = noise(4000)

    assert np.allclose(log_mel(10 * samples), log_mel(samples) + 0.5, atol=1e-5)


def test_what_is_far_below_the_loudest_is_raised() -> None:
    features = log_mel(np.concatenate([tone(440), np.zeros(8000, np.float32)]))

    assert features.max() - features.min() == pytest.approx(2.0, abs=1e-6)


def test_a_hop_later_is_a_column_later() -> None:
    samples = noise(8000)

    now, later = log_mel(samples), log_mel(samples[HOP:])

    assert np.array_equal(now[:, 3:-3], later[:, 2:-3])
