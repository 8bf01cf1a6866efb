"""Packages of npm for the client libraries of others, and programs that run with them."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.background import running_server
from server.settings import Settings, ToolSettings
from tests.certificates import make_certificates
from tests.clients.tap import Connection
from tests.conformance.client import RATE
from tests.conformance.hearing import voice
from tests.fakes.mcp_process import start_mcp_server
from tests.speech import silence

__all__ = ["NodeEnvironment", "Played", "Stage", "node_environment", "stage"]

_KEY = "key-of-this-test"
_PROGRAMS = Path(__file__).with_name("node")
_INSTALL_PATIENCE = 240  # seconds
_PATIENCE = 60  # seconds; only a guard, the programs have a shorter one
_HINT = "install Node.js 20 or newer, which brings npm, or leave these tests out with -m 'not clients'"

# What a program inherits of this process's environment. Keys, proxies and Node's own options stay behind.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """A folder with programs and the packages that they import."""

    folder: Path

    def run(self, *arguments: str, **variables: str) -> str:
        """Run `node` there; what it prints. Fails the test, with what it said, when it ends badly."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return _run([_find("node"), *arguments], self.folder, _PATIENCE, inherited | variables)


@dataclass(frozen=True, slots=True)
class Played:
    """What a program told of itself, and what went over its connection."""

    result: dict[str, Any]
    wire: Connection


@dataclass(frozen=True, slots=True)
class Stage:
    """A server with a certificate and a key, and programs that can talk to it."""

    node: NodeEnvironment
    variables: Mapping[str, str]  # for the programs

    def play(self, program: str, *arguments: str, errors: Sequence[str] = (), **variables: str) -> Played:
        """Run a program that prints its results as JSON.

        Meanwhile the server must not break the protocol, and report only the `errors` with these codes.
        """
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder, "record")
            told = self.node.run(
                *("--import", "./record.mjs", program, *arguments),
                **(dict(self.variables) | {"PARLEY_RECORD": str(record)} | variables),
            )
            played = Played(json.loads(told.splitlines()[-1]), _read(record))
        assert played.wire.faults == []
        assert [error["code"] for error in played.wire.errors] == list(errors)
        played.wire.oracle.finished()
        return played


@contextmanager
def stage(node: NodeEnvironment, folder: Path) -> Iterator[Stage]:
    """Start a server for programs in Node. What both need besides is written into `folder`."""
    certificates = make_certificates(folder)
    speech = folder / "speech.pcm"
    speech.write_bytes(voice() + silence(5_000, RATE))  # longer than any turn detection waits
    settings = certificates.server.model_copy(update={"api_keys": (SecretStr(_KEY),)})
    with (
        start_mcp_server() as mcp,
        running_server(
            Settings(server=settings, tools=ToolSettings(allowed_hosts=(mcp.host,))), environ={}
        ) as url,
    ):
        variables = {
            "NODE_EXTRA_CA_CERTS": str(certificates.authority),
            "PARLEY_KEY": _KEY,
            "PARLEY_MCP": mcp.url,
            "PARLEY_SPEECH": str(speech),
            "PARLEY_URL": url,
        }
        yield Stage(node, variables)


def node_environment(cache: Path, folder: Path) -> NodeEnvironment:
    """The programs, copied to `folder`, with their packages, installed below `cache` unless they are there.

    Packages come from the registry that npm is configured with. What is there is used again as it is: remove
    it to get newer versions. A missing Node.js or a failed installation fails the test and says what to do.
    """
    wanted = (_PROGRAMS / "package.json").read_bytes()
    version = _run([_find("node"), "--version"], folder, _PATIENCE).encode()
    place = cache / hashlib.sha256(version + wanted).hexdigest()[:16]
    if not place.exists():
        _install(wanted, place)
    for program in _PROGRAMS.iterdir():
        shutil.copy(program, folder)
    # Node looks for packages beside the program that imports them.
    (folder / "node_modules").symlink_to(place / "node_modules")
    return NodeEnvironment(folder)


def _install(wanted: bytes, place: Path) -> None:
    # Made elsewhere and then moved: one that was interrupted is never taken for a whole one.
    making = Path(tempfile.mkdtemp(dir=place.parent))
    install = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        (making / "package.json").write_bytes(wanted)
        _run([_find("npm"), *install], making, _INSTALL_PATIENCE)
        making.rename(place)
    except OSError:
        if not place.exists():  # otherwise another test run was faster
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is not on the PATH: {_HINT}", pytrace=False)
    return found


def _run(command: list[str], folder: Path, patience: float, variables: Mapping[str, str] = os.environ) -> str:
    """What the command prints; its failure is the test's."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    if done.returncode:
        called = " ".join([Path(command[0]).name, *command[1:]])
        pytest.fail(f"{called} ended with {done.returncode}:\n{done.stderr}{done.stdout}", pytrace=False)
    return done.stdout


def _read(record: Path) -> Connection:
    """The events that a program noted, judged."""
    connection = Connection()
    for line in record.read_bytes().splitlines():
        side, _, data = line.partition(b" ")
        (connection.client_said if side == b"sent" else connection.server_said)(data)
    return connection
