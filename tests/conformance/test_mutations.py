"""Valid events with any one member replaced by any other value: one error, or a valid effect, and no harm."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.client import Event, Talk, bare_socket
from tests.conformance.fuzzing.mutations import VALUES, paths

SESSION: Event = {
    "type": "realtime",
    "model": "builtin/echo",
    "output_modalities": ["text"],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "max_output_tokens": 10,
    "temperature": 0.5,
    "parallel_tool_calls": True,
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"k": "v"}},
    "truncation": {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 100},
    },
    "prompt": {"id": "greeter", "version": "1"},
    "include": ["item.input_audio_transcription.logprobs"],
    "reasoning": {"effort": "low"},
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1", "language": "en", "prompt": "p"},
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": 6000,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    },
}
PARTS: list[Event] = [
    {"type": "input_text", "text": "Hello"},
    {"type": "input_audio", "audio": "AAAAAA==", "transcript": "Hi"},
    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
]
MESSAGE: Event = {"type": "message", "role": "user", "status": "completed", "content": PARTS}
CALL: Event = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}
RESPONSE: Event = {
    "conversation": "none",
    "input": [MESSAGE, CALL, {"type": "function_call_output", "call_id": "c", "output": "x"}],
    "instructions": "Be brief.",
    "output_modalities": ["text"],
    "max_output_tokens": 5,
    "metadata": {"k": "v"},
    "tools": SESSION["tools"],
    "tool_choice": "auto",
    "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"}},
}
EVENTS: list[Event] = [
    {"type": "session.update", "session": SESSION},
    {"type": "conversation.item.create", "previous_item_id": "root", "item": MESSAGE},
    {"type": "conversation.item.create", "item": CALL},
    {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 0},
    {"type": "response.create", "response": RESPONSE},
]


def mutants(event: Event, path: tuple[str | int, ...]) -> Iterator[Event]:
    """The event with each of the values, and without anything, at that path."""
    for value in [*VALUES, ...]:
        mutant: Any = copy.deepcopy(event)
        target = mutant
        for step in path[:-1]:
            target = target[step]
        if value is ...:
            del target[path[-1]]
        else:
            target[path[-1]] = value
        yield mutant


async def survive(session: Talk, events: list[Event]) -> None:
    """Send them all at once; each gets at most one error, and whatever the others do is in order."""
    for number, event in enumerate(events):
        session.oracle.sent(event)
        await session.send_frame(json.dumps(event | {"event_id": f"mutant_{number}"}))
    answers = await session.settle()
    errors = [answer["error"] for answer in answers if answer["type"] == "error"]
    at_fault = [error["event_id"] for error in errors]
    assert len(set(at_fault)) == len(at_fault)
    for error in errors:
        shown = str(events[int(error["event_id"].removeprefix("mutant_"))])[:600]
        assert error["type"] == "invalid_request_error", shown
        assert error["code"], shown
        assert 10 < len(error["message"]) < 1_500, shown
    for id in list(session.oracle.sequence.order):
        await session.send("conversation.item.delete", item_id=id)
    await session.settle()
    while session.oracle.sequence.finished():
        await session.receive()


@pytest.mark.parametrize("event", [pytest.param(e, id=f"{e['type']} {n}") for n, e in enumerate(EVENTS)])
async def test_no_value_anywhere_does_harm(prompts_url: str, event: Event) -> None:
    async with bare_socket(prompts_url) as session:
        await session.update(output_modalities=["text"], tools=SESSION["tools"])
        for path in paths(event):
            if path[0] == "type":
                continue
            await survive(session, list(mutants(event, path)))

    async with bare_socket(prompts_url) as session:
        await session.update(output_modalities=["text"])
        assert (await session.ask("Hello")).text == "You said: Hello"
