"""Fixtures for clients that have environments of their own."""

from collections.abc import Sequence

import pytest

from tests.clients.environments import interpreter_with
from tests.clients.play import Played, PlayProgram, play


@pytest.fixture(scope="session")
def play_program(
    server_url: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> PlayProgram:
    """Plays a program of `tests/clients/programs` with these requirements against the server."""

    # pytest keeps its cache from one run to the next, unless it was told not to.
    remembers = pytestconfig.pluginmanager.has_plugin("cacheprovider")
    cache = pytestconfig.cache.mkdir("environments") if remembers else tmp_path_factory.mktemp("environments")

    def play_it(program: str, requirements: Sequence[str]) -> Played:
        python = interpreter_with(requirements, cache)
        return play(python, program, server_url, tmp_path_factory.mktemp("client"))

    return play_it
