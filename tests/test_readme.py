"""The README's promises: its two commands, its first spoken turn and its client."""

import os
import re
import shlex
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from providers.weights import wheel_file
from tests.dockerfile import ROOT
from tests.markdown import Block, blocks


def _block(language: str, containing: str) -> Block:
    (found,) = [block for block in blocks(language) if block.page == "README.md" and containing in block.text]
    return found


def test_the_first_command_serves_and_the_client_in_its_output_is_the_readmes() -> None:
    command = _block("sh", "pip install uv").text.strip()
    install, serve = command.split(" && ")
    assert install == "pip install uv"
    variables = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    # A free port instead of the default one, and the environment that these tests run in.
    words = [os.environ.get("UV", "uv"), "run", "--no-sync", *shlex.split(serve)[2:], "--port", "0"]

    with subprocess.Popen(
        words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        assert server.stdout is not None
        said = []
        try:
            for line in server.stdout:
                said.append(line)
                if "parley talk FILE.wav" in line:
                    break
            output = "".join(said)
            url = re.search(r"Ready in .*(http://127\.0\.0\.1:\d+)", output)
            assert url is not None, output
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{url[1]}/ready", timeout=5) as answer:
                assert answer.status == 200
        finally:
            # The whole group: uv runs the server as its child.
            os.killpg(server.pid, signal.SIGTERM)

    for line in ("builtin/echo", "local/moonshine-tiny-en", "local/espeak", "local/silero-vad"):
        assert line in output
        assert line in (ROOT / "README.md").read_text()
    assert f'base_url="{url[1]}/v1", api_key="none"' in output
    assert 'client.realtime.connect(model="gpt-realtime") as session' in output


def test_the_second_command_runs_all_tests_of_the_gate() -> None:
    command = _block("sh", "pytest").text.strip()

    assert command == "uv run pytest"
    assert (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1] == command


# The SDK's blocking connection is opened in a way that the newest websockets package regrets.
@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context:DeprecationWarning")
def test_the_client_prints_what_the_readme_says(server_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = _block("python", "OpenAI").text
    assert "http://127.0.0.1:8000" in program

    exec(program.replace("http://127.0.0.1:8000", server_url), {})

    assert capsys.readouterr().out.strip() == "You said: Hello!"
    assert "`You said: Hello!`" in (ROOT / "README.md").read_text()


def test_the_first_spoken_turn_hears_the_recording(server_url: str, tmp_path: Path) -> None:
    line = _block("sh", "beckett.wav").text.strip()
    # The environment of the tests may lie elsewhere than in a clone's .venv.
    recording = wheel_file("moonshine_voice", "assets/beckett.wav")
    prefix, _, file, *rest = shlex.split(line.replace("uv run parley", "parley", 1))
    assert file.endswith("site-packages/moonshine_voice/assets/beckett.wav")
    words = [prefix, "talk", str(recording), *rest, "--out", str(tmp_path / "reply.wav")]

    done = subprocess.run(
        [word.replace("http://127.0.0.1:8000", server_url) for word in words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "tried" in done.stdout.lower()
    assert (tmp_path / "reply.wav").stat().st_size > 10_000
