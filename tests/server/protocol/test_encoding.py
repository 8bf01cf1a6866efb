"""Every event of the pipeline in the shape of the wire."""

import base64
from typing import Any, get_args

import orjson
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from pipeline.config import AudioFormat
from pipeline.errors import InvalidRequest
from pipeline.events import (
    AudioDelta,
    AudioDone,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCleared,
    BufferCommitted,
    CallArgumentsDelta,
    CallArgumentsDone,
    ErrorRaised,
    Event,
    IdleTimeout,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallProgress,
    McpListingProgress,
    OutputItemAdded,
    OutputItemDone,
    Part,
    PartAdded,
    PartDone,
    RateLimit,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    ResponseState,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    StatusDetails,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TranscriptionSegment,
    TurnSuggested,
    TurnSuggestionRevoked,
    Usage,
)
from pipeline.items import FunctionCall, FunctionCallOutput, InputAudio, MessageItem, OutputAudio
from providers.contracts import SttUsage, TokenLogprob, TranscriptSegment
from server.protocol.encoding import Encoder, error_json
from tests.conformance.shapes import check_shape
from tests.pipeline.playbook import session_config, user

PART = Part("resp_1", "item_1", 2)
ADDRESS = {"response_id": "resp_1", "item_id": "item_1", "output_index": 2}
SPOKEN = MessageItem("item_1", "assistant", (OutputAudio("Hi", b"\1\0"),))
RESPONSE = ResponseState(
    id="resp_1",
    status="in_progress",
    conversation_id="conv_1",
    output_modalities=("audio",),
    voice="Ann",
    format=AudioFormat(),
    max_output_tokens=None,
)
DONE = ResponseState(
    id="resp_1",
    status="incomplete",
    conversation_id=None,
    output_modalities=("text",),
    voice="Ann",
    format=AudioFormat(),
    max_output_tokens=9,
    output=(FunctionCall("item_2", "call_1", "f", "{}"),),
    details=StatusDetails(reason="max_output_tokens"),
    usage=Usage(10, 5, 2),
    metadata={"a": "b"},
)
# Each event, its name, and its members where they are few enough to be read at a glance.
EVENTS: list[tuple[Event, str, dict[str, Any] | None]] = [
    (SessionCreated(session_config(), "conv_1"), "session.created", None),
    (SessionUpdated(session_config()), "session.updated", None),
    (
        ErrorRaised(InvalidRequest("no", code="invalid_value", param="session.x"), "e1"),
        "error",
        {
            "error": {
                "type": "invalid_request_error",
                "code": "invalid_value",
                "message": "no",
                "param": "session.x",
                "event_id": "e1",
            }
        },
    ),
    (
        SpeechStarted("item_1", 120),
        "input_audio_buffer.speech_started",
        {"item_id": "item_1", "audio_start_ms": 120},
    ),
    (
        SpeechStopped("item_1", 900),
        "input_audio_buffer.speech_stopped",
        {"item_id": "item_1", "audio_end_ms": 900},
    ),
    (
        BufferCommitted("item_1", None),
        "input_audio_buffer.committed",
        {"item_id": "item_1", "previous_item_id": None},
    ),
    (
        TurnSuggested("item_1", 2, 0.91239, 200, 1500, 41.26),
        "turn_suggestion",
        {
            "item_id": "item_1",
            "utterance_index": 2,
            "probability": 0.9124,
            "trailing_silence_ms": 200,
            "audio_duration_ms": 1500,
            "inference_ms": 41.3,
        },
    ),
    (
        TurnSuggestionRevoked("item_1", 2),
        "turn_suggestion_revoked",
        {"item_id": "item_1", "utterance_index": 2},
    ),
    (
        IdleTimeout("item_1", 4000, 9000),
        "input_audio_buffer.timeout_triggered",
        {"item_id": "item_1", "audio_start_ms": 4000, "audio_end_ms": 9000},
    ),
    (BufferCleared(), "input_audio_buffer.cleared", {}),
    (
        TranscriptionDelta("item_1", "He"),
        "conversation.item.input_audio_transcription.delta",
        {"item_id": "item_1", "content_index": 0, "delta": "He"},
    ),
    (
        TranscriptionDelta("item_1", "é", (TokenLogprob("é", -0.25, "é".encode()),)),
        "conversation.item.input_audio_transcription.delta",
        {
            "item_id": "item_1",
            "content_index": 0,
            "delta": "é",
            "logprobs": [{"token": "é", "logprob": -0.25, "bytes": [195, 169]}],
        },
    ),
    (
        TranscriptionSegment("item_1", TranscriptSegment("seg_1", "Hello", "A", 0.5, 1.25)),
        "conversation.item.input_audio_transcription.segment",
        {
            "item_id": "item_1",
            "content_index": 0,
            "id": "seg_1",
            "text": "Hello",
            "speaker": "A",
            "start": 0.5,
            "end": 1.25,
        },
    ),
    (
        TranscriptionCompleted("item_1", "Hello", 1.2, languages=("en", "fr"), usage=SttUsage(9, 2, 3, 6)),
        "conversation.item.input_audio_transcription.completed",
        {
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hello",
            "languages": [{"code": "en"}, {"code": "fr"}],
            "usage": {
                "type": "tokens",
                "total_tokens": 11,
                "input_tokens": 9,
                "output_tokens": 2,
                "input_token_details": {"text_tokens": 3, "audio_tokens": 6},
            },
        },
    ),
    (
        TranscriptionCompleted("item_1", "Hello", 1.23456),
        "conversation.item.input_audio_transcription.completed",
        {
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hello",
            "usage": {"type": "duration", "seconds": 1.235},
        },
    ),
    (
        TranscriptionFailed("item_1", "provider_timeout", "late"),
        "conversation.item.input_audio_transcription.failed",
        {
            "item_id": "item_1",
            "content_index": 0,
            "error": {"type": "transcription_error", "code": "provider_timeout", "message": "late"},
        },
    ),
    (
        ItemAdded(user("Hi", "item_1"), "item_0"),
        "conversation.item.added",
        {
            "previous_item_id": "item_0",
            "item": {
                "id": "item_1",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}],
            },
        },
    ),
    (
        ItemDone(MessageItem("item_1", "user", (InputAudio(),)), None),
        "conversation.item.done",
        {
            "previous_item_id": None,
            "item": {
                "id": "item_1",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_audio", "transcript": None}],
            },
        },
    ),
    (
        ItemRetrieved(SPOKEN, session_config().audio),
        "conversation.item.retrieved",
        {
            "item": {
                "id": "item_1",
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "Hi", "audio": "AQA="}],
            }
        },
    ),
    (ItemDeleted("item_1"), "conversation.item.deleted", {"item_id": "item_1"}),
    (
        ItemTruncated("item_1", 0, 500),
        "conversation.item.truncated",
        {"item_id": "item_1", "content_index": 0, "audio_end_ms": 500},
    ),
    (ResponseCreated(RESPONSE), "response.created", None),
    (ResponseDone(DONE), "response.done", None),
    (
        RateLimitsUpdated((RateLimit("requests", 100, 99, 0.6), RateLimit("tokens", 1000, 991, 0.54))),
        "rate_limits.updated",
        {
            "rate_limits": [
                {"name": "requests", "limit": 100, "remaining": 99, "reset_seconds": 0.6},
                {"name": "tokens", "limit": 1000, "remaining": 991, "reset_seconds": 0.54},
            ]
        },
    ),
    (
        OutputItemAdded("resp_1", 0, FunctionCall("item_2", "call_1", "f", "", "in_progress")),
        "response.output_item.added",
        {
            "response_id": "resp_1",
            "output_index": 0,
            "item": {
                "id": "item_2",
                "type": "function_call",
                "status": "in_progress",
                "call_id": "call_1",
                "name": "f",
                "arguments": "",
            },
        },
    ),
    (
        OutputItemDone("resp_1", 0, FunctionCallOutput("item_2", "call_1", "x")),
        "response.output_item.done",
        {
            "response_id": "resp_1",
            "output_index": 0,
            "item": {
                "id": "item_2",
                "type": "function_call_output",
                "status": "completed",
                "call_id": "call_1",
                "output": "x",
            },
        },
    ),
    (
        PartAdded(PART, "audio"),
        "response.content_part.added",
        {**ADDRESS, "content_index": 0, "part": {"type": "audio", "transcript": ""}},
    ),
    (
        PartDone(PART, "text", "Hi"),
        "response.content_part.done",
        {**ADDRESS, "content_index": 0, "part": {"type": "text", "text": "Hi"}},
    ),
    (TextDelta(PART, "H"), "response.output_text.delta", {**ADDRESS, "content_index": 0, "delta": "H"}),
    (TextDone(PART, "Hi"), "response.output_text.done", {**ADDRESS, "content_index": 0, "text": "Hi"}),
    (
        TranscriptDelta(PART, "H"),
        "response.output_audio_transcript.delta",
        {**ADDRESS, "content_index": 0, "delta": "H"},
    ),
    (
        TranscriptDone(PART, "Hi"),
        "response.output_audio_transcript.done",
        {**ADDRESS, "content_index": 0, "transcript": "Hi"},
    ),
    (
        AudioDelta(PART, b"\1\0\2\0", AudioFormat()),
        "response.output_audio.delta",
        {**ADDRESS, "content_index": 0, "delta": base64.b64encode(b"\1\0\2\0").decode()},
    ),
    (AudioDone(PART), "response.output_audio.done", {**ADDRESS, "content_index": 0}),
    (
        CallArgumentsDelta(PART, "call_1", "{"),
        "response.function_call_arguments.delta",
        {**ADDRESS, "call_id": "call_1", "delta": "{"},
    ),
    (
        CallArgumentsDone(PART, "call_1", "f", "{}"),
        "response.function_call_arguments.done",
        {**ADDRESS, "call_id": "call_1", "name": "f", "arguments": "{}"},
    ),
    (McpListingProgress("item_1", "in_progress"), "mcp_list_tools.in_progress", {"item_id": "item_1"}),
    (McpListingProgress("item_1", "completed"), "mcp_list_tools.completed", {"item_id": "item_1"}),
    (McpListingProgress("item_1", "failed"), "mcp_list_tools.failed", {"item_id": "item_1"}),
    (
        McpArgumentsDelta(PART, "{"),
        "response.mcp_call_arguments.delta",
        {**ADDRESS, "delta": "{", "obfuscation": ""},
    ),
    (
        McpArgumentsDone(PART, "{}"),
        "response.mcp_call_arguments.done",
        {**ADDRESS, "arguments": "{}"},
    ),
    (
        McpCallProgress(PART, "in_progress"),
        "response.mcp_call.in_progress",
        {"item_id": "item_1", "output_index": 2},
    ),
    (
        BackchannelAudio("bc_1", b"\1\0"),
        "response.backchannel.audio.delta",
        {"backchannel_id": "bc_1", "delta": base64.b64encode(b"\1\0").decode()},
    ),
    (
        BackchannelDone("bc_1", "Mhm"),
        "response.backchannel.audio.done",
        {"backchannel_id": "bc_1", "phrase": "Mhm"},
    ),
    (
        BackchannelSkipped("bc_1", "deadline_missed"),
        "response.backchannel.skipped",
        {"backchannel_id": "bc_1", "reason": "deadline_missed"},
    ),
]
SDK: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def encode(event: Event) -> dict[str, Any]:
    (frame,) = Encoder("sess_1", 1_700_000_000).encode(event)
    data = orjson.loads(frame)
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize(("event", "kind", "members"), EVENTS, ids=[kind for _, kind, _ in EVENTS])
def test_each_event_has_its_name_and_members(event: Event, kind: str, members: dict[str, Any] | None) -> None:
    data = encode(event)

    assert data.pop("type") == kind
    assert data.pop("event_id").startswith("event_")
    if members is not None:
        assert data == members


# Extensions of ours, which go only to clients that ask for them.
UNPUBLISHED = (
    TurnSuggested,
    TurnSuggestionRevoked,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
)
PUBLISHED = [entry for entry in EVENTS if not isinstance(entry[0], UNPUBLISHED)]


@pytest.mark.parametrize(("event", "kind", "members"), PUBLISHED, ids=[kind for _, kind, _ in PUBLISHED])
def test_each_event_is_one_of_the_published_types(
    event: Event, kind: str, members: dict[str, Any] | None
) -> None:
    data = encode(event)
    if kind.startswith("session."):
        data["session"]["audio"]["output"].pop("model")  # an addition of ours, which clients ignore

    assert SDK.validate_python(data).type == kind


@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS if isinstance(event, UNPUBLISHED)])
def test_events_of_ours_are_what_the_oracle_knows(event: Event) -> None:
    assert check_shape(encode(event)) == []


def test_no_event_is_left_out() -> None:
    assert {type(event) for event, _, _ in EVENTS} == set(get_args(Event))


def test_speech_leaves_in_the_format_of_its_response() -> None:
    delta = encode(AudioDelta(PART, bytes(4), AudioFormat("audio/pcmu", 8_000)))["delta"]

    assert base64.b64decode(delta) == b"\xff\xff"


def test_every_event_has_an_id_of_its_own() -> None:
    encoder = Encoder("sess_1", 0)

    ids = {orjson.loads(encoder.encode(BufferCleared())[0])["event_id"] for _ in range(100)}

    assert len(ids) == 100


def test_a_fault_of_ours_is_told_apart_from_one_of_the_clients() -> None:
    error = InvalidRequest("oops", code=None)

    assert encode(ErrorRaised(error, None, "server_error"))["error"] == error_json(
        error, None, "server_error"
    )
    assert error_json(error, None, "server_error")["type"] == "server_error"
