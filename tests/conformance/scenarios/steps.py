"""What scenarios have in common: settings in either dialect, orders of events, and pieces of items."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.conformance.beta_client import BetaTalk
from tests.conformance.client import RATE, Event, Talk
from tests.conformance.hearing import voice
from tests.speech import silence

__all__ = [
    "CALL",
    "COMMITTED",
    "LONG",
    "MANUAL",
    "SPOKEN",
    "SPOKEN_TAIL",
    "TEXT",
    "TOOL",
    "WRITTEN",
    "configure",
    "message",
    "order",
    "order_since",
    "speak",
    "told",
    "vad",
]

LONG = "[[words 400]] [[pace 20]]"
TEXT = {"output_modalities": ["text"]}
MANUAL = {"audio": {"input": {"turn_detection": None}}}
TOOL: Event = {
    "type": "function",
    "name": "weather",
    "description": "Knows the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

_BEGUN = ["response.created", "response.output_item.added", "conversation.item.added"]
_ENDED = ["conversation.item.done", "response.output_item.done", "response.done", "rate_limits.updated"]

WRITTEN = [
    *_BEGUN,
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    *_ENDED,
]
SPOKEN_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    *_ENDED,
]
SPOKEN = [
    *_BEGUN,
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    *SPOKEN_TAIL,
]
CALL = [
    *_BEGUN,
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    *_ENDED,
]
COMMITTED = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]

_FLAT = {
    ("output_modalities",): "modalities",
    ("max_output_tokens",): "max_response_output_tokens",
    ("audio", "input", "format"): "input_audio_format",
    ("audio", "input", "transcription"): "input_audio_transcription",
    ("audio", "input", "noise_reduction"): "input_audio_noise_reduction",
    ("audio", "input", "turn_detection"): "turn_detection",
    ("audio", "output", "format"): "output_audio_format",
    ("audio", "output", "voice"): "voice",
    ("audio", "output", "speed"): "speed",
}


def vad(**members: Any) -> Event:
    """Settings with turn detection that takes the test voice for one turn, and with transcripts."""
    detection = {"type": "server_vad", "silence_duration_ms": 1000} | members
    return {"audio": {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}}}


def message(text: str, role: str = "user", **members: Any) -> Event:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]} | members


async def configure(session: Talk, *settings: Mapping[str, Any]) -> Event:
    """Change the session by GA members, in the shape of its dialect."""
    wanted: Event = {}
    for members in settings:
        wanted = _merged(wanted, members)
    return await session.update(**(_flat(wanted) if isinstance(session, BetaTalk) else wanted))


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Event:
    both = {
        name: _merged(one[name], other[name])
        for name in one.keys() & other.keys()
        if isinstance(one[name], dict) and isinstance(other[name], dict)
    }
    return {**one, **other, **both}


def _flat(members: Mapping[str, Any], path: tuple[str, ...] = ()) -> Event:
    flat: Event = {}
    for name, value in members.items():
        here = (*path, name)
        if here in _FLAT:
            flat[_FLAT[here]] = ["text", "audio"] if value == ["audio"] else value
        elif here[0] == "audio":
            flat |= _flat(value, here)
        else:
            flat[name] = value
    return flat


async def speak(session: Talk, pause_ms: int = 1_500) -> None:
    """The test voice, and a pause behind it."""
    await session.append(voice() + silence(pause_ms, RATE))


def told(session: Talk) -> list[Event]:
    """Everything received so far, as the GA dialect has it."""
    return session.oracle.told


def order(events: Sequence[Event], *, transcripts: bool = False) -> list[str]:
    """The types of the events. Of deltas only the first of each item counts.

    Transcripts of the user come when they are ready and are left out, unless wanted.
    """
    seen: set[tuple[str, str]] = set()
    kinds = []
    for event in events:
        kind = event["type"]
        if kind.startswith("conversation.item.input_audio_transcription") and not transcripts:
            continue
        if kind.endswith(".delta"):
            if (kind, event["item_id"]) in seen:
                continue
            seen.add((kind, event["item_id"]))
        kinds.append(kind)
    return kinds


def order_since(session: Talk, begin: int, *, transcripts: bool = False) -> list[str]:
    """The order of what was told since there were `begin` events."""
    return order(told(session)[begin:], transcripts=transcripts)
