"""Start-up: what is chosen for each stage and why, and what keeps the server from starting."""

import http.client
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from providers.contracts import TtsOptions
from providers.errors import ProviderError
from providers.gemini import GeminiProvider
from server.background import running_server
from server.settings import DefaultsSettings, ProviderTable, ServerSettings, Settings
from server.startup import (
    NOTHING,
    Choice,
    StartupError,
    build_registry,
    check_exposure,
    load_providers,
    log_choices,
    prepare,
)

LAB = ProviderTable.model_validate(
    {"kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "models": ["llama-3.1-8b"]}
)


def choose(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, Choice]:
    """The choices by stage, without loading any model."""
    keys = environ or {}
    _, choices = build_registry(settings, load_providers(settings, keys), keys)
    return {choice.stage: choice for choice in choices}


def test_a_fresh_install_runs_on_this_machine_and_says_how_to_get_a_real_model() -> None:
    choices = choose(Settings())

    assert {stage: choice.chosen for stage, choice in choices.items()} == {
        "vad": "local/silero-vad",
        "turn": "local/smart-turn-v3",
        "stt": "local/moonshine-tiny-en",
        "llm": "builtin/echo",
        "tts": "local/espeak",
    }
    assert "GEMINI_API_KEY" in choices["llm"].why


@pytest.mark.parametrize(
    ("providers", "environ", "expected", "why"),
    [
        ({}, {"GEMINI_API_KEY": "k"}, "google-ai-studio/gemini-2.5-flash", "GEMINI_API_KEY is set"),
        ({}, {"GOOGLE_API_KEY": "k"}, "google-ai-studio/gemini-2.5-flash", "GOOGLE_API_KEY is set"),
        ({}, {"OPENAI_API_KEY": "k"}, "openai/gpt-4o-mini", "OPENAI_API_KEY is set"),
        ({}, {"OPENAI_API_KEY": "", "GEMINI_API_KEY": ""}, "builtin/echo", "no language model"),
        (
            {},
            {"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k"},
            "google-ai-studio/gemini-2.5-flash",
            "GEMINI_API_KEY is set",
        ),
        ({"lab": LAB}, {}, "lab/llama-3.1-8b", "the first model of providers.lab"),
        ({"lab": LAB}, {"OPENAI_API_KEY": "k"}, "lab/llama-3.1-8b", "the first model of providers.lab"),
        ({"openai": ProviderTable()}, {}, "openai/gpt-4o-mini", "providers.openai is configured"),
    ],
)
def test_the_language_model_follows_from_what_is_there(
    providers: dict[str, ProviderTable], environ: dict[str, str], expected: str, why: str
) -> None:
    choice = choose(Settings(providers=providers), environ)["llm"]

    assert choice.chosen == expected
    assert why in choice.why


def test_what_is_configured_comes_before_what_is_found() -> None:
    settings = Settings(
        providers={"lab": LAB},
        defaults=DefaultsSettings(llm="lab/other", stt="lab/whisper", tts="tts-1", voice="alloy"),
    )

    choices = choose(settings, {"GEMINI_API_KEY": "k"})

    assert choices["llm"] == Choice("llm", "lab/other", "set in defaults.llm")
    assert choices["stt"].chosen == "lab/whisper"
    assert choices["tts"] == Choice("tts", "local/espeak", "set in defaults.tts as 'tts-1'")


def test_a_default_may_be_an_alias() -> None:
    settings = Settings(
        providers={"lab": LAB}, aliases={"fast": "lab/x"}, defaults=DefaultsSettings(llm="fast")
    )

    assert choose(settings)["llm"].chosen == "lab/x"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(defaults=DefaultsSettings(llm="lab/x")), r"defaults.llm: .*\[providers.lab\]"),
        (Settings(defaults=DefaultsSettings(stt="local/whisper")), "defaults.stt: .*moonshine-tiny-en"),
        (Settings(defaults=DefaultsSettings(llm="openai/gpt-4o")), "defaults.llm: .*OPENAI_API_KEY"),
        (Settings(aliases={"a": "b", "b": "a"}), "aliases: .*circle"),
        (Settings(providers={"lab": ProviderTable(kind="nonsense")}), "installed kinds"),
        (Settings(providers={"lab": ProviderTable()}), "providers.lab.kind is missing"),
        (
            Settings(providers={"lab": LAB.model_copy(update={"api_key_env": "LAB_KEY"})}),
            "providers.lab.api_key_env names LAB_KEY, which is not set",
        ),
    ],
)
def test_settings_that_mean_nothing_keep_the_server_from_starting(settings: Settings, expected: str) -> None:
    with pytest.raises(StartupError, match=expected):
        choose(settings)


def test_keys_come_from_the_named_variable_or_the_settings() -> None:
    from_variable = LAB.model_copy(update={"api_key_env": "LAB_KEY"})
    from_settings = LAB.model_copy(update={"api_key": SecretStr("sk-2")})
    settings = Settings(providers={"one": from_variable, "two": from_settings, "three": LAB})

    providers = load_providers(settings, {"LAB_KEY": "sk-1"})

    assert [providers[name].settings.api_key for name in ("one", "two", "three")] == ["sk-1", "sk-2", None]
    assert "sk-" not in repr([provider.settings for provider in providers.values()])


def test_a_key_in_two_places_is_refused() -> None:
    both = LAB.model_copy(update={"api_key_env": "LAB_KEY", "api_key": SecretStr("sk-2")})

    with pytest.raises(StartupError, match="either api_key_env or api_key"):
        load_providers(Settings(providers={"lab": both}), {"LAB_KEY": "sk-1"})


def test_well_known_upstreams_have_an_address_that_can_be_replaced() -> None:
    keys = {"OPENAI_API_KEY": "a", "GOOGLE_API_KEY": "b"}

    plain = load_providers(Settings(), keys)
    moved = load_providers(Settings(), keys | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})

    assert plain["openai"].settings.options["base_url"] == "https://api.openai.com/v1"
    assert plain["openai"].settings.api_key == "a"
    assert isinstance(plain["google-ai-studio"], GeminiProvider)
    assert plain["google-ai-studio"].settings.api_key == "b"
    assert moved["openai"].settings.options["base_url"] == "http://127.0.0.1:9/v1"


def test_without_keys_the_server_only_listens_on_this_machine() -> None:
    check_exposure(Settings(server=ServerSettings(host="::1")))
    check_exposure(Settings(server=ServerSettings(host="0.0.0.0", api_keys=(SecretStr("k"),))))

    with pytest.raises(StartupError, match=r"PARLEY_API_KEYS=.*--host 127\.0\.0\.1"):
        check_exposure(Settings(server=ServerSettings(host="0.0.0.0")))


async def test_after_preparing_every_engine_is_loaded_and_works() -> None:
    prepared = await prepare(Settings(), {})
    registry = prepared.registry
    try:
        voice = prepared.choices[-1]
        assert voice == Choice("voice", "en-us+m3", "speaks for 'Dennis'")
        assert [choice.stage for choice in prepared.choices] == ["vad", "turn", "stt", "llm", "tts", "voice"]
        assert 0 < prepared.seconds < 60
        assert registry.vad().frame_samples == 512
        assert registry.stt("").streaming

        async def text() -> AsyncIterator[str]:
            yield "Hello there."

        chunks = [chunk async for chunk in registry.tts("").speak(text(), TtsOptions(voice.chosen))]
        assert sum(len(chunk.pcm) for chunk in chunks) > registry.tts("").sample_rate // 2
    finally:
        await registry.aclose()


async def test_an_unknown_default_voice_keeps_the_server_from_starting() -> None:
    with pytest.raises(StartupError, match="Unknown voice 'Zaphod'"):
        await prepare(Settings(defaults=DefaultsSettings(voice="Zaphod")), {})


async def test_a_model_that_cannot_be_loaded_keeps_the_server_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(self: object, model: str) -> None:
        raise ProviderError("the weights are missing")

    monkeypatch.setattr("providers.local.LocalProvider.stt", missing)

    with pytest.raises(StartupError, match=r"stt .*moonshine.*: the weights are missing"):
        await prepare(Settings(), {})


@pytest.fixture
def no_smart_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No wheel carries its weights, and nobody has downloaded them."""

    def missing(*names: str) -> Path:
        raise ProviderError("the wheel is not installed")

    monkeypatch.setattr("providers.turn.smart_turn.wheel_file", missing)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.usefixtures("no_smart_turn")
async def test_without_the_model_that_judges_turns_it_starts_and_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    prepared = await prepare(Settings(), {})
    try:
        assert prepared.registry.turn() is None
        choice = prepared.choices[1]
        assert (choice.stage, choice.chosen) == ("turn", NOTHING)

        with caplog.at_level(logging.INFO):
            log_choices(prepared)

        (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert warning.startswith("turn: none (semantic_vad goes by silence and words")
        assert "parley download smart-turn-v3" in warning
    finally:
        await prepared.registry.aclose()


@pytest.mark.usefixtures("no_smart_turn")
async def test_a_model_that_judges_turns_and_was_asked_for_must_be_there() -> None:
    settings = Settings(defaults=DefaultsSettings(turn="local/smart-turn-v3"))

    with pytest.raises(StartupError, match=r"turn \(local/smart-turn-v3\): .*parley download"):
        await prepare(settings, {})


async def test_a_file_of_weights_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    table = ProviderTable.model_validate({"smart_turn": str(tmp_path / "own.onnx")})

    with pytest.raises(StartupError, match=r"turn .*no file .*own\.onnx, which the option smart_turn names"):
        await prepare(Settings(providers={"local": table}), {})


@pytest.mark.parametrize("value", [False, "none", "off"])
async def test_the_judge_of_turns_can_be_switched_off(
    value: bool | str, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = await prepare(Settings(defaults=DefaultsSettings.model_validate({"turn": value})), {})
    try:
        assert prepared.registry.turn() is None
        with caplog.at_level(logging.INFO):
            log_choices(prepared)

        assert {record.levelno for record in caplog.records} == {logging.INFO}
        assert caplog.records[1].message.startswith("turn: none (switched off in defaults.turn")
    finally:
        await prepared.registry.aclose()


async def test_the_judge_of_turns_is_one_for_all() -> None:
    prepared = await prepare(Settings(), {})
    try:
        judge = prepared.registry.turn()
        assert judge is not None
        assert judge is prepared.registry.turn()
        assert 0 <= judge.probability(bytes(32_000)) <= 1
    finally:
        await prepared.registry.aclose()


def test_a_server_in_the_background_answers_at_once_and_ends_with_its_block() -> None:
    with running_server(Settings(), environ={}) as url:
        assert urlsplit(url).hostname == "127.0.0.1"
        port = urlsplit(url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
        connection.close()

    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port or 0)) != 0


def test_a_server_in_the_background_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(StartupError, match=r"defaults\.llm"),
        running_server(Settings(defaults=DefaultsSettings(llm="no/model")), environ={}),
    ):
        pass
