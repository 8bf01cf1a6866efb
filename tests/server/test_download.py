"""`parley download`: what it lists, fetches and says, against a hub on loopback."""

import hashlib
import http.server
import io
import os
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from providers.downloads import HubFile
from providers.errors import ProviderError
from server.cli import app
from server.cli.download import show_progress

CONTENT = bytes(range(256)) * 2000
FILE = HubFile("lab/ear", "ear.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file belongs, in an empty home; there is no wheel that carries it."""

    def missing(*names: str) -> Path:
        raise ProviderError("the wheel is not installed")

    for name in os.environ:
        if name.startswith(("PARLEY_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("providers.turn.smart_turn.wheel_file", missing)
    monkeypatch.setattr("providers.turn.smart_turn.HUB_FILE", FILE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return FILE.place(tmp_path / "cache" / "openparley")


class Request(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/lab/ear/resolve/main/ear.onnx":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub that has the file."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = False  # so that closing waits for them
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(app, ["download", *words], env=environ)


def test_it_fetches_and_says_where_to(hub: str, place: Path) -> None:
    done = run("smart-turn-v3", HF_ENDPOINT=hub)

    assert done.exit_code == 0, done.output
    assert place.read_bytes() == CONTENT
    assert f"smart-turn-v3 is at {place}" in done.output
    assert "smart-turn-v3: 0.5 of 0.5 MB" in done.output
    assert len(done.output.splitlines()) <= 12


def test_the_settings_may_name_the_hub(hub: str, place: Path) -> None:
    Path("parley.toml").write_text(f'[providers.local]\nhub = "{hub}"\n')

    done = run("local/smart-turn-v3", HF_ENDPOINT="http://127.0.0.1:9")

    assert done.exit_code == 0, done.output
    assert place.exists()


def test_what_is_there_is_left_alone(hub: str, place: Path) -> None:
    run("smart-turn-v3", HF_ENDPOINT=hub)

    again = run("smart-turn-v3", HF_ENDPOINT="http://127.0.0.1:9")

    assert again.exit_code == 0
    assert again.output == f"smart-turn-v3 is here already: {place}\n"


def test_without_a_name_it_lists_what_there_is(hub: str, place: Path) -> None:
    before = run()
    run("smart-turn-v3", HF_ENDPOINT=hub)
    after = run()

    assert (before.exit_code, after.exit_code) == (0, 0)
    first, *others, last = before.output.splitlines()
    assert first == "smart-turn-v3  0.5 MB  not here; parley download smart-turn-v3 fetches it"
    assert "whisper-small  486.0 MB  not here; parley download whisper-small fetches it" in others
    assert last.startswith("piper-<voice>")
    assert after.output.splitlines() == [f"smart-turn-v3  0.5 MB  here: {place}", *others, last]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids downloads"),
        ({"HF_ENDPOINT": "ftp://127.0.0.1"}, "address of the model hub"),
    ],
)
def test_a_failure_is_told_in_one_line(place: Path, environ: dict[str, str], expected: str) -> None:
    done = run("smart-turn-v3", **environ)

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("parley download: ")
    assert expected in line
    if "address" not in expected:
        assert f"put it at {place}" in line


@pytest.mark.parametrize(
    ("words", "settings", "expected"),
    [
        (["espeak"], "", "it does smart-turn-v3"),
        (["smart-turn-v3"], "[server]\nprot = 1\n", "did you mean server.port?"),
        (["smart-turn-v3"], '[providers.local]\nhab = "x"\n', "did you mean 'hub'?"),
        (["smart-turn-v3"], '[providers.local]\nkind = "builtin"\n', "are not downloaded"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], settings: str, expected: str) -> None:
    Path("parley.toml").write_text(settings)

    done = run(*words)

    assert done.exit_code == 2
    assert expected in done.stderr


def test_a_file_of_the_user_is_not_replaced_by_a_download(hub: str, place: Path) -> None:
    Path("parley.toml").write_text('[providers.local]\nsmart_turn = "own.onnx"\n')

    done = run("smart-turn-v3", HF_ENDPOINT=hub)

    assert done.exit_code == 1
    assert "no file own.onnx, which the option smart_turn names" in done.stderr
    assert not place.exists()


def test_stopping_it_says_that_it_can_go_on(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **named: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("providers.local.fetch", interrupted)

    done = run("smart-turn-v3", HF_ENDPOINT=hub)

    assert done.exit_code == 130
    assert "goes on from here" in done.stderr


def test_on_a_terminal_it_is_a_bar() -> None:
    screen = io.StringIO()
    out = Console(file=screen, force_terminal=True, width=100)

    with redirect_stdout(io.StringIO()), show_progress(out, "smart-turn-v3") as on_progress:
        on_progress(0, 1000)
        on_progress(500, 1000)
        on_progress(1000, 1000)

    shown = screen.getvalue()
    assert "smart-turn-v3" in shown
    assert "1.0/1.0 kB" in shown


def test_elsewhere_it_is_a_line_for_each_tenth() -> None:
    screen = io.StringIO()
    out = Console(file=screen, force_terminal=False, width=100)

    with show_progress(out, "ear") as on_progress:
        for done in range(0, 2_000_001, 10_000):
            on_progress(done, 2_000_000)

    lines = screen.getvalue().splitlines()
    assert len(lines) == 11
    assert (lines[0], lines[-1]) == ("ear: 0.0 of 2.0 MB", "ear: 2.0 of 2.0 MB")
