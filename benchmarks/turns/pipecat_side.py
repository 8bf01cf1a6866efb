"""Pipecat's turn taking on the same clips: starts its program in an environment of its own."""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.turns.corpus import Clip
from benchmarks.turns.engine_ride import Heard
from benchmarks.turns.environment import UnavailableError, interpreter_with
from benchmarks.turns.models import JUDGE_MS, VAD_MS

__all__ = ["REQUIREMENTS", "listen"]

REQUIREMENTS = ("pipecat-ai==1.14.0",)
_PROGRAM = Path(__file__).with_name("pipecat_program.py")


def listen(clips: Sequence[Clip], memory: Path, progress: Callable[[], None]) -> dict[str, Heard]:
    """What Pipecat makes of each clip, by name; remembered in `memory`. Raises `UnavailableError`.

    `progress` is called for each clip that was played.
    """
    program = hashlib.blake2b(
        _PROGRAM.read_bytes() + f"{VAD_MS} {JUDGE_MS}".encode(), digest_size=8
    ).hexdigest()
    known = json.loads(memory.read_text()) if memory.exists() else {}
    keys = {clip.name: f"{program} {hashlib.blake2b(clip.pcm, digest_size=12).hexdigest()}" for clip in clips}
    missing = [clip for clip in clips if keys[clip.name] not in known]
    if missing:
        answers = _run(missing, progress)
        known.update({keys[name]: answer for name, answer in answers.items()})
        memory.write_text(json.dumps(known))
    return {name: Heard(known[key]["starts"], known[key]["ends"]) for name, key in keys.items()}


def _run(clips: Sequence[Clip], progress: Callable[[], None]) -> dict[str, dict[str, list[float]]]:
    python = interpreter_with(REQUIREMENTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jobs = []
        for index, clip in enumerate(clips):
            (folder / f"{index}.pcm").write_bytes(clip.pcm)
            stop_after = clip.end if clip.is_speech else None
            job = {"name": clip.name, "file": f"{index}.pcm", "stop_after": stop_after}
            jobs.append(job | {"vad_ms": VAD_MS, "judge_ms": JUDGE_MS})
        (folder / "jobs.json").write_text(json.dumps(jobs))
        running = subprocess.Popen(
            [str(python), str(_PROGRAM), str(folder)],
            stdout=subprocess.PIPE,
            stderr=(folder / "errors").open("w"),
            env={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ},
            text=True,
        )
        with running:
            for _ in running.stdout or ():
                progress()
        if running.returncode:
            raise UnavailableError(f"Pipecat's program failed:\n{(folder / 'errors').read_text()[-2000:]}")
        answers: dict[str, dict[str, list[float]]] = json.loads((folder / "answers.json").read_text())
        return answers
