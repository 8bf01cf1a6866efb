"""Valid client events, derived from the published types of the openai package."""

import base64
import re
import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from openai.types import realtime
from openai.types.beta import realtime as beta
from openai.types.realtime import RealtimeFunctionTool
from pydantic import BaseModel

from tests.conformance.client import Event
from tests.conformance.published import DialectName, by_type

__all__ = ["DIALECTS", "events"]

DIALECTS: dict[DialectName, Any] = {"ga": realtime.RealtimeClientEvent, "beta": beta.RealtimeClientEvent}

_PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
_TEXTS = ["", "Hello", "Grüße \N{SNOWMAN}", "[[words 9]]", "[[call f]]", "[[say One. Two.]]", "x" * 300]
_IDS = ["item_a", "item_b", "item_c", "root"]

# Members whose type says less than their meaning: any text is a string, but few are base64.
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "audio": st.integers(0, 6000).map(lambda count: base64.b64encode(bytes(2 * count)).decode()),
    "image_url": st.just(f"data:image/png;base64,{_PNG}"),
    "item_id": st.sampled_from(_IDS),
    "id": st.sampled_from([*_IDS, "own"]),
    "previous_item_id": st.sampled_from(_IDS),
    "response_id": st.sampled_from(["resp_nobody"]),
    "call_id": st.sampled_from(["call_a", "call_b"]),
    "model": st.sampled_from(["gpt-realtime", "whisper-1", "builtin/echo"]),
    "voice": st.sampled_from(["alloy", "marin"]),
    "name": st.sampled_from(["f", "g"]),
    "arguments": st.sampled_from(["{}", '{"a": 1}', "no JSON"]),
    "parameters": st.sampled_from([{}, {"type": "object", "properties": {"a": {"type": "integer"}}}]),
    "metadata": st.dictionaries(st.sampled_from("abc"), st.sampled_from(_TEXTS), max_size=3),
    "rate": st.just(24_000),
    "speed": st.floats(0.25, 1.5),
    "threshold": st.floats(0, 1),
    "retention_ratio": st.floats(0, 1),
    "strength": st.floats(0, 1),
    "idle_timeout_ms": st.integers(5_000, 30_000),
    "conversation": st.sampled_from(["auto", "none", "none"]),
    "output_modalities": st.sampled_from([["text"], ["text"], ["audio"]]),
    "prompt": st.none(),
    "max_output_tokens": st.integers(1, 4096) | st.just("inf"),
}


# The published types of these have nothing but optional members.
_ROLES: dict[str, tuple[str, ...]] = {
    "RealtimeConversationItemUserMessage": ("input_text", "input_audio", "input_image"),
    "RealtimeConversationItemAssistantMessage": ("output_text",),
    "RealtimeConversationItemSystemMessage": ("input_text",),
}
_TOOL_MEMBERS = frozenset({"type", "name"})


def events(dialect: DialectName) -> st.SearchStrategy[Event]:
    """One event of any type, without an `event_id`."""
    return st.one_of([_model(model) for model in by_type(DIALECTS[dialect]).values()])


@cache
def _model(model: type[BaseModel]) -> st.SearchStrategy[Event]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        wire_name = field.alias or name
        if wire_name == "event_id":
            continue
        by_name = _BY_NAME.get(wire_name)
        strategy = _type(field.annotation) if by_name is None or _is_object(field.annotation) else by_name
        if wire_name == "content" and model.__name__ in _ROLES:
            strategy = st.lists(
                st.sampled_from(_ROLES[model.__name__]).flatmap(_part), min_size=1, max_size=3
            )
        is_required = field.is_required() or (model is RealtimeFunctionTool and wire_name in _TOOL_MEMBERS)
        (required if is_required else optional)[wire_name] = strategy
    return st.fixed_dictionaries(required, optional=optional)


def _part(kind: str) -> st.SearchStrategy[Event]:
    member = {"input_audio": "audio", "input_image": "image_url"}.get(kind, "text")
    value = _BY_NAME.get(member, st.sampled_from(_TEXTS))
    return st.fixed_dictionaries({"type": st.just(kind), member: value})


def _is_object(annotation: Any) -> bool:
    """Whether a member of that name is an object here, as `session.audio` is, and not what the name says."""
    inner = [a for a in get_args(annotation) if a is not type(None)] or [annotation]
    return all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in inner)


def _wanted(model: type[BaseModel]) -> bool:
    """Whether the server knows what this object is for; the rest is left to the mutations."""
    return not re.search("Mcp|Reference", model.__name__)


def _type(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in arguments if not isinstance(kind, type) or _wanted(kind)]
        return st.one_of([_type(kind) for kind in kinds])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(_type(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(st.sampled_from("abc"), _type(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: _model(annotation))
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        str: st.sampled_from(_TEXTS),
        int: st.integers(0, 5000),
        float: st.floats(0, 2),
        bool: st.booleans(),
        type(None): st.none(),
        None: st.none(),
    }
    return by_type.get(annotation, st.just({}))
