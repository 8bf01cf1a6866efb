"""One good event of every kind, with every member that it may have."""

import base64
from typing import Any

__all__ = ["EVENTS"]

AUDIO = base64.b64encode(bytes(4800)).decode()
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Says the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RESPONSE: dict[str, Any] = {
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "weather"},
    "max_output_tokens": 100,
    "temperature": 0.5,
    "parallel_tool_calls": True,
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"name": "Ann"}},
    "reasoning": {"effort": "low"},
}
SESSION: dict[str, Any] = {
    **RESPONSE,
    "type": "realtime",
    "model": "lab/llm",
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 16000},
            "transcription": {"model": "lab/stt", "language": "en", "prompt": "names"},
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.6,
                "prefix_padding_ms": 100,
                "silence_duration_ms": 300,
                "idle_timeout_ms": 6000,
                "create_response": True,
                "interrupt_response": False,
            },
        },
        "output": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "Ann",
            "speed": 1.5,
            "model": "lab/tts",
        },
    },
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"a": "b"}},
    "truncation": {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 9},
    },
    "include": ["item.input_audio_transcription.logprobs"],
}
ITEMS: list[dict[str, Any]] = [
    {
        "id": "item_a",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [
            {"type": "input_text", "text": "Hi"},
            {"type": "input_audio", "audio": AUDIO},
            {"type": "input_audio", "audio": AUDIO, "transcript": "Hello"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        ],
    },
    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be good."}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
    {"type": "function_call", "id": "item_b", "call_id": "call_1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
]
EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "event_id": "e1", "session": SESSION},
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["text"],
            "tool_choice": "none",
            "truncation": "auto",
            "tracing": "auto",
            "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}},
        },
    },
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": {"input": {"turn_detection": None, "transcription": None, "noise_reduction": None}},
        },
    },
    {"type": "input_audio_buffer.append", "event_id": "e2", "audio": AUDIO},
    {"type": "input_audio_buffer.commit", "event_id": "e3"},
    {"type": "input_audio_buffer.clear", "event_id": "e4"},
    *({"type": "conversation.item.create", "event_id": "e5", "item": item} for item in ITEMS),
    {"type": "conversation.item.create", "previous_item_id": "root", "item": ITEMS[1]},
    {"type": "conversation.item.retrieve", "event_id": "e6", "item_id": "item_a"},
    {"type": "conversation.item.delete", "event_id": "e7", "item_id": "item_a"},
    {
        "type": "conversation.item.truncate",
        "event_id": "e8",
        "item_id": "item_a",
        "content_index": 0,
        "audio_end_ms": 100,
    },
    {"type": "response.create", "event_id": "e9"},
    {
        "type": "response.create",
        "event_id": "e10",
        "response": {
            **RESPONSE,
            "conversation": "none",
            "metadata": {"topic": "weather"},
            "input": [*ITEMS, {"type": "item_reference", "id": "item_a"}],
            "audio": {"output": {"voice": "Ann", "format": {"type": "audio/pcm", "rate": 24000}}},
        },
    },
    {"type": "response.cancel", "event_id": "e11", "response_id": "resp_1"},
]
