"""Places: every member of every published event, where objects that recur are looked at once.

`session.updated` has a member `session.audio.output.voice`. Its place is `audio.output.voice` of the object
`session`, which is the same wherever a server shows a session. Where a member may be one of several words,
each of them is a place as well: `status=cancelled` of `response`.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from openai.types import realtime
from openai.types.beta import realtime as beta
from pydantic import BaseModel

from tests.conformance.published import PUBLISHED, by_type

__all__ = ["EVENTS", "OBJECTS", "Place", "Side", "published", "seen"]

Side = Literal["client", "server", "beta client", "beta server"]
"""Who sends it. Of the beta dialect only the types of events count; what they hold is what the GA one has."""

EVENTS: Mapping[Side, Mapping[str, type[BaseModel]]] = {
    "client": by_type(realtime.RealtimeClientEvent),
    "server": PUBLISHED["ga"].events,
    "beta client": by_type(beta.RealtimeClientEvent),
    "beta server": PUBLISHED["beta"].events,
}

_ITEM_EVENTS = [
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.done",
    "conversation.item.retrieved",
    "response.output_item.added",
    "response.output_item.done",
]
_FORMAT = ["session audio.input.format", "session audio.output.format", "response audio.output.format"]

# Object -> where it is: an event or another object, and the member that holds it.
OBJECTS: Mapping[Side, Mapping[str, list[str]]] = {
    "beta client": {},
    "beta server": {},
    "client": {
        "session": ["session.update session"],
        "response": ["response.create response"],
        "item": ["conversation.item.create item", "response input[]"],
        "tool": ["session tools[]", "response tools[]"],
        "tool_choice": ["session tool_choice", "response tool_choice"],
        "prompt": ["session prompt", "response prompt"],
        "format": _FORMAT,
    },
    "server": {
        "session": ["session.created session", "session.updated session"],
        "response": ["response.created response", "response.done response"],
        "item": [*(f"{event} item" for event in _ITEM_EVENTS), "response output[]"],
        "tool": ["session tools[]"],
        "format": _FORMAT,
    },
}
_OBJECT_AT: Mapping[Side, Mapping[str, str]] = {
    side: {mount: name for name, mounts in objects.items() for mount in mounts}
    for side, objects in OBJECTS.items()
}

_LONGEST_WORD = 64  # characters; longer texts are none


@dataclass(frozen=True, slots=True, order=True)
class Place:
    side: Side
    owner: str  # an event or an object
    member: str  # dotted, with [] for the entries of an array and =x for a word that it may be

    @property
    def name(self) -> str:
        """The member without the word."""
        return self.member.partition("=")[0]


@cache
def published() -> frozenset[Place]:
    """Every place of the `openai` package's types and of our own, but for the id that all events have."""
    return frozenset(
        place
        for side, events in EVENTS.items()
        for kind, model in events.items()
        for path in _paths(model, side)
        for place in _places(side, kind, path)
    )


def seen(side: Side, event: Mapping[str, Any]) -> set[Place]:
    """The places at which this event has something other than null."""
    return {place for path in _filled(event) for place in _places(side, str(event["type"]), path)}


def _places(side: Side, owner: str, path: str) -> Iterator[Place]:
    if path == "event_id" or (side in ("beta client", "beta server") and path != "type"):
        return
    member, mark, word = path.partition("=")
    steps = member.split(".")
    for end in range(1, len(steps)):
        inner = _OBJECT_AT[side].get(f"{owner} {'.'.join(steps[:end])}")
        if inner is not None:
            yield from _places(side, inner, ".".join(steps[end:]) + mark + word)
            return
    if not (mark and member == "type" and owner in EVENTS[side]):
        yield Place(side, owner, path)


def _paths(annotation: Any, side: Side, path: str = "") -> Iterator[str]:
    """The members of a type, of all types of a union, and of the entries of an array; and words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _paths(get_args(annotation)[0], side, path)
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            if get_origin(member) is not Literal or str not in get_args(annotation):
                yield from _paths(member, side, path)
    elif origin is Literal:
        yield from (f"{path}={word}" for word in get_args(annotation) if isinstance(word, str))
    elif origin is list:
        yield from _paths(get_args(annotation)[0], side, f"{path}[]")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            where = f"{path}.{field.alias or name}" if path else field.alias or name
            yield where
            yield from _paths(field.annotation, side, where)
            if side == "server" and where == "session":  # declared with the types of requests
                for model in (PUBLISHED["ga"].sessions or {}).values():
                    yield from _paths(model, side, where)


def _filled(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            where = f"{path}.{name}" if path else name
            if member is not None:
                yield where
                yield from _filled(member, where)
    elif isinstance(value, list):
        for entry in value:
            yield from _filled(entry, f"{path}[]")
    elif isinstance(value, str) and len(value) <= _LONGEST_WORD:
        yield f"{path}={value}"
