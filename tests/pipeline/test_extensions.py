"""`providerData` inside the pipeline: how updates of it merge, and what is read from it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.callers import caller_of
from pipeline.config import SessionConfig, merge
from pipeline.core.clauses import cutter_for
from pipeline.core.speech_style import speech_style
from pipeline.errors import InvalidRequest
from pipeline.extensions import (
    MAX_PROVIDER_DATA,
    Extensions,
    Filler,
    Memory,
    MemoryState,
    extensions_of,
    has_room,
    other_spelling,
)
from pipeline.sampling import generation_settings
from providers.contracts import Caller, LlmRequest
from tests.chance import examples
from tests.pipeline.playbook import session_config

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("aB_", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(("stt", "a_b", "aB", "metadata")), JSON, max_size=4)


def given_in_turn(*patches: Any) -> Any:
    """The session's `providerData` after these updates."""
    config = session_config()
    for patch in patches:
        config = merge(config, {"provider_data": patch})
    return config.provider_data


@pytest.mark.parametrize(
    ("patches", "result"),
    [
        (({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (({"stt": {"prompt": "x", "n": 1}}, {"stt": {"prompt": "y"}}), {"stt": {"prompt": "y", "n": 1}}),
        (({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}), {"a": {"b": {"c": 1, "d": 2}}}),
        (({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}), {"a": {"c": 2}}),
        (({"a": 1, "b": 2}, {"a": None}), {"b": 2}),
        (({"a": {"b": 1}}, {"a": None}, {"a": {"c": 2}}), {"a": {"c": 2}}),
        (({"a": [1, 2]}, {"a": [3]}), {"a": [3]}),
        (({"a": 1}, {"a": {"b": None, "c": 1}}), {"a": {"c": 1}}),
        (({"a": {"b": 1}}, {"a": 2}), {"a": 2}),
        (({"a": {"b": 1}}, {}), {"a": {"b": 1}}),
        (({"a": 1}, None), None),
        (({"a": 1}, None, {"b": 2}), {"b": 2}),
        # One member in two spellings is one member, except where clients make up the names.
        (
            ({"memory": {"turn_interval": 5}}, {"memory": {"turnInterval": 2}}),
            {"memory": {"turnInterval": 2}},
        ),
        (({"memory": {"turnInterval": 5}}, {"memory": {"turn_interval": None}}), {"memory": {}}),
        (({"userId": "a"}, {"user_id": "b"}), {"user_id": "b"}),
        (
            ({"textGenerationConfig": {"seed": 1}}, {"text_generation_config": {"topP": 0.5}}),
            {"text_generation_config": {"seed": 1, "topP": 0.5}},
        ),
        (
            ({"metadata": {"user_id": "a"}}, {"metadata": {"userId": "b"}}),
            {"metadata": {"user_id": "a", "userId": "b"}},
        ),
    ],
)
def test_updates_merge(patches: Any, result: Any) -> None:
    assert given_in_turn(*patches) == result


@given(OBJECTS, OBJECTS)
@examples(200)
def test_the_same_update_twice_is_the_same_as_once(first: Any, second: Any) -> None:
    once = given_in_turn(first, second)

    assert given_in_turn(first, second, second) == once
    assert given_in_turn(once) == once  # nothing in it is a removal
    assert given_in_turn(first, dict.fromkeys(first)) == {}


def test_what_is_merged_leaves_the_earlier_configuration_as_it_was() -> None:
    before = session_config({"provider_data": {"stt": {"prompt": "x"}, "list": [1]}})

    merge(before, {"provider_data": {"stt": {"prompt": None, "n": 1}, "list": [2]}})

    assert before.provider_data == {"stt": {"prompt": "x"}, "list": [1]}


def test_many_small_updates_cannot_make_a_session_keep_much() -> None:
    config = session_config()
    for number in range(64):
        config = merge(config, {"provider_data": {f"name{number}": "x" * 1000}})

    with pytest.raises(InvalidRequest) as refused:
        merge(config, {"provider_data": {"another": "x" * 1000}})

    assert (refused.value.code, refused.value.param) == ("string_above_max_length", "session.providerData")
    assert len(merge(config, {"provider_data": {"name1": None, "another": "x"}}).provider_data) == 64


@pytest.mark.parametrize(
    "much",
    [
        "x" * MAX_PROVIDER_DATA,
        ["x" * 10] * 5500,
        {str(number): number for number in range(8000)},
        {"a": {"b": ["x" * (MAX_PROVIDER_DATA - 10)]}},
        [[]] * 22_000,
        [12345678] * 7000,
    ],
)
def test_data_of_any_shape_is_measured(much: Any) -> None:
    assert not has_room(much)
    assert has_room(much[: len(much) // 4] if not isinstance(much, dict) else {"a": 1})


@pytest.mark.parametrize(
    ("name", "other"),
    [("turn_interval", "turnInterval"), ("a_b_c", "aBC"), ("memory", "memory"), ("top_p", "topP"), ("", "")],
)
def test_names_have_two_spellings(name: str, other: str) -> None:
    assert other_spelling(name) == other
    assert other_spelling(other) == name


@pytest.mark.parametrize("spelling", [str, other_spelling])
def test_members_are_read_in_either_spelling(spelling: Any) -> None:
    state = {spelling("context_text"): "Ann sails.", "facts": ["Ann sails"], "unknown": 5}
    data = {
        spelling("auto_tool_response"): True,
        spelling("turn_suggestions"): True,
        spelling("text_generation_config"): {"seed": 5},
        "responsiveness": {"enabled": True, spelling("small_model"): "a/b", spelling("max_tokens"): None},
        "memory": {spelling("turn_interval"): 2, "state": state},
        "stt": {"prompt": "Names."},
    }

    assert extensions_of(data) == Extensions(
        auto_tool_response=True,
        turn_suggestions=True,
        stt={"prompt": "Names."},
        text_generation_config={"seed": 5},
        filler=Filler(enabled=True, small_model="a/b"),
        memory=Memory(turn_interval=2, state=MemoryState(facts=("Ann sails",), context_text="Ann sails.")),
    )


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"stt": 5, "memory": {"state": []}, "auto_tool_response": 1}]
)
def test_what_has_another_shape_asks_for_nothing(data: Any) -> None:
    assert extensions_of(data) == Extensions()
    assert generation_settings(session_config({"provider_data": data})) == {}


# --- what becomes of it ------------------------------------------------------------------------------

ALL: Mapping[str, Any] = {
    "maxNewTokens": 50,
    "temperature": 0.4,
    "topP": 0.9,
    "frequencyPenalty": 0.5,
    "presencePenalty": -0.5,
    "repetitionPenalty": 1.1,
    "stopSequences": ["END", "###"],
    "seed": 7,
    "logitBias": {"50256": -100},
    "reasoning": {"effort": "LOW", "maxTokens": 900, "exclude": True},
}
READ = {
    "max_output_tokens": 50,
    "temperature": 0.4,
    "top_p": 0.9,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "repetition_penalty": 1.1,
    "stop": ("END", "###"),
    "seed": 7,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "low",
    "reasoning_tokens": 900,
}


def writing(config: Mapping[str, Any], **members: Any) -> SessionConfig:
    return session_config({"provider_data": {"text_generation_config": config}, **members})


@pytest.mark.parametrize("spelling", [str, other_spelling])
def test_the_sampling_of_a_session_becomes_arguments_of_its_requests(spelling: Any) -> None:
    asked = {spelling(name): value for name, value in ALL.items()}

    settings = generation_settings(writing(asked))

    assert settings == READ
    request = LlmRequest((), **settings)
    assert {name: getattr(request, name) for name in READ} == READ


def test_the_own_members_of_a_session_go_first() -> None:
    own = session_config({"temperature": 0.0, "max_output_tokens": 10, "reasoning": None})
    assert generation_settings(own) == {"temperature": 0.0, "max_output_tokens": 10}

    both = merge(own, {"provider_data": {"text_generation_config": ALL}})

    assert generation_settings(both) == READ | {"temperature": 0.0, "max_output_tokens": 10}


@pytest.mark.parametrize(
    ("effort", "read"),
    [
        ("NONE", "none"),
        ("xhigh", "xhigh"),
        ("REASONING_EFFORT_HIGH", "high"),
        ("REASONING_EFFORT_UNSPECIFIED", None),
    ],
)
def test_efforts_are_read_as_services_spell_them(effort: str, read: str | None) -> None:
    assert generation_settings(writing({"reasoning": {"effort": effort}})).get("reasoning_effort") == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([{"tokenId": 5, "biasValue": -1.5}, {"token_id": "6", "bias_value": 2}], {"5": -1.5, "6": 2}),
        ([{"tokenId": 5}], None),
        ([], None),
        ({}, None),
    ],
)
def test_biases_may_come_as_a_list(given: Any, read: Any) -> None:
    assert generation_settings(writing({"logitBias": given})).get("logit_bias") == read


@pytest.mark.parametrize("name", ["user_id", "userId"])
def test_routers_know_the_user_by_either_spelling(name: str) -> None:
    config = session_config({"provider_data": {name: "ann", "metadata": {"userId": "bob"}}})

    assert caller_of("sess", config) == Caller("sess", "ann", {"userId": "bob"})


def test_the_voice_is_told_what_the_client_asks_of_it() -> None:
    asked = {"language": "de-DE", "delivery_mode": "CREATIVE"}

    style = speech_style(session_config({"provider_data": {"tts": asked}}))

    assert (style.model, style.voice, style.language, style.settings) == ("lab/tts", "Ann", "de-DE", asked)
    assert speech_style(session_config()).settings == {}


def test_a_response_may_have_its_replies_cut_in_its_own_way() -> None:
    whole = session_config({"provider_data": {"tts": {"segmenterStrategy": "full_turn"}}})

    assert cutter_for(whole).feed("Hello there. How are you? ") == []
    assert cutter_for(session_config()).feed("Hello there. How are you? ") == [
        "Hello there. ",
        "How are you? ",
    ]
