"""Fixtures for every test: one real server, started once."""

from collections.abc import Iterator

import pytest

from server.background import running_server
from server.settings import Settings


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a running server with default settings and no keys, like "http://127.0.0.1:43210"."""
    with running_server(Settings(), environ={}) as url:
        yield url
