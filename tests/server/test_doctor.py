"""`parley doctor`: every kind of problem is found, and each comes with what to do."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from providers.errors import ProviderError
from server.checks import Check, examine
from server.cli import app

STAGES = ("vad", "turn", "stt", "llm", "tts", "voice")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and home, without keys and settings, and a port that is free."""
    for name in os.environ:
        if name.startswith(("PARLEY_", "OPENAI_", "GEMINI_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PARLEY_SERVER__PORT", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def findings(config: str = "", **environ: str) -> dict[str, Check]:
    """What is found for a settings file with this text."""
    Path("parley.toml").write_text(config)
    return {check.name: check for check in asyncio.run(examine(None, environ))}


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_a_fresh_install_is_in_order_but_for_a_language_model() -> None:
    checks = findings()

    assert {check.status for name, check in checks.items() if name != "llm"} == {"ok"}
    assert checks["llm"].status == "warn"
    assert "GEMINI_API_KEY" in checks["llm"].fix
    for stage in ("vad", "turn", "stt", "tts"):
        assert "loaded and run in" in checks[stage].detail
    assert checks["voice"].detail.startswith("en-us+m3")


def test_weights_that_nobody_fetched_yet_are_no_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*names: str) -> Path:
        raise ProviderError("the wheel is not installed")

    monkeypatch.setattr("providers.turn.smart_turn.wheel_file", missing)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))

    checks = findings()

    assert [name for name in checks if name in STAGES] == list(STAGES)
    assert checks["turn"].status == "warn"
    assert "parley download smart-turn-v3" in checks["turn"].detail
    assert "semantic_vad goes by silence" in checks["turn"].fix


def test_a_judge_of_turns_that_was_asked_for_and_is_missing_is_a_failure(folder: Path) -> None:
    checks = findings(f'[providers.local]\nsmart_turn = "{folder / "own.onnx"}"\n')

    assert checks["turn"].status == "fail"
    assert "own.onnx" in checks["turn"].detail


def test_a_judge_of_turns_may_be_done_without() -> None:
    checks = findings("[defaults]\nturn = false\n")

    assert checks["turn"].status == "ok"
    assert "switched off" in checks["turn"].detail


def test_a_mistake_in_the_settings_is_the_first_thing_to_mend() -> None:
    checks = findings("[server]\nprot = 1\n")

    assert checks["settings"].status == "fail"
    assert "did you mean server.port?" in checks["settings"].detail
    assert list(checks) == ["settings"]


def test_keys_are_named_and_never_shown() -> None:
    config = """
    [providers.lab]
    kind = "openai-compatible"
    base_url = "http://127.0.0.1:9/v1"
    api_key_env = "LAB_KEY"
    """

    checks = findings(config, LAB_KEY="sk-lab-secret")

    assert checks["provider lab"] == Check("provider lab", "ok", "key from LAB_KEY")
    assert "sk-lab-secret" not in repr(checks)


def test_a_key_that_is_missing_and_a_kind_that_does_not_exist_are_both_found() -> None:
    config = """
    [providers.lab]
    kind = "openai-compatible"
    base_url = "http://127.0.0.1:9/v1"
    api_key_env = "LAB_KEY"
    [providers.odd]
    kind = "nonsense"
    """

    checks = findings(config)

    assert checks["provider lab"].status == "fail"
    assert "LAB_KEY, which is not set" in checks["provider lab"].detail
    assert checks["provider odd"].status == "fail"
    assert "installed kinds" in checks["provider odd"].detail


def test_a_default_that_does_not_exist_is_found() -> None:
    checks = findings('[defaults]\nllm = "lab/x"\n')

    assert checks["defaults"].status == "fail"
    assert "[providers.lab]" in checks["defaults"].detail


def test_a_voice_and_an_alias_that_mean_nothing_are_found() -> None:
    checks = findings('[defaults]\nvoice = "Zaphod"\n[aliases]\n"gpt-realtime" = "gone/x"\n')

    assert checks["voice"].status == "fail"
    assert checks["alias gpt-realtime"].status == "warn"


def test_a_port_that_is_taken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        monkeypatch.setenv("PARLEY_SERVER__PORT", str(sock.getsockname()[1]))
        monkeypatch.setattr("server.checks.REACH", 0.2)

        checks = findings()

    assert checks["port"].status == "fail"
    assert "--port" in checks["port"].fix


def test_a_server_of_ours_on_the_port_is_no_failure(monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    monkeypatch.setenv("PARLEY_SERVER__PORT", server_url.rpartition(":")[2])

    checks = findings()

    assert checks["port"].status == "warn"
    assert "alive" in checks["port"].detail


def test_the_key_of_a_search_engine_that_is_missing_is_found() -> None:
    config = '[tools.web_search.own]\nurl = "http://127.0.0.1/"\napi_key_env = "SEARCH_KEY"'

    missing, there = findings(config)["web search"], findings(config, SEARCH_KEY="secret-key")["web search"]

    assert (missing.status, there.status) == ("fail", "ok")
    assert "SEARCH_KEY, which is not set" in missing.detail
    assert there.detail == "own; none of them was asked"


def test_listening_for_other_machines_without_keys_is_found() -> None:
    checks = findings('[server]\nhost = "0.0.0.0"\n')

    assert checks["api keys"].status == "fail"
    assert "PARLEY_API_KEYS" in checks["api keys"].fix


def test_the_addresses_of_providers_are_tried() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = f"""
        [providers.up]
        kind = "openai-compatible"
        base_url = "http://127.0.0.1:{sock.getsockname()[1]}/v1"
        [providers.down]
        kind = "openai-compatible"
        base_url = "http://127.0.0.1:{closed_port()}/v1"
        """

        checks = findings(config)

    assert checks["reach up"].status == "ok"
    assert checks["reach down"].status == "warn"
    assert "base_url" in checks["reach down"].fix


def test_the_command_prints_a_line_for_each_finding_and_fails_only_for_failures() -> None:
    fine = CliRunner().invoke(app, ["doctor"])
    Path("parley.toml").write_text('[defaults]\nvoice = "Zaphod"\n')
    broken = CliRunner().invoke(app, ["doctor", "--json"])

    assert fine.exit_code == 0
    assert "ok    port" in fine.output
    assert "1 warn, 0 fail" in fine.output
    assert broken.exit_code == 1
    failures = [entry for entry in json.loads(broken.output) if entry["status"] == "fail"]
    assert [entry["name"] for entry in failures] == ["voice"]
    assert failures[0]["fix"]
