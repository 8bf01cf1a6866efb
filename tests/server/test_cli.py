"""The command `parley` as a person starts it: in a process of its own."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner

from server.cli import app

PARLEY = Path(sys.executable).with_name("parley")
PATIENCE = 60  # seconds; only a guard against a process that never ends


def environment(**extra: str) -> dict[str, str]:
    """This one without settings, keys, or what would colour the output."""
    hidden = ("PARLEY_", "GEMINI_", "GOOGLE_", "OPENAI_", "FORCE_COLOR", "XDG_CONFIG_HOME")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | extra


def run(*arguments: str, cwd: Path, **extra: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PARLEY, *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd), **extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def serving(cwd: Path, arguments: Sequence[str] = (), **extra: str) -> "Iterator[subprocess.Popen[str]]":
    """`parley serve` on a free port; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [PARLEY, "serve", "--port", "0", *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd), **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def read_until(process: "subprocess.Popen[str]", pattern: str, stream: str = "stdout") -> tuple[str, str]:
    """Everything up to the line that matches, and what its first group is."""
    seen = ""
    for line in getattr(process, stream):
        seen += line
        if found := re.search(pattern, line):
            return seen, found.group(1)
    raise AssertionError(f"the process ended without saying {pattern!r}:\n{seen}")


async def first_event(url: str) -> str:
    """The type of the first event of a session, opened as the printed example does."""
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client,
        client.realtime.connect(model="gpt-realtime") as session,
    ):
        event = await session.recv()
        return event.type


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run commands of this process in, whose logging is put right again."""
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    root.handlers[:] = handlers
    root.setLevel(level)


def test_help_comes_at_once_and_teaches(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import server.cli;"
        "print(sorted({n.split('.')[0] for n in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    told = run("--help", cwd=tmp_path)

    for heavy in ("fastapi", "uvicorn", "numpy", "onnxruntime", "pydantic", "aiohttp", "websockets"):
        assert f"'{heavy}'" not in loaded
    assert told.returncode == 0
    for word in ("serve", "talk", "doctor", "download", "base_url", "http://127.0.0.1:8000/v1"):
        assert word in told.stdout


@pytest.mark.parametrize("command", ["serve", "talk", "doctor", "download"])
def test_every_command_has_help(here: Path, command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"])

    assert told.exit_code == 0
    assert "--config" in told.stdout


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert re.fullmatch(r"parley \d+\.\d+\.\d+\S*\n", run("--version", cwd=tmp_path).stdout)


def test_without_arguments_help_is_shown(here: Path) -> None:
    told = CliRunner().invoke(app, [])

    assert told.exit_code == 2
    assert "serve" in told.stdout + told.stderr


def test_serve_says_what_it_chose_and_can_be_talked_to_as_it_says(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        seen, url = read_until(process, r"Ready in [\d.]+ s: (http://127\.0\.0\.1:\d+) ")
        for stage, chosen in {
            "vad": "local/silero-vad",
            "stt": "local/moonshine-tiny-en",
            "llm": "builtin/echo",
            "tts": "local/espeak",
            "voice": "en-us\\+m3",
        }.items():
            assert re.search(rf"(?m)^{stage} +{chosen} +\(.+\)$", seen)
        rest, example = read_until(process, r"(async with .*)")
        read_until(process, r"(parley talk FILE.wav --url \S+)")
        assert f'AsyncOpenAI(base_url="{url}/v1", api_key="none")' in rest
        assert 'realtime.connect(model="gpt-realtime")' in example

        assert asyncio.run(first_event(url)) == "session.created"

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert out.endswith("Stopped.\n")
        assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_prints_json_lines_only_and_ends_cleanly_with_a_session_open(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path, ["--log-format", "json"]) as process:
        seen, url = read_until(process, r'"ready", "url": "([^"]+)"', "stderr")
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client,
            client.realtime.connect(model="gpt-realtime") as session,
        ):
            await session.recv()
            began = time.monotonic()
            process.send_signal(number)
            out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)

        assert process.returncode == 0
        assert time.monotonic() - began < 10
        assert out == ""
        lines = [json.loads(line) for line in (seen + err).splitlines()]
        assert [line["message"].partition(":")[0] for line in lines[:7]] == [
            "vad",
            "turn",
            "stt",
            "llm",
            "tts",
            "voice",
            "ready",
        ]
        assert not [line for line in lines if line["level"] == "error"]


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = str(sock.getsockname()[1])

        told = run("serve", "--port", port, cwd=tmp_path)

    assert told.returncode == 1
    assert re.fullmatch(rf"parley serve: Cannot listen on 127\.0\.0\.1:{port}: .*--port.*\n", told.stderr)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "0.0.0.0"], "PARLEY_API_KEYS"),
        (["--host", "no.such.host.invalid"], "not an address"),
        (["--config", "missing.toml"], "no such settings file"),
        (["--port", "70000"], "--port: input should be less than or equal to 65535"),
    ],
)
def test_serve_refuses_with_a_reason_and_no_traceback(
    here: Path, arguments: list[str], expected: str
) -> None:
    told = CliRunner().invoke(app, ["serve", *arguments])

    assert told.exit_code == 1
    assert told.stderr.startswith("parley serve: ")
    assert expected in told.stderr
    assert "Traceback" not in told.stderr


def test_settings_that_are_wrong_are_told_before_anything_is_loaded(here: Path) -> None:
    (here / "parley.toml").write_text("[server]\nprot = 1\n")

    told = CliRunner().invoke(app, ["serve"])

    assert told.exit_code == 1
    assert "parley.toml: server.prot is not a setting; did you mean server.port?" in told.stderr


def test_a_refusal_is_json_where_json_was_asked_for(here: Path) -> None:
    (here / "parley.toml").write_text('[defaults]\nllm = "no/model"\n')

    told = CliRunner().invoke(app, ["serve", "--port", "0", "--log-format", "json"])

    (line,) = told.stderr.splitlines()
    assert told.exit_code == 1
    assert json.loads(line)["level"] == "error"
    assert "defaults.llm" in json.loads(line)["message"]


def test_keys_are_asked_for_and_never_printed(tmp_path: Path) -> None:
    with serving(tmp_path, ["--log-level", "debug"], PARLEY_API_KEYS="sk-one") as process:
        seen, url = read_until(process, r"Ready in .* s: (\S+) \(with the key\)")
        with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-one") as client:
            assert client.models.list().data
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)

    assert "sk-one" not in seen + out + err
    assert process.returncode == 0
