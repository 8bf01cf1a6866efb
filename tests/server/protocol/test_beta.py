"""The beta dialect as a shape: each member of its types is understood, each event is one of its types."""

import json
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.beta import realtime as beta
from openai.types.beta.realtime import (
    conversation_item_with_reference,
    response_create_event,
    session_update_event,
    transcription_session_update,
)
from pydantic import BaseModel

from pipeline.commands import CreateItem, CreateResponse, Refuse, UpdateSession
from pipeline.config import AudioFormat, SemanticVad, SessionConfig, SessionType, merge
from pipeline.errors import InvalidRequest
from pipeline.events import ErrorRaised, SessionCreated, SessionUpdated
from pipeline.items import InputText, ItemReference, MessageItem, OutputText
from providers.contracts import FunctionTool, NamedToolChoice
from server.protocol.beta.reading import read
from server.protocol.beta.sessions import MEMBERS, beta_session, ga_session
from server.protocol.beta.writing import rename_paths, write
from server.protocol.decoding import Decoder
from server.protocol.encoding import Encoder
from server.protocol.objects import session_json
from tests.chance import examples
from tests.conformance.published import PUBLISHED
from tests.conformance.shapes import check_shape
from tests.pipeline.playbook import session_config
from tests.server.protocol.test_encoding import EVENTS

Json = dict[str, Any]

TOOL = {"type": "function", "name": "weather", "description": "Says it.", "parameters": {}}

# Every member of a beta session: its name, a value, and the patch that it means.
SESSION: list[tuple[str, Any, Json]] = [
    ("modalities", ["text", "audio"], {"output_modalities": ("audio",)}),
    ("modalities", ["text"], {"output_modalities": ("text",)}),
    ("instructions", "Sing.", {"instructions": "Sing."}),
    ("voice", "ash", {"audio": {"output": {"voice": "ash"}}}),
    ("speed", 1.2, {"audio": {"output": {"speed": 1.2}}}),
    ("input_audio_format", "pcm16", {"audio": {"input": {"format": AudioFormat("audio/pcm", 24_000)}}}),
    ("output_audio_format", "g711_ulaw", {"audio": {"output": {"format": AudioFormat("audio/pcmu", 8_000)}}}),
    (
        "input_audio_transcription",
        {"model": "whisper-1", "language": "de", "prompt": "names"},
        {
            "audio": {
                "input": {
                    "transcription": {
                        "model": "whisper-1",
                        "language": "de",
                        "languages": None,
                        "prompt": "names",
                    }
                }
            }
        },
    ),
    ("input_audio_transcription", None, {"audio": {"input": {"transcription": None}}}),
    (
        "input_audio_noise_reduction",
        {"type": "far_field"},
        {"audio": {"input": {"noise_reduction": {"type": "far_field"}}}},
    ),
    ("input_audio_noise_reduction", None, {"audio": {"input": {"noise_reduction": None}}}),
    (
        "turn_detection",
        {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300, "create_response": False},
        {
            "audio": {
                "input": {
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.4,
                        "silence_duration_ms": 300,
                        "create_response": False,
                    }
                }
            }
        },
    ),
    ("turn_detection", None, {"audio": {"input": {"turn_detection": None}}}),
    ("max_response_output_tokens", 99, {"max_output_tokens": 99}),
    ("max_response_output_tokens", "inf", {"max_output_tokens": None}),
    ("temperature", 0.7, {"temperature": 0.7}),
    ("tools", [TOOL], {"tools": (FunctionTool("weather", "Says it.", {}),)}),
    ("tool_choice", "required", {"tool_choice": "required"}),
    ("tool_choice", "weather", {"tool_choice": NamedToolChoice("weather")}),
    ("tool_choice", {"type": "function", "name": "weather"}, {"tool_choice": NamedToolChoice("weather")}),
    ("model", "gpt-4o-realtime-preview", {"model": "gpt-4o-realtime-preview"}),
    ("tracing", "auto", {"tracing": "auto"}),
    ("client_secret", {"expires_after": {"anchor": "created_at", "seconds": 60}}, {}),
]
OF_RESPONSES = {"modalities", "instructions", "voice", "output_audio_format", "temperature", "tools"} | {
    "tool_choice",
    "max_response_output_tokens",
}
OF_TRANSCRIPTION = {"input_audio_format", "input_audio_transcription", "input_audio_noise_reduction"} | {
    "turn_detection",
    "client_secret",
}


def decode(event: Json, session_type: SessionType = "realtime") -> Any:
    decoder = Decoder(max_append_bytes=1000, max_item_bytes=1000, session_type=session_type)
    return decoder.decode(json.dumps(read(event)))


def ids(rows: list[tuple[str, Any, Json]]) -> list[str]:
    return [f"{name}={json.dumps(value)[:40]}" for name, value, _ in rows]


@pytest.mark.parametrize(("name", "value", "patch"), SESSION, ids=ids(SESSION))
def test_each_member_of_a_flat_session_changes_what_it_means(name: str, value: Any, patch: Json) -> None:
    command = decode({"type": "session.update", "event_id": "e1", "session": {name: value}})

    assert command == UpdateSession(patch, "e1")


@pytest.mark.parametrize(
    ("name", "value", "patch"),
    [row for row in SESSION if row[0] in OF_RESPONSES],
    ids=ids([row for row in SESSION if row[0] in OF_RESPONSES]),
)
def test_each_member_of_a_flat_response_overrides_what_it_means(name: str, value: Any, patch: Json) -> None:
    command = decode({"type": "response.create", "response": {name: value}})

    assert isinstance(command, CreateResponse), command
    assert command.params.overrides == patch


@pytest.mark.parametrize(
    ("name", "value", "patch"),
    [row for row in SESSION if row[0] in OF_TRANSCRIPTION],
    ids=ids([row for row in SESSION if row[0] in OF_TRANSCRIPTION]),
)
def test_each_member_of_a_flat_transcription_session_changes_what_it_means(
    name: str, value: Any, patch: Json
) -> None:
    command = decode({"type": "transcription_session.update", "session": {name: value}}, "transcription")

    assert isinstance(command, UpdateSession), command
    if name == "turn_detection" and value:  # nothing to be created; see the session's type
        patch["audio"]["input"]["turn_detection"].pop("create_response", None)
        command.patch["audio"]["input"]["turn_detection"].pop("create_response", None)
    assert command.patch == patch


def test_a_transcription_session_is_told_what_to_include() -> None:
    names = ["item.input_audio_transcription.logprobs"]
    session = {"include": names, "modalities": ["text"]}

    command = decode({"type": "transcription_session.update", "session": session}, "transcription")

    assert command == UpdateSession({"include": tuple(names)}, None)


def test_the_tables_miss_no_member_of_the_published_types() -> None:
    response = set(response_create_event.Response.model_fields)
    transcription = set(transcription_session_update.Session.model_fields)

    assert {name for name, _, _ in SESSION} == set(session_update_event.Session.model_fields)
    assert response == OF_RESPONSES | {"conversation", "input", "metadata"}
    assert transcription == OF_TRANSCRIPTION | {"include", "modalities"}


def _client_events() -> list[str]:
    types: tuple[type[BaseModel], ...] = get_args(get_args(beta.RealtimeClientEvent)[0])
    kinds = [get_args(type.model_fields["type"].annotation)[0] for type in types]
    kinds.remove("output_audio_buffer.clear")  # for WebRTC: on a socket the client drops its own sound
    return kinds


@pytest.mark.parametrize("kind", _client_events())
def test_every_client_event_of_the_published_types_is_known(kind: str) -> None:
    event = read({"type": kind})

    answer = Decoder(max_append_bytes=1, max_item_bytes=1).decode(json.dumps(event))
    assert not isinstance(answer, Refuse) or answer.error.param != "type"


def test_a_response_has_context_and_metadata_of_its_own() -> None:
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    replied = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
    links = {"type": "message", "role": "user", "content": [{"type": "item_reference", "id": "item_9"}]}
    reference = {"type": "item_reference", "id": "item_8"}
    assert {"item_reference"} <= set(
        get_args(
            get_args(
                conversation_item_with_reference.ConversationItemWithReference.model_fields["type"].annotation
            )[0]
        )
    )

    command = decode(
        {
            "type": "response.create",
            "response": {
                "conversation": "none",
                "metadata": {"a": "b"},
                "input": [said, replied, reference, links],
            },
        }
    )

    assert isinstance(command, CreateResponse)
    assert not command.params.in_conversation
    assert command.params.metadata == {"a": "b"}
    assert command.params.input == (
        MessageItem("", "user", (InputText("Hi"),)),
        MessageItem("", "assistant", (OutputText("Hello"),)),
        ItemReference("item_8"),
        ItemReference("item_9"),
    )


def test_items_may_use_the_short_content_types() -> None:
    content = [{"type": "text", "text": "So"}, {"type": "audio", "transcript": "be it."}]
    item = {"type": "message", "role": "assistant", "object": "realtime.item", "content": content}

    command = decode({"type": "conversation.item.create", "item": item})

    assert command == CreateItem(
        MessageItem("", "assistant", (OutputText("So"), OutputText("be it."))), None, None
    )


def test_ga_members_in_a_beta_event_are_understood_and_come_first() -> None:
    session = {
        "voice": "ash",
        "input_audio_format": "g711_alaw",
        "turn_detection": None,
        "output_modalities": ["text"],
        "audio": {"output": {"voice": "echo"}, "input": {"noise_reduction": None}},
    }
    command = decode({"type": "session.update", "session": session})

    assert command.patch == {
        "output_modalities": ("text",),
        "audio": {
            "output": {"voice": "echo"},
            "input": {
                "noise_reduction": None,
                "turn_detection": None,
                "format": AudioFormat("audio/pcma", 8_000),
            },
        },
    }


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update"},
        {"type": "session.update", "session": "x"},
        {"type": "session.update", "session": {"audio": 1, "voice": "ash"}},
        {"type": "session.update", "session": {"audio": {"output": "loud"}, "speed": 1}},
        {"type": "session.update", "session": {"modalities": [{}, "audio"]}},
        {"type": "session.update", "session": {"modalities": "audio"}},
        {"type": "session.update", "session": {"input_audio_format": "mp3"}},
        {"type": "session.update", "session": {"input_audio_format": {}, "turn_detection": 7}},
        {"type": "session.update", "session": {"tool_choice": 5}},
        {"type": "transcription_session.update", "session": []},
        {"type": "response.create", "response": 3},
        {"type": "response.create", "response": {"input": [{"content": ["x"]}, 4]}},
        {"type": ["session.update"]},
        {},
    ],
    ids=json.dumps,
)
def test_nonsense_is_handed_on_to_be_refused(event: Json) -> None:
    session_type: SessionType = "transcription" if "transcription" in str(event.get("type")) else "realtime"

    answer = decode(event, session_type)

    assert isinstance(answer, Refuse) or event.get("session") == {
        "input_audio_format": {},
        "turn_detection": 7,
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["text", "audio", "pcm16"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*MEMBERS, "audio", "input", "output", "content", "type"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@examples(300)
@given(
    st.sampled_from(["session.update", "transcription_session.update", "response.create"]),
    st.sampled_from(["session", "response"]),
    JSON,
)
def test_anything_can_be_read(kind: str, name: str, value: Any) -> None:
    event = {"type": kind, name: value}
    before = json.dumps(event)

    answer = decode(event)

    assert isinstance(answer, Refuse | UpdateSession | CreateResponse)
    assert json.dumps(event) == before  # what came in was not changed on the way


# Faults as the GA dialect words them, and where the client put what is at fault.
@pytest.mark.parametrize(
    ("ga", "flat"),
    [
        ("session.audio.input.turn_detection.threshold", "session.turn_detection.threshold"),
        ("session.audio.input.format.type", "session.input_audio_format.type"),
        ("session.audio.input.transcription.model", "session.input_audio_transcription.model"),
        ("session.audio.input.noise_reduction", "session.input_audio_noise_reduction"),
        ("session.audio.output.format", "session.output_audio_format"),
        ("session.audio.output.voice", "session.voice"),
        ("session.audio.output.speed", "session.speed"),
        ("session.output_modalities[0]", "session.modalities[0]"),
        ("session.max_output_tokens", "session.max_response_output_tokens"),
        ("response.audio.output.voice", "response.voice"),
        ("response.output_modalities", "response.modalities"),
        ("session.tools[0].name", "session.tools[0].name"),
        ("item.content[0].text", "item.content[0].text"),
    ],
)
def test_errors_name_the_member_that_the_client_sent(ga: str, flat: str) -> None:
    told = write(
        "error",
        {
            "error": {
                "type": "invalid_request_error",
                "code": "x",
                "message": f"Invalid '{ga}': no.",
                "param": ga,
            }
        },
    )

    assert told is not None
    assert (told[1]["error"]["param"], told[1]["error"]["message"]) == (flat, f"Invalid '{flat}': no.")
    assert rename_paths(ga) == flat


# --- server events --------------------------------------------------------------------------------------


def tell(kind: str, members: Json) -> Json | None:
    told = write(kind, members)
    return None if told is None else {"type": told[0], "event_id": "event_1", **told[1]}


def as_ga(event: Any) -> tuple[str, Json]:
    (frame,) = Encoder("sess_1", 1_700_000_000).encode(event)
    data = orjson.loads(frame)
    return data.pop("type"), {name: value for name, value in data.items() if name != "event_id"}


@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS], ids=[kind for _, kind, _ in EVENTS])
def test_each_event_has_a_published_beta_type_or_is_not_told(event: Any) -> None:
    kind, members = as_ga(event)
    before = orjson.dumps(members)

    told = tell(kind, members)

    if told is None:
        younger = ("mcp_list_tools.", "response.mcp_call", "response.backchannel.", "turn_suggestion")
        assert kind.startswith(younger) or kind in (
            "conversation.item.done",
            "conversation.item.input_audio_transcription.segment",
            "input_audio_buffer.timeout_triggered",
        )
    else:
        assert check_shape(told, "beta") == []
    assert orjson.dumps(members) == before


def test_every_published_beta_event_is_told() -> None:
    told = [tell(*as_ga(event)) for event, _, _ in EVENTS]
    never = {kind for kind in PUBLISHED["beta"].events if kind.startswith("output_audio_buffer.")}  # WebRTC

    assert {event["type"] for event in told if event} | never | {
        "conversation.created",
        "transcription_session.created",
        "transcription_session.updated",
    } == set(PUBLISHED["beta"].events)


def changed(patch: Json) -> SessionConfig:
    config: SessionConfig = merge(session_config(), patch)
    return config


def test_a_flat_session_shows_everything() -> None:
    config = changed(
        {
            "instructions": "Sing.",
            "temperature": 0.7,
            "max_output_tokens": 99,
            "tool_choice": NamedToolChoice("weather"),
            "audio": {
                "input": {
                    "format": AudioFormat("audio/pcma", 8_000),
                    "transcription": {"language": "de", "keywords": ("Ann",), "delay": "low"},
                    "noise_reduction": {"type": "far_field", "strength": 0.4},
                    "turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000},
                },
                "output": {"voice": "ash", "speed": 1.25},
            },
        }
    )

    kind, members = as_ga(SessionUpdated(config))
    told = tell(kind, members)

    assert told is not None
    assert check_shape(told, "beta") == []
    assert told["session"] == {
        "id": "sess_1",
        "object": "realtime.session",
        "model": config.model,
        "expires_at": 1_700_000_000,
        "modalities": ["text", "audio"],
        "instructions": "Sing.",
        "voice": "ash",
        "speed": 1.25,
        "input_audio_format": "g711_alaw",
        "output_audio_format": "pcm16",
        "input_audio_transcription": {
            "model": members["session"]["audio"]["input"]["transcription"]["model"],
            "language": "de",
            "prompt": None,
        },
        "input_audio_noise_reduction": {"type": "far_field"},
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 200,
            "silence_duration_ms": 1000,
            "create_response": True,
            "interrupt_response": True,
        },
        "tools": [],
        "tool_choice": "weather",
        "temperature": 0.7,
        "max_response_output_tokens": 99,
        "tracing": None,
        "client_secret": None,
    }
    assert set(beta.Session.model_fields) <= told["session"].keys()


@pytest.mark.parametrize("kind", [SessionCreated, SessionUpdated])
def test_a_transcription_session_has_events_of_its_own(kind: Any) -> None:
    config = changed(
        {"type": "transcription", "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    )

    told = tell(*as_ga(kind(config, *["conv_1"] if kind is SessionCreated else [])))

    assert told is not None
    assert check_shape(told, "beta") == []
    assert told["type"] == f"transcription_session.{kind.__name__.removeprefix('Session').lower()}"
    assert told["session"]["object"] == "realtime.transcription_session"
    assert told["session"]["turn_detection"] == {"type": "semantic_vad", "eagerness": SemanticVad().eagerness}
    assert told["session"]["client_secret"] is None


@pytest.mark.parametrize("session_type", ["realtime", "transcription"])
def test_a_flat_session_read_again_is_the_session(session_type: SessionType) -> None:
    config = changed({"type": session_type})
    session = session_json("sess_1", config, 0)

    again = ga_session(beta_session(session))

    names = ("audio", "output_modalities", "max_output_tokens", "instructions", "tools", "tool_choice")
    for name in names if session_type == "realtime" else ("audio",):
        shown = session[name]
        if name == "audio":
            shown.get("output", {}).pop("model", None)
            shown["input"]["turn_detection"].pop("idle_timeout_ms", None)
        assert again[name] == shown


def test_the_words_of_an_error_without_a_param_stay() -> None:
    error = ErrorRaised(InvalidRequest("Busy.", code="busy"), "e1")

    told = tell(*as_ga(error))

    assert told is not None
    assert (told["error"]["message"], told["error"]["param"]) == ("Busy.", None)
