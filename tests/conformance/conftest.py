"""Servers with prompt templates, and the player of scenarios."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.background import running_server
from server.settings import ServerSettings, Settings
from tests.conformance.scenarios.runner import Stagehand
from tests.conformance.scenarios.stages import plain_settings

TEMPLATES = {
    "greeter/1.md": "[[say Good day.]]",
    "greeter/2.md": "[[say Hello there.]]",
    "clerk.md": "[[say Welcome to {{shop}}, {{name}}.]]",
}


@pytest.fixture(scope="session")
def prompts_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with prompt templates: `greeter` in two versions, and `clerk` with two blanks."""
    directory: Path = tmp_path_factory.mktemp("prompts")
    for name, text in TEMPLATES.items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    with running_server(Settings(server=ServerSettings(prompts_dir=directory)), environ={}) as url:
        yield url


@pytest.fixture(scope="session")
def stagehand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stagehand]:
    """Plays every scenario at most once, however many tests ask for it."""
    settings = plain_settings(tmp_path_factory.mktemp("stage"))
    with running_server(settings, environ={}) as url:
        yield Stagehand(url)
