"""Fixtures for every test: a real server, started once in each process; and how many processes there are."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.background import running_server
from server.settings import Settings


def pytest_configure(config: pytest.Config) -> None:
    """Let Python keep what it has compiled where it was told to write nothing beside sources, as in images.

    Otherwise each of the many processes that tests start compiles all that it imports, for a second or more.
    """
    if sys.dont_write_bytecode and config.pluginmanager.has_plugin("cacheprovider"):
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))
        sys.dont_write_bytecode = False
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers where only files or tests are named: they would take longer to start than they save."""
    return 0 if all(Path(named.split("::")[0]).is_file() for named in config.args) else None


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a running server with default settings and no keys, like "http://127.0.0.1:43210"."""
    with running_server(Settings(), environ={}) as url:
        yield url
