"""The shape of server events, checked member by member against the types of the `openai` package."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from tests.conformance.published import PUBLISHED, DialectName, Published, WebSearch

__all__ = ["check_shape"]

_RATES = range(8_000, 48_001)
"""Hertz: the default profile takes PCM at these rates, where the published type knows only 24000."""

_NEVER_NULL = frozenset({"call_id", "name", "arguments", "output", "status", "object", "id", "role"})
"""Item members that have to be left out rather than null: @openai/agents-realtime drops such items unseen."""


def check_shape(event: Any, dialect: DialectName = "ga") -> list[str]:
    """Every way in which this event differs from the published types, as `path: problem` lines."""
    if not isinstance(event, dict):
        return [f"an event is an object, not {_name(event)}"]
    kind = event.get("type")
    published = PUBLISHED[dialect]
    model = published.events.get(kind) if isinstance(kind, str) else None
    if model is None:
        return [f"type: {kind!r} is not a server event"]
    problems = list(_check_model(event, model, "", published))
    return problems + list(_check_habits(event))


def _check_model(value: Any, model: type[BaseModel], path: str, published: Published) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected an object, got {_name(value)}"
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for name, field in fields.items():
        if name not in value and field.is_required():
            yield f"{_join(path, name)}: missing"
    for name, member in value.items():
        where = _join(path, name)
        if member is None and where in published.nullable:
            continue
        if name in fields:
            annotation = fields[name].annotation
            if where == "session" and published.sessions and isinstance(member, dict):
                annotation = published.sessions.get(str(member.get("type")), published.sessions["realtime"])
            yield from _check(member, annotation, where, published)
        elif where not in published.extras:
            yield f"{where}: unknown member"
        elif not _is(member, published.extras[where][0]):
            yield f"{where}: expected {published.extras[where][0].__name__}, got {_name(member)}"


def _check(value: Any, annotation: Any, path: str, published: Published) -> Iterator[str]:
    origin = get_origin(annotation)
    if path in published.loose and _is(value, published.loose[path]):
        return
    if isinstance(value, dict) and value.get("type") == "web_search" and path.startswith("session.tools["):
        yield from _check_model(value, WebSearch, path, published)
        return
    if origin is Annotated:
        yield from _check(value, get_args(annotation)[0], path, published)
    elif origin in (Union, types.UnionType):
        yield from _check_union(value, get_args(annotation), path, published)
    elif origin is Literal:
        allowed = get_args(annotation)
        if path.endswith("format.rate") and type(value) is int and value in _RATES:
            return
        if path.endswith("format.type") and value == "audio/float32":  # likewise an extra of that profile
            return
        if not any(type(value) is type(option) and value == option for option in allowed):
            yield f"{path}: {value!r} is not one of {', '.join(map(repr, allowed))}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: expected an array, got {_name(value)}"
            return
        for index, member in enumerate(value):
            yield from _check(member, get_args(annotation)[0], f"{path}[{index}]", published)
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: expected an object, got {_name(value)}"
            return
        for name, member in value.items():
            yield from _check(member, get_args(annotation)[1], _join(path, name), published)
    elif annotation in (Any, object):
        return
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _check_model(value, annotation, path, published)
    elif not _is(value, type(None) if annotation is None else annotation):
        yield f"{path}: expected {annotation.__name__}, got {_name(value)}"


def _check_union(value: Any, options: Sequence[Any], path: str, published: Published) -> Iterator[str]:
    """The problems with the option that fits best: none where one fits."""
    candidates = [option for option in options if not _contradicts(value, option, published)] or list(options)
    yield from min((list(_check(value, option, path, published)) for option in candidates), key=len)


def _contradicts(value: Any, option: Any, published: Published) -> bool:
    """Whether a member with a fixed value (`type`, `role`) rules this option out, or its JSON type does."""
    if get_origin(option) is Annotated:
        option = get_args(option)[0]
    if not (isinstance(option, type) and issubclass(option, BaseModel)):
        return isinstance(value, dict) and get_origin(option) not in (dict, Union, types.UnionType)
    if not isinstance(value, dict):
        return True
    return any(
        name in value and any(_check(value[name], field.annotation, name, published))
        for name, field in option.model_fields.items()
        if name in ("type", "role")
    )


def _check_habits(event: Mapping[str, Any]) -> Iterator[str]:
    """What clients demand beyond the types."""
    for where, item in _items(event):
        is_mcp_call = item.get("type") == "mcp_call"
        if is_mcp_call and "output" not in item:
            yield f"{where}.output: missing; null where it is not known"
        for name in _NEVER_NULL & item.keys():
            if item[name] is None and not (is_mcp_call and name == "output"):
                yield f"{where}.{name}: null, but clients want it left out"
        role = item.get("role")
        for index, part in enumerate(item.get("content") or []):
            if not isinstance(part, dict):
                continue
            here = f"{where}.content[{index}]"
            if part.get("type") is None:
                yield f"{here}.type: missing"
            if part.get("type") == "input_audio" and "transcript" not in part:
                yield f"{here}.transcript: missing; null where it is not known"
            if role == "assistant":
                yield from (f"{here}.{name}: null" for name, member in part.items() if member is None)
    if isinstance(part := event.get("part"), dict):
        if part.get("type") is None:
            yield "part.type: missing"
        yield from (f"part.{name}: null, but clients want it left out" for name in part if part[name] is None)
    if event.get("type") == "conversation.item.input_audio_transcription.failed":
        error = event.get("error")
        members = error.items() if isinstance(error, dict) else ()
        yield from (
            f"error.{name}: null, but clients want it left out" for name, value in members if value is None
        )
    if "obfuscation" in event and not str(event.get("type")).endswith(".delta"):
        yield "obfuscation: only on deltas"
    if event.get("type") == "error" and isinstance(error := event.get("error"), dict):
        # The envelope always has its five members, those without a value as null.
        yield from (f"error.{name}: missing" for name in ("code", "param", "event_id") if name not in error)


def _items(event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(item := event.get("item"), dict):
        yield "item", item
    if isinstance(response := event.get("response"), dict):
        for index, item in enumerate(response.get("output") or []):
            if isinstance(item, dict):
                yield f"response.output[{index}]", item


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name(value: Any) -> str:
    return "null" if value is None else type(value).__name__
