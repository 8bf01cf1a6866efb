"""A server for the samples: the models that they name are those that it has."""

from collections.abc import Iterator

import pytest

from server.background import running_server
from server.settings import Settings

SETTINGS = {
    "server": {"api_keys": ["inworld:secret"]},
    "aliases": {
        "openai/gpt-4o-mini": "builtin/echo",
    },
}


@pytest.fixture(scope="package")
def samples_url() -> Iterator[str]:
    """The URL of a running server with a key and those names."""
    with running_server(Settings.model_validate(SETTINGS), environ={}) as url:
        yield url
