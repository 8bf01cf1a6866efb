"""The image, as closely as a machine without a Docker engine allows: its build followed, its server used."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from websockets.sync.client import connect

from providers.turn.smart_turn import MODEL_FILE
from tests.dockerfile import ROOT, Stage, base_interpreter, build, stages

KEY = "key-of-this-test"
NOBODY = 65534

# Runs in the server's interpreter before anything else: tells of every address that is not this machine.
WATCH = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        address = arguments[1] if event == "socket.connect" else arguments
        host = address[0] if isinstance(address, tuple) else address
        if host not in ("127.0.0.1", "::1", "localhost", None):
            print("REACHED FOR", host, file=sys.stderr, flush=True)

sys.addaudithook(watch)
print("WATCHING", file=sys.stderr, flush=True)
"""


@dataclass(frozen=True)
class Image:
    """What the build left behind, and the way into it."""

    final: Stage
    environment: Path  # stands for /opt/parley
    empty: Path  # home, working directory and place for temporary files, all of them without a file
    watch: Path
    user: int | None

    def variables(self, **more: str) -> dict[str, str]:
        """The container's variables, and proxies at which nobody answers."""
        nowhere = "http://127.0.0.1:9"
        own = {
            name: value.replace("/opt/parley", str(self.environment)).replace("$PATH", "/usr/bin:/bin")
            for name, value in self.final.environment().items()
        }
        proxies = {f"{kind}_proxy": nowhere for kind in ("http", "https", "all", "HTTP", "HTTPS", "ALL")}
        places = {"HOME": str(self.empty), "TMPDIR": str(self.empty), "PYTHONPATH": str(self.watch)}
        return {**proxies, **places, **own, **more}

    def command(self) -> list[str]:
        """What the container runs, with its program's full path."""
        program, *rest = [*self.final.last("ENTRYPOINT").words(), *self.final.last("CMD").words()]
        return [str(self.environment / "bin" / program), *rest]

    def healthy(self, port: int) -> bool:
        """Whether the HEALTHCHECK command ends well."""
        _, _, command = self.final.last("HEALTHCHECK").value.partition("CMD ")
        program, *rest = json.loads(command)
        done = subprocess.run(
            [str(self.environment / "bin" / program), *rest],
            env=self.variables(PARLEY_SERVER__PORT=str(port)),
            cwd=self.empty,
            user=self.user,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.returncode == 0


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image's files, built once as the Dockerfile says."""
    with tempfile.TemporaryDirectory(prefix="parley-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # so that another user can run what is in it
        source, environment, empty, watch = (folder / part for part in ("src", "parley", "empty", "watch"))
        source.mkdir()
        empty.mkdir()
        watch.mkdir()
        (watch / "sitecustomize.py").write_text(WATCH)
        building, final = stages((ROOT / "docker" / "Dockerfile").read_text())
        python, user = _interpreter()
        build(building, source, {"/opt/parley": environment}, python)
        shutil.rmtree(source)  # the final stage does not have it
        empty.chmod(0o555)
        yield Image(final, environment, empty, watch, user)


def _interpreter() -> tuple[str, int | None]:
    """An interpreter for the image, and the user who shall run it (None: whoever runs the tests).

    Root runs the server as nobody, with an interpreter that nobody can reach; if there is none, as root.
    """
    if os.geteuid() != 0:
        return base_interpreter(), None
    check = ["-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]
    for python in (base_interpreter(), "/usr/local/bin/python3", "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if (
                subprocess.run([python, *check], user=NOBODY, capture_output=True, check=False).returncode
                == 0
            ):
                return python, NOBODY
    return base_interpreter(), None


@contextlib.contextmanager
def _serving(image: Image) -> Iterator[tuple[int, IO[str]]]:
    """The container's command on a free loopback port: the port, and what the server complains about."""
    command = ["127.0.0.1" if word == "0.0.0.0" else word for word in image.command()]
    with tempfile.TemporaryFile("a+") as complaints:
        process = subprocess.Popen(
            command,
            env=image.variables(PARLEY_API_KEYS=KEY, PARLEY_SERVER__PORT="0"),
            cwd=image.empty,
            user=image.user,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield _port(process.stdout), complaints
        finally:
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0, rest


def _port(output: IO[str]) -> int:
    seen = []
    for line in output:
        seen.append(line)
        if found := re.search(r"Ready in .*http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("".join(["the server ended before it was ready\n", *seen]))


def test_the_image_serves_a_turn_without_fetching_anything(image: Image) -> None:
    with _serving(image) as (port, complaints):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            assert json.load(answer) == {"status": "ready"}
        assert image.healthy(port)

        spoken, text = 0, ""
        headers = {"Authorization": f"Bearer {KEY}"}
        with connect(f"ws://127.0.0.1:{port}/v1/realtime", additional_headers=headers, proxy=None) as socket:
            content = [{"type": "input_text", "text": "Good morning."}]
            item = {"type": "message", "role": "user", "content": content}
            socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            socket.send(json.dumps({"type": "response.create"}))
            while (event := json.loads(socket.recv(timeout=20)))["type"] != "response.done":
                if event["type"] == "response.output_audio.delta":
                    spoken += len(event["delta"])
                elif event["type"] == "response.output_audio_transcript.done":
                    text = event["transcript"]

        assert event["response"]["status"] == "completed"
        assert text == "You said: Good morning."
        assert spoken > 10_000
        complaints.seek(0)
        said = complaints.read()
        assert "WATCHING" in said
        assert "REACHED FOR" not in said
    assert not any(image.empty.iterdir())


def test_the_health_check_fails_where_no_server_answers(image: Image) -> None:
    assert not image.healthy(9)


def test_the_image_explains_itself_when_it_is_started_without_keys(image: Image) -> None:
    assert image.command()[-2:] == ["--host", "0.0.0.0"]

    done = subprocess.run(
        image.command(),
        env=image.variables(PARLEY_SERVER__PORT="0"),
        cwd=image.empty,
        user=image.user,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "PARLEY_API_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_image_has_every_dependency_that_is_run(image: Image) -> None:
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    python = str(image.environment / "bin" / "python")

    done = subprocess.run(
        [uv, "pip", "check", "--python", python], capture_output=True, text=True, check=False
    )

    # Three packages are there for their weights alone.
    wanting = set(re.findall(r"The package `(\S+)` requires", done.stderr))
    assert wanting <= {"silero-vad", "moonshine-voice", "pipecat-ai"}, done.stderr


def test_the_image_leaves_out_what_only_other_programs_need(image: Image) -> None:
    (site,) = image.environment.glob("lib/python3*/site-packages")

    assert not list(site.glob("moonshine_voice/**/*.wav"))
    assert not list(site.glob("moonshine_voice/*.so"))
    assert [path.name for path in (site / "silero_vad" / "data").iterdir()] == ["silero_vad.onnx"]
    assert [path.name for path in (site / "pipecat").rglob("*") if path.is_file()] == [Path(MODEL_FILE).name]
    assert not list(site.glob("torch*"))


def test_the_image_is_small_in_what_it_may_do() -> None:
    building, final = stages((ROOT / "docker" / "Dockerfile").read_text())

    assert building.base == final.base == "python:3.12-slim"
    assert final.last("USER").value not in ("root", "0")
    assert final.last("EXPOSE").value == "8000"
    assert [copy.words()[0] for copy in final.all("COPY")] == ["--from=build"]


def test_the_compose_file_uses_the_dockerfile_and_takes_rights_away() -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert "\t" not in text
    for line in lines:  # pairs and list members, two spaces per level: what YAML cannot take otherwise
        assert re.fullmatch(r"(  )*(- )?(\S.*|\w+:( .+)?)", line), line
        indent = len(line) - len(line.lstrip())
        assert indent % 2 == 0, line
    flat = "\n".join(line.strip() for line in lines)
    for wanted in (
        "dockerfile: docker/Dockerfile",
        "read_only: true",
        "no-new-privileges:true",
        "restart: unless-stopped",
        "healthcheck:",
        '"127.0.0.1:8000:8000"',
        "- parley.env",
    ):
        assert wanted in flat
    assert "parley.env" in (ROOT / ".gitignore").read_text().splitlines()


def _locked() -> dict[str, list[tuple[str, str]]]:
    """Versions of the lock file with their markers, by canonical name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        name = canonicalize_name(requirement.name)
        found.setdefault(name, []).append((specifier.version, str(requirement.marker or "")))
    return found


def test_the_lock_file_has_a_fitting_version_of_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = _locked()

    for line in project["dependencies"]:
        wanted = Requirement(line)
        versions = [version for version, _ in locked.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{wanted.name} is missing: run the command at the top of requirements.lock"
        assert all(wanted.specifier.contains(version) for version in versions), line


def test_the_lock_file_pins_by_hash_and_names_no_registry() -> None:
    text = (ROOT / "requirements.lock").read_text()
    hashed = re.findall(r"^(\S+)==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)

    assert len(hashed) == sum(len(versions) for versions in _locked().values())
    assert "://" not in text
    assert not {"torch", "torchaudio", "sounddevice"} & _locked().keys()
