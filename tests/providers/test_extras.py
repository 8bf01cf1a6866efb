"""The engines that need packages which not every installation has: what is said without, how they do with.

Where this environment has no such packages, their tests run in one that uv makes for them.
"""

import json
import os
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from providers.contracts import ModelInfo, SttOptions, TranscriptFinal
from providers.errors import ProviderError, UnknownModelError
from providers.local import LocalProvider
from providers.provider import ProviderSettings
from providers.stt.moonshine import MoonshineStt
from providers.stt.moonshine_model import read_tokens, read_vocabulary
from providers.weights import wheel_file
from providers.weights_catalog import CATALOG
from tests.clients.environments import INSTALL_PATIENCE, inherited_variables, interpreter_with
from tests.speech import recording

ROOT = Path(__file__).parents[2]
EXTRAS = {"whisper": "faster_whisper", "kokoro": "kokoro_onnx", "piper": "piper"}
# What the engines and their tests import, without the rest of the server. Wheels that only carry weights
# would bring gigabytes of dependencies; the recording that the tests want is found in this environment's.
NEEDED = ("aiohttp", "av", "espeakng-loader", "filelock", "onnx", "platformdirs", "pydantic")
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout")
PATIENCE = 200  # seconds; they take some ten


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that has downloaded nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def packages(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where environments are kept between runs, unless pytest is told to remember nothing."""
    remembers = pytestconfig.pluginmanager.has_plugin("cacheprovider")
    return pytestconfig.cache.mkdir("environments") if remembers else tmp_path_factory.mktemp("environments")


def provider(**options: Any) -> LocalProvider:
    return LocalProvider(ProviderSettings("local", options))


def load(local: LocalProvider, info: ModelInfo) -> Any:
    return local.stt(info.id) if info.kind == "stt" else local.tts(info.id)


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("model", list(CATALOG))
def test_what_is_missing_is_named_with_the_command_that_brings_it(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = CATALOG[model]
    local = provider()
    if entry.extra:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        expected = (
            rf"local/{model} needs .*uv sync --extra {entry.extra}.*pip install 'openparley\[{entry.extra}\]'"
        )
        with pytest.raises(ProviderError, match=expected):
            load(local, entry.info)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ProviderError, match=f"`parley download local/{model}` fetches them .* MB"):
        load(local, entry.info)


@pytest.mark.usefixtures("empty")
def test_names_that_nobody_has_are_no_models() -> None:
    for model in ("whisper-enormous", "piper-../../etc", "kokoro-x", "moonshine-huge"):
        with pytest.raises(UnknownModelError, match="it has "):
            provider().stt(model)
        with pytest.raises(UnknownModelError, match="it has "):
            provider().tts(model)


def test_every_extra_of_the_catalogue_is_one_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert {entry.extra: entry.module for entry in CATALOG.values() if entry.extra} == EXTRAS
    assert EXTRAS.keys() <= extras.keys()


def test_weights_that_are_there_but_broken_are_named(empty: Path) -> None:
    if find_spec("faster_whisper") is not None:
        pytest.skip("the extra 'whisper' is installed")
    for name in ("config.json", "tokenizer.json", "vocabulary.json", "model.bin"):
        (empty / "whisper-tiny").mkdir(exist_ok=True)
        (empty / "whisper-tiny" / name).write_bytes(b"x")
    local = provider(models=str(empty))

    assert local.weights("whisper-tiny") == empty / "whisper-tiny"
    assert local.weights("whisper-base") is None
    with pytest.raises(ProviderError, match="uv sync --extra whisper"):
        local.stt("whisper-tiny")


async def test_a_larger_moonshine_runs_from_a_folder(empty: Path) -> None:
    # The files of the wheel with a vocabulary in the other format: the same kind of model.
    for name in ("encoder_model.ort", "decoder_model_merged.ort"):
        (empty / name).symlink_to(wheel_file("moonshine_voice", f"assets/tiny-en/{name}"))
    _write_tokenizer(empty / "tokenizer.json")
    larger, usual = MoonshineStt(folder=empty, name="local/moonshine-base-en"), MoonshineStt()

    assert await _words(larger) == await _words(usual) != ""

    await larger.aclose()
    await usual.aclose()


@pytest.mark.parametrize(
    "content", [b"{}", b"[", b'{"model": {"vocab": {"a": "b"}}}', b'{"model": {"vocab": {}}}']
)
def test_a_vocabulary_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)

    with pytest.raises(ProviderError, match=r"tokenizer\.json cannot be read"):
        read_vocabulary(tmp_path / "tokenizer.json")


def test_a_moonshine_without_its_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="has no file encoder_model"):
        MoonshineStt(folder=tmp_path)


@pytest.mark.clients  # it wants a package registry, as theirs do
@pytest.mark.timeout(2 * INSTALL_PATIENCE + PATIENCE)
def test_the_engines_work_where_their_packages_are(packages: Path, tmp_path: Path) -> None:
    if all(find_spec(module) is not None for module in (*EXTRAS.values(), "onnx")):
        pytest.skip("they are installed here, so their tests run here")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [requirement for extra in EXTRAS for requirement in declared[extra]]
    python = interpreter_with([*wanted, *NEEDED, *TOOLS], packages)
    carrier = tmp_path / "carrier"
    carrier.mkdir()
    (carrier / "moonshine_voice").symlink_to(wheel_file("moonshine_voice", "assets").parent)

    done = subprocess.run(
        [
            str(python), "-m", "pytest", "-q", "-rs", "--noconftest", "-p", "no:cacheprovider",
            "-o", "addopts=",  # that environment has no workers
            f"--basetemp={tmp_path / 'base'}",
            *(f"tests/providers/test_{extra}.py" for extra in EXTRAS),
        ],
        cwd=ROOT,
        env={
            **inherited_variables(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{carrier}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout


def _write_tokenizer(path: Path) -> None:
    """The vocabulary of the wheel in the other format."""
    tokens = read_tokens(wheel_file("moonshine_voice", "assets/tiny-en/tokenizer.bin"))
    vocabulary = {}
    for number, token in enumerate(tokens):
        try:
            vocabulary[token.decode()] = number
        except UnicodeDecodeError:
            vocabulary[f"<0x{token.hex().upper()}>"] = number
    added = [{"id": 1, "content": "<s>", "special": True}]
    path.write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added}))


async def _words(stt: Any) -> str:
    async def audio() -> Any:
        yield recording("beckett", 16_000)

    events = [event async for event in stt.transcribe(audio(), SttOptions())]
    assert isinstance(events[-1], TranscriptFinal)
    return events[-1].text
