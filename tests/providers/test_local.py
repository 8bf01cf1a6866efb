"""The local provider: what it lists, when it loads, what it says when weights are missing, how it ends."""

import asyncio
import importlib.util
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from providers.contracts import TtsOptions
from providers.errors import ProviderError, UnknownModelError
from providers.local import LocalProvider
from providers.provider import ProviderSettings
from providers.turn.smart_turn import find_model
from providers.weights import wheel_file
from providers.weights_catalog import CATALOG


@pytest.fixture
def local() -> LocalProvider:
    return LocalProvider(ProviderSettings("local"))


def test_it_lists_what_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "moonshine-base-en"
    folder.mkdir()
    for file in CATALOG["moonshine-base-en"].weights.files:
        (folder / Path(file.partition("|")[0]).name).write_bytes(b"weights")

    bare = LocalProvider(ProviderSettings("local"))
    filled = LocalProvider(ProviderSettings("local", {"models": tmp_path}))

    bundled = ["silero-vad", "smart-turn-v3", "moonshine-tiny-en", "espeak"]
    assert [model.id for model in bare.models()] == bundled
    assert [model.id for model in filled.models()] == [*bundled, "moonshine-base-en"]


def test_it_knows_its_models(local: LocalProvider) -> None:
    assert {(model.id, model.kind) for model in local.known_models()} >= {
        ("silero-vad", "vad"),
        ("smart-turn-v3", "turn"),
        ("moonshine-tiny-en", "stt"),
        ("moonshine-base-en", "stt"),
        ("whisper-tiny", "stt"),
        ("whisper-large-v3-turbo", "stt"),
        ("whisper-distil-large-v3", "stt"),
        ("espeak", "tts"),
        ("kokoro", "tts"),
        ("piper-en_US-lessac-medium", "tts"),
    }


async def test_every_listed_model_can_be_had_and_is_the_same_for_everybody(local: LocalProvider) -> None:
    asked = [local.vad, local.turn, local.stt, local.tts]
    names = ["silero-vad", "smart-turn-v3", "moonshine-tiny-en", "espeak"]

    for engine, name in zip(asked, names, strict=True):
        many = await asyncio.gather(*(asyncio.to_thread(engine, name) for _ in range(4)))
        assert all(one is many[0] for one in many)
    await local.aclose()


def test_an_unknown_model_is_named_together_with_the_known_ones(local: LocalProvider) -> None:
    with pytest.raises(UnknownModelError, match=r"'whisper'.*moonshine-tiny-en.*whisper-small"):
        local.stt("whisper")
    with pytest.raises(UnknownModelError, match="no language models"):
        local.llm("espeak")
    with pytest.raises(UnknownModelError):
        local.vad("espeak")


async def test_closing_ends_its_threads(local: LocalProvider) -> None:
    before = set(threading.enumerate())
    tts = local.tts("espeak")

    async def text() -> AsyncIterator[str]:
        yield "Hello."

    async for _ in tts.speak(text(), TtsOptions("en-us")):
        pass
    assert any(thread.name.startswith("espeak") for thread in set(threading.enumerate()) - before)
    await local.aclose()

    assert not any(thread.name.startswith("espeak") for thread in set(threading.enumerate()) - before)


@pytest.mark.parametrize(
    ("package", "kind", "name"),
    [
        ("silero_vad", "vad", "silero-vad"),
        ("pipecat_ai", "turn", "smart-turn-v3"),
        ("moonshine_voice", "stt", "moonshine-tiny-en"),
        ("espeakng_loader", "tts", "espeak"),
    ],
)
def test_missing_weights_are_reported_with_the_way_out(
    local: LocalProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, kind: str, name: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("providers.tts.espeak_library._opened", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ProviderError, match=f"'{package.replace('_', '-')}' is not installed.*uv sync"):
        getattr(local, kind)(name)


def test_a_file_that_a_wheel_lacks_is_named() -> None:
    with pytest.raises(ProviderError, match=r"'silero-vad' does not contain data/none\.onnx"):
        wheel_file("silero_vad", "data/none.onnx")


@pytest.fixture
def broken_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "silero_vad" / "data").mkdir(parents=True)
    (tmp_path / "silero_vad" / "data" / "silero_vad.onnx").write_bytes(b"half a download")
    (tmp_path / "silero_vad" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield
    importlib.invalidate_caches()


@pytest.mark.usefixtures("broken_wheel")
def test_a_broken_file_is_a_provider_error(local: LocalProvider) -> None:
    with pytest.raises(ProviderError, match=r"silero_vad\.onnx cannot be loaded"):
        local.vad("silero-vad")


def test_loading_everything_prints_nothing_and_imports_no_carrier_of_weights() -> None:
    program = (
        "import sys\n"
        "from providers.local import LocalProvider\n"
        "from providers.provider import ProviderSettings\n"
        "local = LocalProvider(ProviderSettings('local'))\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "local.vad('silero-vad'), local.turn('smart-turn-v3')\n"
        "local.stt('moonshine-tiny-en'), local.tts('espeak')\n"
        "carriers = {'silero_vad', 'pipecat', 'moonshine_voice', 'espeakng_loader', 'torch'}\n"
        "unwanted = carriers & set(sys.modules)\n"
        "assert not unwanted, unwanted\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_option_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'local': unknown option 'smart_turns'; did you mean 'smart_turn'"):
        LocalProvider(ProviderSettings("local", {"smart_turns": "/tmp"}))


def test_the_weights_of_smart_turn_may_be_a_file_of_the_user(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    provider = LocalProvider(ProviderSettings("local", {"smart_turn": str(own)}))
    with pytest.raises(ProviderError, match=r"own\.onnx"):
        provider.turn("smart-turn-v3")
    with pytest.raises(ProviderError, match=r"own\.onnx"):
        provider.weights("smart-turn-v3")

    own.symlink_to(find_model())

    assert provider.weights("smart-turn-v3") == own
    assert provider.turn("smart-turn-v3").sample_rate == 16_000


def test_what_can_be_downloaded_is_known_with_where_it_is(
    local: LocalProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert next(iter(local.downloads())) == "smart-turn-v3"
    assert local.weights("smart-turn-v3") == find_model()

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert local.weights("smart-turn-v3") is None
    with pytest.raises(UnknownModelError, match=r"downloads no 'espeak'.*smart-turn-v3"):
        local.weights("espeak")


def test_weights_are_not_asked_for_at_what_is_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    provider = LocalProvider(ProviderSettings("local", {"hub": "file:///etc"}))

    with pytest.raises(ProviderError, match="address of the model hub"):
        provider.fetch("smart-turn-v3", lambda done, total: None)
