"""The packages of npm for tests: whoever lacks something is told what, and nothing is left half made."""

from pathlib import Path

import pytest

from tests.clients.node_env import node_environment


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An empty cache, and an empty folder for programs."""
    cache, programs = tmp_path / "cache", tmp_path / "programs"
    cache.mkdir()
    programs.mkdir()
    return cache, programs


def test_a_machine_without_node_is_told_what_to_install(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folders[1]))

    with pytest.raises(pytest.fail.Exception, match=r"node is not on the PATH: install Node\.js"):
        node_environment(*folders)


@pytest.mark.clients
def test_a_failed_installation_fails_with_the_words_of_npm_and_leaves_nothing(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(folders[1] / "npm"))  # nor from what npm has seen before
    monkeypatch.setenv("npm_config_fetch_retries", "0")

    with pytest.raises(pytest.fail.Exception, match=r"npm install .* ended with 1:(.|\n)*ECONNREFUSED"):
        node_environment(*folders)
    assert list(folders[0].iterdir()) == []
