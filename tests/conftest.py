"""Fixtures for every test: a real server, started once in each process; and how many processes there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.background import running_server
from server.settings import Settings


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers where only files or tests are named: they would take longer to start than they save."""
    return 0 if all(Path(named.split("::")[0]).is_file() for named in config.args) else None


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a running server with default settings and no keys, like "http://127.0.0.1:43210"."""
    with running_server(Settings(), environ={}) as url:
        yield url
