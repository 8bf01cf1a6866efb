"""Reads docker/Dockerfile and follows its build on this machine, under other paths and without an engine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ROOT", "Instruction", "Stage", "build", "dockerignore_allows", "stages"]

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str  # in capitals, such as "RUN"
    value: str  # the rest, its continued lines joined

    def words(self) -> list[str]:
        """The members of the JSON form, else the words as a shell splits them."""
        return json.loads(self.value) if self.value.startswith("[") else shlex.split(self.value)


@dataclass(frozen=True, slots=True)
class Stage:
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        return self.all(name)[-1]

    def environment(self) -> dict[str, str]:
        pairs = (pair for instruction in self.all("ENV") for pair in instruction.words())
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in order."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, value = line.partition(" ")
        if name == "FROM":
            found.append(Stage(value.split()[0]))
        else:
            found[-1].instructions.append(Instruction(name, value.strip()))
    return found


def dockerignore_allows(path: str) -> bool:
    """Whether .dockerignore, written as "nothing but", lets a top-level path into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "a list of exceptions from everything is what this reads"
    return f"!{path}" in rules


def build(stage: Stage, source: Path, paths: Mapping[str, Path], python: str) -> None:
    """Follow the COPY and RUN lines of a build stage: in `source`, with `paths` in place of the image's.

    `python` stands for the image's interpreter, and uv for its pip: the same options, from a warm cache.
    Copying takes what the context has and .dockerignore lets through, so that a file which the Dockerfile
    forgets is missing here as well.
    """
    for instruction in stage.instructions:
        if instruction.name == "COPY":
            *names, _ = instruction.words()
            for name in names:
                assert dockerignore_allows(name), f"{name} is copied but not in .dockerignore"
                _copy(ROOT / name, source / name)
        elif instruction.name == "RUN":
            command = instruction.value
            for image_path, path in paths.items():
                command = command.replace(image_path, str(path))
            _run(_on_this_machine(command, python), source)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _on_this_machine(command: str, python: str) -> Sequence[str]:
    words = shlex.split(command)
    if words[0] == "python":
        return [python, *words[1:]]
    if words[0] == "pip":
        uv = os.environ.get("UV") or shutil.which("uv") or "uv"
        # Without its cache, pip's way in an image, every test run would fetch everything anew.
        rest = [word for word in words if word != "--no-cache-dir"]
        at = rest.index("install")
        return [uv, "pip", "install", "--quiet", *rest[1:at], *rest[at + 1 :]]
    return ["sh", "-euc", command]


def _run(command: Sequence[str], folder: Path) -> None:
    # Without the variables of the surrounding environment, in which uv runs the tests.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"


def base_interpreter() -> str:
    """The interpreter below this virtual environment, as a fresh machine would have it."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
