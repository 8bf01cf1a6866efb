"""`providerData` on the wire: known members are checked, all of it is kept, and its size is bounded."""

import json
import logging
from typing import Any

import pytest

from pipeline.commands import CreateResponse, Refuse, UpdateSession
from pipeline.config import merge
from pipeline.extensions import other_spelling
from server.protocol.decoding import Decoder
from server.protocol.objects import session_json
from server.protocol.profiles import OPENAI
from tests.pipeline.playbook import session_config

# Every member that is known, with a value that it may have.
ALL: dict[str, Any] = {
    "auto_tool_response": False,
    "turn_suggestions": True,
    "user_id": "ann",
    "metadata": {"sdk": "lab", "tier": 1, "any_name": True, "anyName": {"a": []}},
    "stt": {
        "prompt": "Names.",
        "voice_profile": True,
        "language_hints": ["de", "en"],
        "language_hints_strict": False,
        "end_of_turn_confidence_threshold": 0.5,
        "vad_threshold": 0,
        "min_end_of_turn_silence": 160,
        "max_turn_silence": 2000,
    },
    "tts": {
        "segmenter_strategy": "full_turn",
        "steering_handling": "emit_once",
        "language": "de-DE",
        "delivery_mode": "CREATIVE",
        "temperature": 1.1,
        "conversational": True,
        "user_turn_mode": "audio_only",
        "timestamp_type": "WORD",
        "timestamp_transport_strategy": "SYNC",
    },
    "text_generation_config": {
        "maxNewTokens": 50,
        "temperature": 0.4,
        "topP": 0.9,
        "frequencyPenalty": 0.5,
        "presencePenalty": -0.5,
        "repetitionPenalty": 1.1,
        "stopSequences": ["END"],
        "seed": 7,
        "logitBias": {"50256": -100},
        "reasoning": {"effort": "LOW", "maxTokens": 900, "exclude": True},
    },
    "responsiveness": {
        "enabled": True,
        "small_model": "groq/llama",
        "initial_wait_timeout_ms": 1200,
        "hard_deadline_ms": 2000,
        "history_tail_items": 4,
        "temperature": 0.7,
        "max_tokens": 12,
        "min_filler_gap_ms": 8000,
        "max_initial_per_turn": 1,
        "max_buffer_deltas": 10,
        "enable_filler_on_first_assistant_reply": False,
        "prompt_template": "Say hm.",
        "pause_text": "...",
    },
    "backchannel": {
        "enabled": True,
        "small_model": "groq/llama",
        "eval_interval_ms": 800,
        "min_speech_ms": 800,
        "min_gap_ms": 4000,
        "max_per_turn": 3,
        "hard_deadline_ms": 1500,
        "history_tail_items": 4,
        "temperature": 0.7,
        "max_tokens": 6,
        "volume_gain": 0.6,
        "require_pause": True,
        "allowed_phrases": ["mhm"],
        "prompt_template": "Say hm.",
        "decider_kind": "rule",
        "rule_fire_probability": 0.5,
    },
    "memory": {
        "enabled": True,
        "turn_interval": 5,
        "max_memory_length": 2000,
        "max_transcript_items": 20,
        "max_facts": 20,
        "trim_after_summarize": True,
        "state": {
            "version": 3,
            "facts": ["Ann sails."],
            "summary": "They talk.",
            "context_text": "Ann sails.",
            "turns_since_gen": 1,
            "total_turns": 9,
            "items_trimmed": 4,
        },
    },
    "caching": {"enabled": True, "ttl": "5m", "cache_instructions": True, "cache_tools": True},
}
LEAVES = [
    (*path, name)
    for path, table in [
        ((), ALL),
        *(((name,), value) for name, value in ALL.items() if isinstance(value, dict) and name != "metadata"),
        (("memory", "state"), ALL["memory"]["state"]),
        (("text_generation_config", "reasoning"), ALL["text_generation_config"]["reasoning"]),
    ]
    for name in table
]


def decode(event: Any) -> Any:
    return Decoder(max_append_bytes=10_000, max_item_bytes=20_000).decode(json.dumps(event))


def update(data: Any) -> Any:
    return decode({"type": "session.update", "session": {"type": "realtime", "providerData": data}})


def kept(data: Any) -> Any:
    """What the session has of it, as the client sees it."""
    command = update(data)
    assert isinstance(command, UpdateSession), command
    config = merge(session_config(), command.patch)
    return session_json("sess", config, 0)["providerData"]


def refusal(data: Any) -> tuple[str | None, str]:
    command = update(data)
    assert isinstance(command, Refuse), command
    return command.error.code, (command.error.param or "").removeprefix("session.providerData.")


def respelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {other_spelling(name): respelled(inner) for name, inner in value.items() if name != "metadata"}
    return value


def at(path: tuple[str, ...], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def test_every_known_member_is_kept_as_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    assert kept(ALL) == ALL
    assert kept(respelled(ALL)) == respelled(ALL)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_unknown_members_are_kept_too_and_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    odd = {"mood": [1, {"a": None}], "stt": {"turbo": True}, "responsivness": {"enabled": True}}

    assert kept(odd) == odd

    named = [record.getMessage() for record in caplog.records]
    for path in ("mood", "stt.turbo", "responsivness"):
        assert f"ignoring the unknown member 'session.providerData.{path}'" in named


def test_another_name_for_all_of_it_is_ignored() -> None:
    command = decode({"type": "session.update", "session": {"provider_data": {"stt": 5}}})

    assert isinstance(command, UpdateSession)
    assert command.patch == {}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_null_removes_any_member(path: tuple[str, ...]) -> None:
    command = update(at(path, None))

    assert isinstance(command, UpdateSession), command
    config = merge(session_config({"provider_data": ALL}), command.patch)
    value: Any = config.provider_data
    for name in path[:-1]:
        value = value[name]
    assert path[-1] not in value


@pytest.mark.parametrize(
    "path",
    [path for path in LEAVES if path not in {("caching", "ttl"), ("text_generation_config", "logitBias")}],
    ids=".".join,
)
def test_a_known_member_of_another_type_is_refused(path: tuple[str, ...]) -> None:
    """A list holds nothing but texts, and numbers are no texts: `[5]` is wrong everywhere."""
    code, param = refusal(at(path, [5]))

    assert code in ("invalid_type", "invalid_value")
    assert param.removesuffix("[0]") == ".".join(path)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("memory.turn_interval", 0, "integer_below_min_value"),
        ("memory.turn_interval", 2.5, "invalid_type"),
        ("memory.turnInterval", 0, "integer_below_min_value"),
        ("memory.max_facts", 101, "integer_above_max_value"),
        ("memory.state.version", -1, "integer_below_min_value"),
        ("memory.state.context_text", "x" * 20_001, "string_above_max_length"),
        ("stt.vad_threshold", 1.1, "decimal_above_max_value"),
        ("stt.end_of_turn_confidence_threshold", -0.5, "decimal_below_min_value"),
        ("stt.max_turn_silence", 60_001, "integer_above_max_value"),
        ("stt.language_hints", ["de"] * 101, "array_above_max_length"),
        ("stt.voice_profile.top_n", 21, "integer_above_max_value"),
        ("stt.voice_profile", "yes", "invalid_type"),
        ("tts.segmenter_strategy", "words", "invalid_value"),
        ("tts.delivery_mode", "LOUD", "invalid_value"),
        ("tts.language", "", "string_below_min_length"),
        ("text_generation_config.topP", 1.5, "decimal_above_max_value"),
        ("text_generation_config.top_p", 1.5, "decimal_above_max_value"),
        ("text_generation_config.frequencyPenalty", 3, "decimal_above_max_value"),
        ("text_generation_config.maxNewTokens", 0, "integer_below_min_value"),
        ("text_generation_config.seed", 2**63, "integer_above_max_value"),
        ("text_generation_config.stopSequences", [""], "string_below_min_length"),
        ("text_generation_config.logitBias", 5, "invalid_type"),
        ("text_generation_config.logitBias", {"5": 101}, "decimal_above_max_value"),
        ("text_generation_config.logitBias", [{"tokenId": 5}], "missing_required_parameter"),
        ("text_generation_config.reasoning.effort", "HUGE", "invalid_value"),
        ("backchannel.decider_kind", "dice", "invalid_value"),
        ("backchannel.allowed_phrases", ["mhm"] * 51, "array_above_max_length"),
        ("responsiveness.temperature", 3, "decimal_above_max_value"),
        ("user_id", "x" * 513, "string_above_max_length"),
        ("auto_tool_response", 1, "invalid_type"),
    ],
)
def test_wrong_values_are_refused_where_they_stand(path: str, value: Any, code: str) -> None:
    told, param = refusal(at(tuple(path.split(".")), value))

    assert told == code
    assert param.startswith(path)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("x", "invalid_type"),
        ([], "invalid_type"),
        ({"a": "x" * 70_000}, "string_above_max_length"),
        ({"a": [[]] * 70_000}, "string_above_max_length"),
        ({"stt": {"prompt": 5, "x": "y" * 70_000}}, "string_above_max_length"),
    ],
)
def test_all_of_it_is_an_object_of_bounded_size(data: Any, code: str) -> None:
    assert refusal(data) == (code, "session.providerData")


def test_words_in_capitals_may_be_small() -> None:
    small = {
        "tts": {"delivery_mode": "stable", "timestamp_type": "word"},
        "text_generation_config": {"reasoning": {"effort": "low"}},
    }

    assert kept(small) == small


def test_a_response_may_have_its_own() -> None:
    command = decode({"type": "response.create", "response": {"providerData": {"tts": {"language": "de"}}}})
    wrong = decode({"type": "response.create", "response": {"providerData": {"tts": {"language": 5}}}})

    assert isinstance(command, CreateResponse)
    assert command.params.overrides == {"provider_data": {"tts": {"language": "de"}}}
    assert isinstance(wrong, Refuse)
    assert wrong.error.param == "response.providerData.tts.language"


def test_the_strict_profile_has_no_such_thing() -> None:
    decoder = Decoder(max_append_bytes=10_000, max_item_bytes=20_000, profile=OPENAI)
    session = {"type": "realtime", "providerData": ALL}

    command = decoder.decode(json.dumps({"type": "session.update", "session": session}))

    assert isinstance(command, Refuse)
    assert (command.error.code, command.error.param) == ("unknown_parameter", "session.providerData")


def test_a_small_model_without_a_name_is_the_servers_own_choice() -> None:
    given = {"responsiveness": {"small_model": ""}, "backchannel": {"small_model": ""}}
    assert kept(given) == given
