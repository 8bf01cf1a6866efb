"""Session, response and item objects as JSON data."""

import json
from typing import Any

import pytest

from pipeline.config import AudioFormat, FormatType, NoiseReduction, Patch, SemanticVad
from pipeline.events import ResponseState, ResponseStatus, StatusDetails, Usage
from pipeline.items import (
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequest,
    MessageItem,
    OutputAudio,
    OutputText,
)
from providers.contracts import FunctionTool, NamedToolChoice
from server.protocol.decoding import Decoder
from server.protocol.objects import item_json, response_json, session_json, usage_json
from tests.pipeline.playbook import session_config


def session(patch: Patch | None = None) -> dict[str, Any]:
    return session_json("sess_1", session_config(patch), 1_700_000_000)


def test_a_session_shows_every_member_with_its_effective_value() -> None:
    assert session() == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "lab/llm",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1_700_000_000,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "lab/stt", "language": None, "prompt": None},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 1000,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "voice": "Ann",
                "speed": 1.0,
                "model": "lab/tts",
            },
        },
    }


@pytest.mark.parametrize(
    ("patch", "shown"),
    [
        ({"max_output_tokens": 7}, {"max_output_tokens": 7}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"tool_choice": NamedToolChoice("f")}, {"tool_choice": {"type": "function", "name": "f"}}),
        ({"tools": (FunctionTool("f"),)}, {"tools": [{"type": "function", "name": "f"}]}),
        ({"include": ("x",)}, {"include": ["x"]}),
    ],
)
def test_members_that_were_set_are_shown(patch: Patch, shown: dict[str, Any]) -> None:
    assert session(patch).items() >= shown.items()


def test_what_is_switched_off_is_shown_as_null_and_semantic_detection_as_itself() -> None:
    off = session({"audio": {"input": {"turn_detection": None, "transcription": None}}})["audio"]["input"]
    assert (off["turn_detection"], off["transcription"]) == (None, None)

    on = session({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}, "noise_reduction": {}}}})
    assert on["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": SemanticVad().eagerness,
        "create_response": True,
        "interrupt_response": True,
    }
    assert on["audio"]["input"]["noise_reduction"] == {"type": NoiseReduction().type}


def test_a_session_can_be_sent_back_as_it_was_shown() -> None:
    decoder = Decoder(max_append_bytes=0, max_item_bytes=0)
    shown = session(
        {"tools": (FunctionTool("f"),), "tool_choice": NamedToolChoice("f"), "max_output_tokens": 5}
    )

    command = decoder.decode(json.dumps({"type": "session.update", "session": shown}))

    assert session_json("sess_1", session_config(command.patch), 1_700_000_000) == shown  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("part", "data"),
    [
        (InputText("Hi"), {"type": "input_text", "text": "Hi"}),
        (InputAudio(), {"type": "input_audio", "transcript": None}),
        (InputAudio("Hi"), {"type": "input_audio", "transcript": "Hi"}),
        (InputImage("data:x", "low"), {"type": "input_image", "image_url": "data:x", "detail": "low"}),
        (OutputText("Hi"), {"type": "output_text", "text": "Hi"}),
        (OutputAudio("Hi"), {"type": "output_audio", "transcript": "Hi"}),
    ],
)
def test_each_part_has_its_shape(part: Any, data: dict[str, Any]) -> None:
    assert item_json(MessageItem("i", "user", (part,)))["content"] == [data]


def test_a_retrieved_item_sounds_in_the_formats_of_the_session() -> None:
    formats = {
        "input": {"format": AudioFormat("audio/pcma", 8_000)},
        "output": {"format": AudioFormat("audio/float32", 16_000)},
    }
    audio = session_config({"audio": formats}).audio
    silence = bytes(4)
    said = MessageItem("u", "user", (InputText("Listen:"), InputAudio("Hi", silence)))
    answer = MessageItem("a", "assistant", (OutputAudio("Hi", silence),))
    gone = MessageItem("g", "user", (InputAudio("Hi"),))

    assert [part.get("audio") for part in item_json(said, audio)["content"]] == [None, "1dU="]
    assert item_json(answer, audio)["content"][0]["audio"] == "AAAAAAAAAAA="
    assert "audio" not in item_json(gone, audio)["content"][0]
    assert "audio" not in item_json(said)["content"][1]


@pytest.mark.parametrize("type", ["audio/pcmu", "audio/pcma"])
def test_formats_of_telephones_show_no_rate(type: FormatType) -> None:
    format = {"format": AudioFormat(type, 8_000)}
    audio = session({"audio": {"input": format, "output": format}})["audio"]

    assert audio["input"]["format"] == audio["output"]["format"] == {"type": type}


def test_only_a_retrieved_item_says_that_it_is_one() -> None:
    item = FunctionCall("i", "c", "f", "{}")

    assert item_json(item, session_config().audio) == {**item_json(item), "object": "realtime.item"}


def response(status: ResponseStatus, details: StatusDetails | None = None) -> Any:
    state = ResponseState("resp_1", status, None, ("text",), "Ann", AudioFormat(), None, details=details)
    return response_json(state)["status_details"]


@pytest.mark.parametrize(
    ("status", "details", "shown"),
    [
        ("completed", None, None),
        (
            "cancelled",
            StatusDetails(reason="turn_detected"),
            {"type": "cancelled", "reason": "turn_detected"},
        ),
        (
            "failed",
            StatusDetails(code="provider_timeout", message="late"),
            {
                "type": "failed",
                "error": {"type": "server_error", "code": "provider_timeout", "message": "late"},
            },
        ),
        (
            "failed",
            StatusDetails(code="rate_limit_exceeded", message="slow"),
            {
                "type": "failed",
                "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow"},
            },
        ),
    ],
)
def test_a_response_says_why_it_ended(
    status: ResponseStatus, details: StatusDetails | None, shown: Any
) -> None:
    assert response(status, details) == shown


def test_usage_adds_up() -> None:
    usage = usage_json(Usage(10, 5, 4))

    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] == 15
    assert usage["input_token_details"]["cached_tokens"] == 4
    assert usage["output_token_details"] == {"text_tokens": 5, "audio_tokens": 0}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"to": "b"}', '{"to": "b"}'),
        ("{}", "{}"),
        ('{"to"', '{"arguments":"{\\"to\\""}'),
        ("[1]", '{"arguments":"[1]"}'),
    ],
)
def test_what_a_client_is_asked_to_approve_can_be_parsed(arguments: str, shown: str) -> None:
    request = McpApprovalRequest("i", "lab", "rename", arguments)
    assert item_json(request)["arguments"] == shown
