"""`parley talk` as a person runs it, against a running server and real engines."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from providers.weights import wheel_file
from server.cli import app
from server.cli.timeline import Timeline, latency_table, row_block
from server.talk.turnlog import Row
from server.talk.turns import Turn
from server.talk.wav import encode_wav
from tests.conformance.hearing import voice

SPEECH = str(wheel_file("moonshine_voice", "assets/clone-test.wav"))


@pytest.fixture
def reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where replies go; and the settings of whoever runs the tests do not matter."""
    for name in ("PARLEY_URL", "PARLEY_API_KEY", "OPENAI_API_KEY", "PARLEY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "reply.wav"


def talk(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["talk", *arguments])


def seconds(file: Path) -> float:
    with wave.open(str(file), "rb") as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24_000, 1, 2)
        return reader.getnframes() / reader.getframerate()


def test_a_recording_is_answered_and_every_step_is_shown(
    server_url: str, reply: Path, tmp_path: Path
) -> None:
    result = talk(SPEECH, "--url", server_url, "--svg", str(tmp_path / "talk.svg"))

    assert result.exit_code == 0, result.output
    labels = [line[11:29].strip() for line in result.stdout.splitlines() if line[7:9] == " s"]
    expected = ["speech started", "speech stopped", "heard", "first text", "first audio", "reply"]
    assert [label for label in labels if label in expected] == expected
    assert labels[-1] == "response completed"
    assert "hearing" in labels
    assert "You said: I do. I think that America" in result.stdout
    assert "first audio" in result.stdout.split("From the end of the voice to")[1]
    assert seconds(reply) > 2
    picture = (tmp_path / "talk.svg").read_text()
    assert "America" in picture.replace("&#160;", " ")
    assert "font-face" not in picture


def test_a_turn_that_is_probably_over_is_shown_before_it_ends(
    server_url: str, reply: Path, tmp_path: Path
) -> None:
    sentence = tmp_path / "sentence.wav"
    sentence.write_bytes(encode_wav(voice(1_300), 24_000))

    result = talk(str(sentence), "--url", server_url)

    assert result.exit_code == 0, result.output
    rows = [line[11:].strip() for line in result.stdout.splitlines() if line[7:9] == " s"]
    (suggested,) = [index for index, row in enumerate(rows) if row.startswith("turn suggested")]
    assert re.fullmatch(r"turn suggested +[01]\.\d\d after \d+ ms of silence", rows[suggested])
    assert any(row.startswith("speech started") for row in rows[:suggested])
    assert any(row.startswith("speech stopped") for row in rows[suggested:])


def test_times_in_a_log_file_never_go_back(server_url: str, reply: Path) -> None:
    result = talk("--text", "hello there", "--url", server_url)

    times = [float(line[:7]) for line in result.stdout.splitlines() if line[7:9] == " s"]
    assert len(times) > 3
    assert times == sorted(times)


def test_json_gives_every_event_on_a_line_and_nothing_else(server_url: str, reply: Path) -> None:
    result = talk("--text", "hello there", "--url", server_url, "--json")

    events = [json.loads(line) for line in result.stdout.splitlines()]
    speech = [event for event in events if event["type"] == "response.output_audio.delta"]
    assert result.exit_code == 0
    assert events[0]["type"] == "session.created"
    # The limits that follow may come just after the end of the talk.
    assert "response.done" in [event["type"] for event in events[-2:]]
    assert not any("delta" in event for event in speech)
    assert sum(event["delta_bytes"] for event in speech) == pytest.approx(seconds(reply) * 48_000)
    assert all("received_ms" in event for event in events)


def test_without_an_address_a_server_is_started_for_the_occasion(reply: Path) -> None:
    result = talk("--text", "[[say All is well.]]")

    assert result.exit_code == 0, result.output
    assert "All is well." in result.stdout
    assert seconds(reply) > 0.5


def test_a_voice_can_be_chosen(server_url: str, reply: Path) -> None:
    assert talk("--text", "hello", "--url", server_url, "--voice", "Ashley").exit_code == 0
    ashley = reply.read_bytes()

    assert talk("--text", "hello", "--url", server_url, "--voice", "Dennis").exit_code == 0

    assert reply.read_bytes() != ashley


def test_a_voice_that_does_not_exist_is_a_failure(server_url: str, reply: Path) -> None:
    result = talk("--text", "hello", "--url", server_url, "--voice", "nobody-at-all")

    assert result.exit_code == 1
    assert "nobody-at-all" in result.stderr


def test_a_failed_response_gives_its_reason_and_a_status(server_url: str, reply: Path) -> None:
    result = talk("--text", "[[fail server_error]]", "--url", server_url)

    assert result.exit_code == 1
    assert "response failed" in result.stdout
    assert not reply.exists()


def test_nothing_to_say_is_a_mistake(reply: Path) -> None:
    result = talk()

    assert result.exit_code == 2
    assert "give a WAV file, or --text" in result.stderr


def test_a_file_that_is_not_speech_is_a_mistake_before_anything_starts(reply: Path, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3 la la la")

    result = talk("song.mp3")

    assert result.exit_code == 2
    assert "song.mp3 is not a WAV file; convert it with: ffmpeg -i song.mp3" in result.stderr
    assert "nothing.wav" in talk("nothing.wav").stderr


def test_a_reply_that_could_not_be_written_is_a_mistake_before_anything_starts(reply: Path) -> None:
    result = talk("--text", "hello", "--out", "no/such/folder/reply.wav")

    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_an_unreachable_server_is_a_failure(reply: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = talk("--text", "hello", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert result.exit_code == 1
    assert "parley serve" in result.stderr


def test_settings_that_are_wrong_are_a_mistake(reply: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[server]\nprot = 1\n")

    result = talk("--text", "hello", "--config", "wrong.toml")

    assert result.exit_code == 2
    assert "port" in result.stderr


def test_an_interrupt_ends_it_without_a_traceback(server_url: str, reply: Path) -> None:
    command = [sys.executable, "-c", "from server.cli import main; main()", "talk", SPEECH]
    with subprocess.Popen(
        [*command, "--url", server_url, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # greeted: it is talking now
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)

    assert process.returncode == 130
    assert complaints.decode().strip() == "parley talk: stopped"


def test_on_a_terminal_what_grows_is_replaced_by_what_settled() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60, height=20)

    with Timeline(console, lambda: "waiting") as timeline:
        timeline.show([Row("a", 1.0, "hearing", "What ti", growing=True)])
        timeline.show([Row("a", 2.0, "heard", "What time is it?")])

    lines = screen.getvalue().splitlines()
    assert sum("What time is it?" in line for line in lines) == 1
    assert not any("What ti…" in line for line in lines[-2:])


def test_a_long_reply_continues_below_its_own_beginning() -> None:
    console = Console(file=io.StringIO(), width=60, record=True)

    console.print(row_block(Row("a", 1.0, "reply", "one two three four five six seven eight nine ten")))

    first, second = console.export_text().splitlines()[:2]
    assert second.index(second.strip()) == first.index("one")


@pytest.mark.parametrize("count", [1, 3, 12])
def test_the_table_has_room_for_every_turn(count: int) -> None:
    console = Console(file=io.StringIO(), width=80, record=True)
    turns = [
        Turn(
            voice_ended_at=1.0,
            stopped_at=2.0,
            created_at=2.0,
            first_audio_at=2.0 + n,
            done_at=20.0,
            audio_ms=900,
        )
        for n in range(count)
    ]

    console.print(latency_table(turns))

    shown = console.export_text()
    assert all(f"{1000 * n + 1000}{' ms' if count < 5 else ''} " in shown for n in range(count))
    assert "…" not in shown
