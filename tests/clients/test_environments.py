"""Environments are whole or not there at all, and what cannot be installed fails the test."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.clients.environments import inherited_variables, interpreter_with


def test_what_cannot_be_installed_fails_with_the_words_of_the_installer(tmp_path: Path) -> None:
    missing = tmp_path / "missing-1.0-py3-none-any.whl"

    with pytest.raises(pytest.fail.Exception, match=r"uv pip install .*\n[\s\S]*missing-1\.0"):
        interpreter_with([str(missing)], tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_is_there_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "print('here')")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    cache = tmp_path / "cache"
    cache.mkdir()

    python = interpreter_with([str(wheel)], cache)
    monkeypatch.setenv("UV", str(tmp_path / "no-uv"))
    again = interpreter_with([str(wheel)], cache)

    assert again == python
    assert [place.name for place in cache.iterdir()] == [python.parent.parent.name]
    assert subprocess.check_output([python, "-c", "import tiny"], text=True) == "here\n"


def test_programs_inherit_no_settings_of_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    variables = inherited_variables()

    assert "PATH" in variables
    assert "OPENAI_BASE_URL" not in variables
    assert "HTTPS_PROXY" not in variables
