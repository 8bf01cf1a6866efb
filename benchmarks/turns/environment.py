"""What comes from the package registry at run time: packages with recordings, Pipecat's environment."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["UnavailableError", "cache_folder", "interpreter_with", "unpacked"]

_PATIENCE = 300  # seconds for one installation or download
_LARGEST = 200 * 1024 * 1024  # bytes that a source distribution may unpack to


class UnavailableError(Exception):
    """A package cannot be had; the text says which, and why."""


def cache_folder() -> Path:
    """Where fetched packages and the models' answers are kept between runs; safe to delete."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "openparley" / "turns"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def unpacked(package: str, version: str, sha256: str) -> Path:
    """The folder of a source distribution, fetched with pip unless it is there.

    Raises `UnavailableError`, also where the file is not the one with that checksum.
    """
    place = cache_folder() / f"{package}-{version}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as temporary:
            making = Path(temporary)
            what = [f"--no-binary={package}", f"{package}=={version}", "--dest", str(making)]
            _uv("tool", "run", "--quiet", "pip", "download", "--quiet", "--no-deps", *what)
            (archive,) = making.glob("*.tar.gz")
            if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
                raise UnavailableError(f"{archive.name} has another checksum than expected")
            with tarfile.open(archive) as file:
                if sum(member.size for member in file) > _LARGEST:
                    raise UnavailableError(f"{archive.name} is too large")
                file.extractall(making / "all", filter="data")
            (folder,) = (making / "all").iterdir()
            _move(folder, place)
    return place


def interpreter_with(requirements: Sequence[str]) -> Path:
    """The Python of an environment with these requirements, made by uv unless it is there.

    Raises `UnavailableError`.
    """
    key = hashlib.sha256("\n".join([platform.python_version(), *sorted(requirements)]).encode())
    place = cache_folder() / f"python-{key.hexdigest()[:12]}"
    if not place.exists():
        making = Path(tempfile.mkdtemp(dir=cache_folder()))
        try:
            made = [str(making), "--relocatable", "--allow-existing"]
            _uv("venv", "--quiet", "--python", sys.executable, *made)
            _uv("pip", "install", "--quiet", "--python", str(making), *requirements)
            _move(making, place)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return place / "bin" / "python"


def _move(making: Path, place: Path) -> None:
    try:
        making.rename(place)
    except OSError:
        if not place.exists():  # else another run was faster
            raise


def _uv(*arguments: str) -> None:
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        raise UnavailableError("uv is neither in UV nor on the PATH")
    try:
        # Elsewhere than in this repository, whose own settings for uv mean its own packages.
        done = subprocess.run(
            [found, *arguments],
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"uv {' '.join(arguments[:2])} took over {_PATIENCE} s") from None
    if done.returncode:
        raise UnavailableError(f"uv {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
