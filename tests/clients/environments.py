"""Virtual environments of their own for the client libraries of others."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["INSTALL_PATIENCE", "inherited_variables", "interpreter_with"]

INSTALL_PATIENCE = 240  # seconds; pipecat brings a hundred megabytes, the other clients a few

# What a program inherits of this process's environment. Keys, proxies and base URLs stay behind.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")


def inherited_variables() -> dict[str, str]:
    """The environment variables for a program that shall meet nothing but its own settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def interpreter_with(requirements: Sequence[str], cache: Path) -> Path:
    """The Python of an environment with these requirements, made by uv below `cache` unless it is there.

    Requirements are as pip writes them, and come from the registry that uv is configured with. What is there
    is used again as it is: remove the folder to get newer versions. A failed installation fails the test,
    with uv's own words.
    """
    key = hashlib.sha256("\n".join([platform.python_version(), *sorted(requirements)]).encode())
    place = cache / key.hexdigest()[:16]
    if not place.exists():
        # Made elsewhere and then moved: one that was interrupted is never taken for a whole one, and
        # of two test runs that make the same one, the slower takes that of the faster.
        making = Path(tempfile.mkdtemp(dir=cache))
        try:
            _uv(
                "venv",
                "--relocatable",
                "--allow-existing",
                "--quiet",
                "--python",
                sys.executable,
                str(making),
            )
            _uv("pip", "install", "--python", str(making), *requirements)
            _move(making, place)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return place / "bin" / "python"


def _move(making: Path, place: Path) -> None:
    try:
        making.rename(place)
    except OSError:
        if not place.exists():
            raise


def _uv(*arguments: str) -> None:
    # Elsewhere than in this repository, whose own settings for uv mean its own packages.
    done = subprocess.run(
        [_find_uv(), *arguments],
        cwd=tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_PATIENCE,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"uv {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}", pytrace=False)


def _find_uv() -> str:
    # `uv run` names itself in UV.
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        pytest.fail("uv makes the environments of the clients, and is neither in UV nor on the PATH")
    return found
