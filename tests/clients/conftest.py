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

    def play_it(program: str, requirements: Sequence[str]) -> Played:
        python = interpreter_with(requirements, pytestconfig.cache.mkdir("environments"))
        return play(python, program, server_url, tmp_path_factory.mktemp("client"))

    return play_it
