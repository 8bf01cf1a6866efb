"""The example provider of the documentation, installed as its page says and used for a turn."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from websockets.sync.client import connect

from server.background import running_server
from server.settings import Settings
from tests.markdown import blocks


def _block(language: str, containing: str) -> str:
    (found,) = [
        block.text
        for block in blocks(language)
        if block.page == "docs/providers.md" and containing in block.text
    ]
    return found


def test_the_documented_provider_passes_the_contract_suite_as_documented(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(_block("python", '"""shout.py"""'))
    (tmp_path / "test_shout.py").write_text(_block("python", '"""test_shout.py'))

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        ".",
        "-p",
        "no:cacheprovider",
        "test_shout.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
    assert len((tmp_path / "shout.py").read_text().splitlines()) < 60


def test_the_documented_provider_answers_once_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads(_block("toml", "# pyproject.toml"))["project"]
    settings = Settings(**tomllib.loads(_block("toml", "# parley.toml")))
    (tmp_path / "shout.py").write_text(_block("python", '"""shout.py"""'))
    # What an installer leaves behind, made by hand: it needs neither a build nor the real environment.
    metadata = tmp_path / f"parley_shout-{project['version']}.dist-info"
    metadata.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"]
    (metadata / "METADATA").write_text("".join(lines))
    points = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path))

    with (
        running_server(settings, environ={}) as url,
        connect(url.replace("http", "ws", 1) + "/v1/realtime", proxy=None) as socket,
    ):
        content = [{"type": "input_text", "text": "can you hear me"}]
        item = {"type": "message", "role": "user", "content": content}
        socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        socket.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        while (event := json.loads(socket.recv(timeout=20)))["type"] != "response.done":
            pass

    assert event["response"]["status"] == "completed"
    assert event["response"]["output"][0]["content"][0]["text"] == "CAN YOU HEAR ME ?!"
