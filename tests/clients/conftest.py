"""Fixtures for clients that have environments of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from server.background import running_server
from server.protocol.profiles import PROFILES
from server.settings import ServerSettings, Settings
from tests.clients.environments import interpreter_with
from tests.clients.node_env import Stage, node_environment, stage
from tests.clients.play import Played, PlayProgram, play


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packages of clients are installed. pytest keeps it until the next run, unless told not to."""
    remembers = pytestconfig.pluginmanager.has_plugin("cacheprovider")
    return pytestconfig.cache.mkdir("environments") if remembers else tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="session", params=PROFILES)
def profile_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server of each profile."""
    with running_server(Settings(server=ServerSettings(profile=request.param)), environ={}) as url:
        yield url


@pytest.fixture(scope="session")
def play_program(profile_url: str, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> PlayProgram:
    """Plays a program of `tests/clients/programs` with these requirements against either profile."""

    def play_it(program: str, requirements: Sequence[str]) -> Played:
        python = interpreter_with(requirements, packages)
        return play(python, program, profile_url, tmp_path_factory.mktemp("client"))

    return play_it


@pytest.fixture(scope="session")
def node_stage(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with TLS and a key, and the programs of `tests/clients/node`, which talk to it."""
    folder = tmp_path_factory.mktemp("node")
    with FileLock(packages / "node.lock"):  # one worker installs the packages, the others wait for it
        node = node_environment(packages, folder)
    with stage(node, folder) as ready:
        yield ready
