"""Assembles streamed tool calls out of the fragments that compatible servers send.

OpenAI opens a call with index, id and name and then sends pieces of its arguments under the same index.
Others send whole calls, leave out the index or the id, repeat the id or the name with every piece, invent a
new id for each piece, or put two calls under one index. Which call a fragment belongs to:

- a known id: that call, unless the fragment's index says otherwise;
- a new id with a name, or a name after complete arguments: a new call;
- anything else: the latest call of that index, or the latest call where the index is missing.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from providers.contracts import LlmEvent, ToolCallDelta, ToolCallStarted
from providers.llm.openai_chat_request import STATE

__all__ = ["ToolFragments"]

# Sent as a first piece by some servers whose real arguments follow.
_PLACEHOLDERS = ("{}", "null")


@dataclass(slots=True)
class _Call:
    index: int  # ours
    place: Any  # the server's index, or None
    id: str
    name: str = ""
    started: bool = False
    held: str = ""  # arguments that are not out yet
    arguments: str = ""

    def complete(self) -> bool:
        try:
            return isinstance(json.loads(self.arguments + self.held), dict)
        except ValueError:
            return False


class ToolFragments:
    """Feed it fragments, get events whose pieces add up to the arguments of each call."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def feed(self, fragment: Mapping[str, Any], reasoning: str = "") -> Iterator[LlmEvent]:
        """`reasoning` led to the call, and is wanted back with it."""
        function = fragment.get("function")
        function = function if isinstance(function, Mapping) else {}
        given_id, name = _text(fragment.get("id")), _text(function.get("name"))
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments)  # Ollama's own shape: an object
        call = self._find(fragment.get("index"), given_id, name, arguments or "")
        call.name = call.name or name
        if arguments:
            call.held = "" if call.held in _PLACEHOLDERS else call.held
            call.held += arguments
        if call.name and not call.started:
            call.started = True
            yield ToolCallStarted(call.index, call.id, call.name, _state(fragment, reasoning))
        if call.started and call.held and (call.arguments or call.held not in _PLACEHOLDERS):
            call.arguments += call.held
            yield ToolCallDelta(call.index, call.held)
            call.held = ""

    def finish(self) -> Iterator[LlmEvent]:
        """The arguments of calls that had none; raises `ValueError` for a call without a name."""
        for call in self._calls:
            if not call.started:
                raise ValueError("a tool call without a name")
            if not call.arguments:
                yield ToolCallDelta(call.index, "{}")

    def _find(self, place: Any, given_id: str, name: str, arguments: str) -> _Call:
        here = [call for call in self._calls if place is None or call.place in (None, place)]
        latest = here[-1] if here else None
        known = next((call for call in reversed(here) if given_id and call.id == given_id), None)
        if known is not None:
            return known if _continues(known, name, arguments) else self._new(place, "")
        if latest is not None and (not name or not latest.name):
            return latest
        if latest is not None and not given_id and _continues(latest, name, arguments):
            return latest
        return self._new(place, given_id)

    def _new(self, place: Any, given_id: str) -> _Call:
        taken = given_id in {call.id for call in self._calls}
        unique = given_id if given_id and not taken else f"call_{uuid.uuid4().hex[:24]}"
        call = _Call(len(self._calls), place, unique)
        self._calls.append(call)
        return call


def _continues(call: _Call, name: str, arguments: str) -> bool:
    """Whether a piece may belong to this call; a whole second call under the same id may not."""
    if name and name != call.name:
        return False
    return not (name and arguments and call.complete())


def _state(fragment: Mapping[str, Any], reasoning: str) -> str:
    """What the server wants back with the call: its reasoning, or Google's signature of it."""
    extra = fragment.get("extra_content")
    kept = {"extra_content": extra if isinstance(extra, Mapping) else None, "reasoning_content": reasoning}
    kept = {name: value for name, value in kept.items() if value}
    return json.dumps({STATE: kept}) if kept else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
