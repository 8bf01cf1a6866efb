"""Settings: what wins, what is refused, and how a mistake is explained."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.turn_taking import TurnTaking
from server.settings import (
    DefaultsSettings,
    ServerSettings,
    Settings,
    SettingsError,
    TurnDetectionSettings,
    TurnTakingSettings,
    load_settings,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and home, and no PARLEY_ variables."""
    for name in os.environ:
        if name.startswith("PARLEY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(config: Path | None = None, overrides: dict[str, Any] | None = None) -> str:
    """What a person is told about settings that are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(config, overrides)
    return "\n".join(caught.value.problems)


def test_without_a_file_or_variables_the_defaults_hold() -> None:
    settings = load_settings()

    assert settings == Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.server.api_keys == ()
    assert settings.defaults.voice == "Dennis"
    assert settings.defaults.turn_detection == {"type": "semantic_vad"}


def test_constructing_settings_does_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_SERVER__PORT", "9999")

    assert Settings().server.port == 8000


def test_the_command_line_beats_the_environment_which_beats_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(folder / "my.toml", '[server]\nhost = "127.0.0.9"\nport = 1\n[log]\nlevel = "debug"\n')
    monkeypatch.setenv("PARLEY_SERVER__PORT", "2")
    monkeypatch.setenv("PARLEY_LOG__LEVEL", "error")

    settings = load_settings(file, {"server": {"port": 3}})

    assert settings.server.host == "127.0.0.9"
    assert settings.log.level == "error"
    assert settings.server.port == 3


def test_the_file_in_the_working_folder_is_read_before_the_one_at_home(folder: Path) -> None:
    write(folder / "home" / ".config" / "openparley" / "parley.toml", "[server]\nport = 1\n")
    assert load_settings().server.port == 1

    write(folder / "parley.toml", "[server]\nport = 2\n")
    assert load_settings().server.port == 2


def test_a_complete_file_is_understood(folder: Path) -> None:
    file = write(
        folder / "parley.toml",
        """
        [server]
        api_keys = ["first", "second"]
        limits.max_sessions = 3
        [defaults]
        llm = "lab/llama-3.1-8b"
        turn_detection = {type = "semantic_vad", eagerness = "high"}
        [providers.lab]
        kind = "openai-compatible"
        base_url = "http://127.0.0.1:9100/v1"
        api_key_env = "LAB_KEY"
        [aliases]
        "gpt-realtime" = "lab/llama-3.1-8b"
        """,
    )

    settings = load_settings(file)

    assert [key.get_secret_value() for key in settings.server.api_keys] == ["first", "second"]
    assert settings.server.limits.max_sessions == 3
    assert settings.defaults.llm == "lab/llama-3.1-8b"
    assert settings.defaults.turn_detection == {"type": "semantic_vad", "eagerness": "high"}
    assert settings.providers["lab"].kind == "openai-compatible"
    assert settings.providers["lab"].api_key_env == "LAB_KEY"
    assert settings.providers["lab"].options == {"base_url": "http://127.0.0.1:9100/v1"}
    assert settings.aliases == {"gpt-realtime": "lab/llama-3.1-8b"}


@pytest.mark.parametrize("off", ["false", '"none"', '"off"'])
def test_turn_detection_can_be_switched_off(folder: Path, off: str) -> None:
    file = write(folder / "parley.toml", f"[defaults]\nturn_detection = {off}\n")

    assert load_settings(file).defaults.turn_detection is None


def test_turn_detection_can_be_given_in_code() -> None:
    defaults = DefaultsSettings(turn_detection=TurnDetectionSettings(silence_duration_ms=300))

    assert defaults.turn_detection == {"type": "server_vad", "silence_duration_ms": 300}


@pytest.mark.parametrize("has_turn_model", [False, True])
def test_turn_taking_without_settings_is_that_of_the_pipeline(has_turn_model: bool) -> None:
    taken = TurnTakingSettings().with_model(has_turn_model)

    assert taken == TurnTaking(has_turn_model=has_turn_model)


def test_turn_taking_is_read_from_the_file(folder: Path) -> None:
    file = write(
        folder / "parley.toml",
        """
        [turn_taking]
        speculation = "off"
        min_interruption_ms = 350
        echo_guard = false
        ignore_backchannels = true
        suggestion_events = true
        """,
    )

    assert load_settings(file).turn_taking.with_model(True) == TurnTaking(
        speculation="off",
        min_interruption_ms=350,
        echo_guard=False,
        ignore_backchannels=True,
        suggestion_events=True,
        has_turn_model=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("PARLEY_SERVER__LIMITS__MAX_SESSIONS", "7", "server.limits.max_sessions", 7),
        ("PARLEY_DEFAULTS__LLM", "a/b", "defaults.llm", "a/b"),
        ("PARLEY_DEFAULTS__TURN_DETECTION", "null", "defaults.turn_detection", None),
        (
            "PARLEY_DEFAULTS__TURN_DETECTION",
            '{"type": "server_vad", "threshold": 0.7}',
            "defaults.turn_detection",
            {"type": "server_vad", "threshold": 0.7},
        ),
        (
            "PARLEY_DEFAULTS__TURN_DETECTION__THRESHOLD",
            "0.7",
            "defaults.turn_detection",
            {"type": "server_vad", "threshold": 0.7},
        ),
        ("PARLEY_TURN_TAKING__SPECULATION", "always", "turn_taking.speculation", "always"),
        ("PARLEY_TURN_TAKING__MIN_INTERRUPTION_MS", "0", "turn_taking.min_interruption_ms", 0),
        ("PARLEY_TURN_TAKING__ECHO_GUARD", "false", "turn_taking.echo_guard", False),
        ("PARLEY_ALIASES", '{"gpt-realtime": "lab/x"}', "aliases", {"gpt-realtime": "lab/x"}),
        ("parley_log__format", "json", "log.format", "json"),
    ],
)
def test_variables_set_nested_members(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str, expected: Any
) -> None:
    monkeypatch.setenv(name, value)

    found: Any = load_settings()
    for part in path.split("."):
        found = getattr(found, part)

    assert found == expected


def test_variables_describe_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PROVIDERS__LAB__KIND", "openai-compatible")
    monkeypatch.setenv("PARLEY_PROVIDERS__LAB__BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("PARLEY_PROVIDERS__LAB__API_KEY", "sk-lab")

    lab = load_settings().providers["lab"]

    assert lab.kind == "openai-compatible"
    assert lab.options == {"base_url": "http://127.0.0.1:9/v1"}
    assert lab.api_key is not None
    assert lab.api_key.get_secret_value() == "sk-lab"


@pytest.mark.parametrize("name", ["PARLEY_API_KEYS", "PARLEY_SERVER__API_KEYS"])
def test_keys_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "one, two,")

    assert [key.get_secret_value() for key in load_settings().server.api_keys] == ["one", "two"]


def test_an_empty_list_of_keys_means_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEYS", "")

    assert load_settings().server.api_keys == ()


def test_keys_never_show_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEYS", "sk-server")
    monkeypatch.setenv("PARLEY_PROVIDERS__LAB__API_KEY", "sk-lab")
    monkeypatch.setenv("PARLEY_PROVIDERS__LAB__HEADERS", '{"x-key": "sk-header"}')

    settings = load_settings()

    assert settings.providers["lab"].options == {"headers": {"x-key": "sk-header"}}
    for text in (
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.server.model_dump_json(),
    ):
        assert "sk-server" not in text
        assert "sk-lab" not in text
    assert "sk-header" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1", "server.prot is not a setting; did you mean server.port?"),
        ("port = 1", "port is not a setting; did you mean server.port?"),
        ("[sever]\nport = 1", "sever is not a setting; did you mean server?"),
        (
            "[server.limits]\nmax_session = 1",
            "server.limits.max_session is not a setting; did you mean server.limits.max_sessions?",
        ),
        (
            '[defaults]\nturn_detection = {type = "server_vad", treshold = 0.5}',
            "treshold is not a setting; did you mean defaults.turn_detection.threshold?",
        ),
        ("[log]\nzzz = 1", "log.zzz is not a setting; known here: format, level"),
        ('[server]\nport = "many"', "server.port: input should be a valid integer"),
        ("[server]\nport = 70000", "server.port: input should be less than or equal to 65535"),
        ('[log]\nlevel = "loud"', "log.level: input should be 'debug', 'info', 'warning' or 'error'"),
        (
            '[turn_taking]\nspeculation = "sometimes"',
            "turn_taking.speculation: input should be 'off', 'auto' or 'always'",
        ),
        (
            "[turn_taking]\nmin_interruption_ms = 2001",
            "turn_taking.min_interruption_ms: input should be less than or equal to 2000",
        ),
        (
            "[turn_taking]\nbackchannels = true",
            "turn_taking.backchannels is not a setting; did you mean turn_taking.ignore_backchannels?",
        ),
        ('[providers]\nlab = "x"', "providers.lab: input should be a valid dictionary"),
        ("[server", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_explained_with_its_place(folder: Path, text: str, expected: str) -> None:
    file = write(folder / "parley.toml", text)

    told = mistakes()

    assert expected in told
    assert str(file.name) in told
    assert "pydantic" not in told


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PARLEY_PORT", "1", "PARLEY_PORT is not a setting; did you mean PARLEY_SERVER__PORT?"),
        ("PARLEY_SERVER_PORT", "1", "did you mean PARLEY_SERVER__PORT?"),
        ("PARLEY_API_KEYES", "1", "did you mean PARLEY_API_KEYS?"),
        ("PARLEY_SERVER__PROT", "1", "PARLEY_SERVER__PROT is not a setting; did you mean server.port?"),
        ("PARLEY_SERVER__PORT", "x", "PARLEY_SERVER__PORT: input should be a valid integer"),
        ("PARLEY_ALIASES", "{", "PARLEY_ALIASES"),
        ("PARLEY_LOG", "debug", "PARLEY_LOG: not valid JSON"),
        ("PARLEY_LOG", '{"lvel": 1}', "PARLEY_LOG (log.lvel) is not a setting; did you mean log.level?"),
    ],
)
def test_a_mistake_in_a_variable_is_explained_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)

    assert expected in mistakes()


def test_a_mistake_on_the_command_line_is_explained_with_its_option() -> None:
    assert "--port: input should be" in mistakes(overrides={"server": {"port": -1}})


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    file = write(folder / "parley.toml", "[server]\nprot = 1\n[log]\nlevel = 1\n[defaults]\nllms = 1\n")

    assert len(mistakes(file).splitlines()) == 3


def test_a_refused_key_is_not_quoted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder / "parley.toml", '[server]\napi_keys = {secret = "sk-1"}\n')
    assert "sk-1" not in mistakes(file)

    file = write(folder / "parley.toml", '[server]\napi_keys = ["sk-1", ""]\n')
    told = mistakes(file)
    assert "server.api_keys.1" in told
    assert "sk-1" not in told


def test_a_file_that_is_asked_for_must_exist(folder: Path) -> None:
    assert "no such settings file" in mistakes(folder / "missing.toml")


def test_variables_that_kubernetes_sets_for_a_service_are_no_mistakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "PARLEY_SERVICE_HOST": "10.0.0.1",
        "PARLEY_SERVICE_PORT": "8000",
        "PARLEY_SERVICE_PORT_HTTP": "8000",
        "PARLEY_PORT": "tcp://10.0.0.1:8000",
        "PARLEY_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "PARLEY_PORT_8000_TCP_ADDR": "10.0.0.1",
        "PARLEY_WEB_SERVICE_HOST": "10.0.0.2",
    }.items():
        monkeypatch.setenv(name, value)

    assert load_settings() == Settings()


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = Settings(server=ServerSettings(port=0))

    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]
