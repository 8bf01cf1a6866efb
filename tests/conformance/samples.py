"""A faultless session, event by event: what the oracle has to accept, and what its tests plant faults in."""

import base64
import copy
from typing import Any

__all__ = ["faultless_session", "session_object"]

Event = dict[str, Any]

_AUDIO = base64.b64encode(bytes(480)).decode()
_USAGE = {
    "total_tokens": 9,
    "input_tokens": 4,
    "output_tokens": 5,
    "input_token_details": {
        "text_tokens": 4,
        "audio_tokens": 0,
        "image_tokens": 0,
        "cached_tokens": 0,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 2, "audio_tokens": 3},
}
_PCM = {"type": "audio/pcm", "rate": 24000}


def session_object() -> Event:
    """A session as the default profile shows it."""
    return {
        "id": "sess_1",
        "object": "realtime.session",
        "type": "realtime",
        "model": "builtin/echo",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [
            {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}
        ],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "temperature": 0.8,
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1_800_000_000,
        "include": None,
        "audio": {
            "input": {
                "format": _PCM,
                "transcription": {"model": "local/moonshine-tiny-en", "language": None, "prompt": None},
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
            "output": {"format": _PCM, "voice": "Dennis", "speed": 1.0, "model": "local/espeak"},
        },
    }


def _response(id: str, **members: Any) -> Event:
    return {
        "object": "realtime.response",
        "id": id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": _PCM, "voice": "Dennis"}},
        "usage": None,
        "metadata": None,
    } | members


def _typed_message() -> list[Event]:
    text = {"type": "input_text", "text": "Hello"}
    item = {"id": "item_a", "type": "message", "role": "user", "status": "completed", "content": [text]}
    return [
        {"type": "conversation.item.added", "previous_item_id": None, "item": item},
        {"type": "conversation.item.done", "previous_item_id": None, "item": item},
    ]


def _user_audio(id: str) -> Event:
    part = {"type": "input_audio", "transcript": None}
    return {"id": id, "type": "message", "role": "user", "status": "completed", "content": [part]}


def _spoken_message() -> list[Event]:
    item = _user_audio("item_b")
    suggestion = {
        "type": "turn_suggestion",
        "item_id": "item_b",
        "utterance_index": 0,
        "probability": 0.93,
        "trailing_silence_ms": 192,
        "audio_duration_ms": 900,
        "inference_ms": 41.5,
    }
    transcription = "conversation.item.input_audio_transcription"
    return [
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100, "item_id": "item_b"},
        {"type": f"{transcription}.delta", "item_id": "item_b", "content_index": 0, "delta": "Good "},
        suggestion,
        {"type": "turn_suggestion_revoked", "item_id": "item_b", "utterance_index": 0},
        suggestion | {"audio_duration_ms": 1800},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2100, "item_id": "item_b"},
        {"type": "input_audio_buffer.committed", "previous_item_id": "item_a", "item_id": "item_b"},
        {"type": "conversation.item.added", "previous_item_id": "item_a", "item": item},
        {"type": "conversation.item.done", "previous_item_id": "item_a", "item": item},
        {
            "type": f"{transcription}.completed",
            "item_id": "item_b",
            "content_index": 0,
            "transcript": "Good morning.",
            "usage": {
                "type": "tokens",
                "total_tokens": 22,
                "input_tokens": 20,
                "output_tokens": 2,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 20},
            },
        },
    ]


def _spoken_reply() -> list[Event]:
    where = {"response_id": "resp_1", "output_index": 0, "item_id": "item_c", "content_index": 0}
    new = {"id": "item_c", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    content = [{"type": "output_audio", "transcript": "You said: hello"}]
    finished = new | {"status": "completed", "content": content}
    part = {"type": "audio", "transcript": "You said: hello"}
    text = "response.output_audio_transcript"
    return [
        {"type": "response.created", "response": _response("resp_1")},
        {"type": "response.output_item.added", "response_id": "resp_1", "output_index": 0, "item": new},
        {"type": "conversation.item.added", "previous_item_id": "item_b", "item": new},
        {"type": "response.content_part.added", **where, "part": {"type": "audio", "transcript": ""}},
        {"type": f"{text}.delta", **where, "delta": "You said: ", "obfuscation": "xyz"},
        {"type": "response.output_audio.delta", **where, "delta": _AUDIO},
        {"type": f"{text}.delta", **where, "delta": "hello"},
        {"type": "response.output_audio.delta", **where, "delta": _AUDIO},
        {"type": "response.output_audio.done", **where},
        {"type": f"{text}.done", **where, "transcript": "You said: hello"},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "conversation.item.done", "previous_item_id": "item_b", "item": finished},
        {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0, "item": finished},
        {
            "type": "response.done",
            "response": _response("resp_1", status="completed", output=[finished], usage=_USAGE),
        },
        _limits(99),
    ]


def _limits(remaining: int) -> Event:
    requests = {"name": "requests", "limit": 100, "remaining": remaining, "reset_seconds": 0.6}
    tokens = {"name": "tokens", "limit": 1000, "remaining": 991, "reset_seconds": 0.5}
    return {"type": "rate_limits.updated", "rate_limits": [requests, tokens]}


def _function_call() -> list[Event]:
    where = {"response_id": "resp_2", "output_index": 0, "item_id": "item_d", "call_id": "call_1"}
    new = {
        "id": "item_d",
        "type": "function_call",
        "status": "in_progress",
        "call_id": "call_1",
        "name": "look",
        "arguments": "",
    }
    finished = new | {"status": "completed", "arguments": '{"at":1}'}
    name = "response.function_call_arguments"
    return [
        {"type": "response.created", "response": _response("resp_2", metadata={"k": "v"})},
        {"type": "response.output_item.added", "response_id": "resp_2", "output_index": 0, "item": new},
        {"type": "conversation.item.added", "previous_item_id": "item_c", "item": new},
        {"type": f"{name}.delta", **where, "delta": '{"at"'},
        {"type": f"{name}.delta", **where, "delta": ":1}"},
        {"type": f"{name}.done", **where, "name": "look", "arguments": '{"at":1}'},
        {"type": "conversation.item.done", "previous_item_id": "item_c", "item": finished},
        {"type": "response.output_item.done", "response_id": "resp_2", "output_index": 0, "item": finished},
        {
            "type": "response.done",
            "response": _response(
                "resp_2", metadata={"k": "v"}, status="completed", output=[finished], usage=_USAGE
            ),
        },
        _limits(98),
    ]


def _silence() -> list[Event]:
    where = {"previous_item_id": "item_c", "item": _user_audio("item_e")}
    return [
        {
            "type": "input_audio_buffer.timeout_triggered",
            "item_id": "item_e",
            "audio_start_ms": 4000,
            "audio_end_ms": 9000,
        },
        {"type": "input_audio_buffer.committed", "previous_item_id": "item_c", "item_id": "item_e"},
        {"type": "conversation.item.added", **where},
        {"type": "conversation.item.done", **where},
    ]


def faultless_session() -> list[Event]:
    """A typed message, a spoken one, a spoken reply, a function call, an error and silence.

    Free to be changed.
    """
    wishes = {"providerData": {"turn_suggestions": True}}
    error = {
        "type": "invalid_request_error",
        "code": "response_cancel_not_active",
        "message": "Cancellation failed: no active response found",
        "param": None,
        "event_id": "mine",
    }
    events: list[Event] = [
        {"type": "session.created", "session": session_object()},
        {"type": "session.updated", "session": session_object() | wishes},
        *_typed_message(),
        *_spoken_message(),
        *_spoken_reply(),
        *_function_call(),
        {"type": "error", "error": error},
        {"type": "conversation.item.truncated", "item_id": "item_c", "content_index": 0, "audio_end_ms": 10},
        {"type": "conversation.item.deleted", "item_id": "item_d"},
        *_silence(),
    ]
    events = copy.deepcopy(events)  # the objects above are shared between events
    return [{"event_id": f"event_{number}"} | event for number, event in enumerate(events)]
