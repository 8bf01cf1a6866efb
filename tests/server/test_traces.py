"""The file of traces: what a real server writes, that its page shows it, and what happens when it cannot."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.background import running_server
from server.checks import examine
from server.settings import LogSettings, ServerSettings, Settings
from server.startup import StartupError
from server.traces import Traces
from tests.conformance.client import RATE, SdkWire, Talk, openai_client, talk
from tests.conformance.hearing import voice
from tests.markdown import blocks
from tests.speech import silence

KEY = "key-that-nobody-may-read"


def spans(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_server_writes_a_span_for_everything_that_a_traced_session_did(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    settings = Settings(
        server=ServerSettings(api_keys=(SecretStr(KEY),)), log=LogSettings(traces=path, trace_content=False)
    )
    tracing = {"workflow_name": "front desk", "group_id": "caller-17", "metadata": {"shop": "north"}}
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    with running_server(settings, environ={}) as url:
        async with (
            openai_client(url, KEY) as client,
            client.realtime.connect(model="builtin/echo") as connection,
        ):
            session = Talk(SdkWire(connection))
            await session.receive()
            await session.ask("Before tracing.", output_modalities=["text"])
            shown = await session.update(
                tracing=tracing,
                tools=[tool],
                output_modalities=["text"],
                audio={"input": {"turn_detection": None}},
            )
            await session.append(voice() + silence(300, RATE))
            await session.send("input_audio_buffer.commit")
            await session.until("conversation.item.input_audio_transcription.completed")
            reply = await session.ask("[[call look]]")
            output = {"type": "function_call_output", "call_id": reply.calls[0]["call_id"], "output": "a cat"}
            await session.add(output)

    written = spans(path)
    assert shown["tracing"] == tracing
    assert [span["kind"] for span in written] == ["transcription", "response", "function_call"]
    assert all(span["trace_id"] == "caller-17" for span in written)
    assert written[1]["id"] == reply.response["id"]
    assert written[1]["usage"]["input_tokens"] == reply.response["usage"]["input_tokens"]
    assert written[0]["start"] < written[1]["start"] < written[2]["end"]
    for secret in (KEY, "failed", "a cat", "Before"):
        assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    documented = json.loads(blocks("jsonl")[0].text)
    assert list(documented) == list(written[1])
    assert {name: type(value) for name, value in documented.items() if value is not None} == {
        name: type(value) for name, value in written[1].items() if documented[name] is not None
    } | {"first_output_ms": float}  # a response of calls alone says nothing


async def test_a_server_says_why_a_turn_ended(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    with running_server(Settings(log=LogSettings(traces=path)), environ={}) as url:
        detection = {"type": "semantic_vad", "eagerness": "high"}
        async with talk(url, tracing="auto", audio={"input": {"turn_detection": detection}}) as session:
            await session.append(voice(1_300) + silence(4_000, RATE))  # one sentence
            await session.reply()
            started, stopped = (
                next(event for event in session.events if event["type"].endswith(kind))
                for kind in ("speech_started", "speech_stopped")
            )

    (turn,) = [span for span in spans(path) if span["kind"] == "turn"]
    assert (turn["id"], turn["status"], turn["detection"]) == (started["item_id"], "ended", "semantic_vad")
    assert turn["audio_start_ms"] == started["audio_start_ms"]
    assert turn["audio_end_ms"] == stopped["audio_end_ms"]
    suggestion, end = [each for each in turn["decisions"] if each["outcome"] != "wait"]
    assert (suggestion["outcome"], end["outcome"]) == ("suggest", "end")
    assert suggestion["sound"] > 0.5
    assert end["wait_ms"] <= end["silence_ms"] < end["wait_ms"] + 600
    assert "ever" not in path.read_text().lower()


async def test_tracing_is_accepted_where_traces_go_nowhere(server_url: str) -> None:
    async with talk(server_url, text=True, tracing="auto") as session:
        assert session.session["tracing"] == "auto"
        assert (await session.ask("Hello")).status == "completed"


def test_spans_are_appended_to_what_is_there(tmp_path: Path) -> None:
    settings = LogSettings(traces=tmp_path / "traces.jsonl")
    for number in range(2):
        with Traces(settings, pytest.fail) as traces:
            traces.write({"number": number})

    assert spans(tmp_path / "traces.jsonl") == [{"number": 0}, {"number": 1}]


def test_what_the_thread_cannot_keep_up_with_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[None] = []
    monkeypatch.setattr("server.traces._MAX_WAITING", 3)
    traces = Traces(LogSettings(traces=tmp_path / "traces.jsonl"), lambda: dropped.append(None))
    for number in range(5):  # the thread has not begun yet
        traces.write({"number": number})
    with traces:
        pass

    assert len(dropped) == 2
    assert [span["number"] for span in spans(tmp_path / "traces.jsonl")] == [0, 1, 2]


def test_a_span_that_is_far_too_long_is_dropped_alone(tmp_path: Path) -> None:
    dropped: list[None] = []
    with Traces(LogSettings(traces=tmp_path / "traces.jsonl"), lambda: dropped.append(None)) as traces:
        traces.write({"metadata": {"x": "y" * 1024 * 1024}})
        traces.write({"number": 1})

    assert (len(dropped), spans(tmp_path / "traces.jsonl")) == (1, [{"number": 1}])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_full_disk_is_logged_once_and_every_span_counted(caplog: pytest.LogCaptureFixture) -> None:
    dropped: list[None] = []
    with Traces(LogSettings(traces=Path("/dev/full")), lambda: dropped.append(None)) as traces:
        for _ in range(3):
            traces.write({})

    assert len(dropped) == 3
    assert caplog.text.count("/dev/full cannot be written: No space left on device") == 1


async def test_a_file_that_cannot_be_written_keeps_the_server_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "traces.jsonl"
    with (
        pytest.raises(StartupError, match=r"log\.traces: .*traces\.jsonl cannot be written: No such file"),
        running_server(Settings(log=LogSettings(traces=path)), environ={}),
    ):
        pass
    config = tmp_path / "parley.toml"
    config.write_text(f'[log]\ntraces = "{path}"\n[server]\nport = 0\n')
    findings = {check.name: check for check in await examine(config, {})}

    assert findings["traces"].status == "fail"
    assert "cannot be written" in findings["traces"].detail
