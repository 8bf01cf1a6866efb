"""Assembles the content blocks of a streamed message: text, calls, and the thoughts that led to them."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.contracts import LlmEvent, TextDelta, ToolCallDelta, ToolCallStarted
from providers.llm.anthropic_request import STATE
from providers.llm.json_objects import write_object

__all__ = ["Blocks"]

MAX_THOUGHTS = 512 * 1024  # characters of thinking that are kept to go back with a call


@dataclass(slots=True)
class _Call:
    index: int  # ours
    input: Mapping[str, Any]  # as far as it came with the start
    written: bool = False


@dataclass(slots=True)
class _Open:
    """A block that has begun."""

    kind: str
    call: _Call | None = None
    thought: dict[str, Any] = field(default_factory=dict)


class Blocks:
    """Feed it the events of content blocks, get ours. Raises `ValueError` for what cannot be a message."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._open: dict[Any, _Open] = {}
        self._thoughts: list[dict[str, Any]] = []  # since the last call
        self._size = 0
        self._any_text = False
        self._after_text = False  # whether something was said before these thoughts
        self.calls = 0

    def feed(self, kind: str, event: Mapping[str, Any]) -> Iterator[LlmEvent]:
        """`kind` is the type of the event."""
        index = event.get("index")
        index = index if isinstance(index, int) else None
        if kind == "content_block_start":
            block = event.get("content_block")
            yield from self._start(index, block if isinstance(block, Mapping) else {})
        elif kind == "content_block_delta":
            delta = event.get("delta")
            yield from self._delta(self._open.get(index), delta if isinstance(delta, Mapping) else {})
        elif (block := self._open.pop(index, None)) is not None:
            yield from _close(block)

    def finish(self) -> Iterator[LlmEvent]:
        """The rest of blocks that were not closed."""
        for block in self._open.values():
            yield from _close(block)
        self._open.clear()

    def _start(self, index: int | None, block: Mapping[str, Any]) -> Iterator[LlmEvent]:
        kind = _text(block.get("type"))
        opened = self._open[index] = _Open(kind)
        if kind == "text":
            yield from self._said(block.get("text"))
        elif kind in ("thinking", "redacted_thinking"):
            if not self._thoughts:
                self._after_text = self._any_text
            opened.thought = dict(block)
            self._thoughts.append(opened.thought)
            self._size += sum(len(value) for value in block.values() if isinstance(value, str))
        elif kind == "tool_use":
            name = _text(block.get("name"))
            if not name:
                raise ValueError("a call without a name")
            given = block.get("input")
            opened.call = _Call(self.calls, given if isinstance(given, Mapping) else {})
            self.calls += 1
            call_id = _text(block.get("id")) or f"toolu_{uuid.uuid4().hex[:24]}"
            yield ToolCallStarted(opened.call.index, call_id, name, self._state())

    def _delta(self, block: _Open | None, delta: Mapping[str, Any]) -> Iterator[LlmEvent]:
        match delta.get("type"):
            case "text_delta" if block is None or block.kind == "text":
                yield from self._said(delta.get("text"))
            case "input_json_delta":
                if block is None:
                    raise ValueError("arguments of a call that did not begin")
                piece = _text(delta.get("partial_json"))
                if block.call is not None and piece:
                    block.call.written = True
                    yield ToolCallDelta(block.call.index, piece)
            case "thinking_delta" if block is not None:
                self._think(block, "thinking", _text(delta.get("thinking")))
            case "signature_delta" if block is not None:
                self._think(block, "signature", _text(delta.get("signature")))

    def _said(self, text: Any) -> Iterator[LlmEvent]:
        if isinstance(text, str) and text:
            self._any_text = self._any_text or bool(text.strip())
            yield TextDelta(text)

    def _think(self, block: _Open, member: str, piece: str) -> None:
        if block.thought and self._size <= MAX_THOUGHTS:
            self._size += len(piece)
            block.thought[member] = _text(block.thought.get(member)) + piece

    def _state(self) -> str:
        """What goes back with the call that begins now; the next one gets what is thought after it."""
        thoughts, self._thoughts = self._thoughts, []
        if not thoughts or self._size > MAX_THOUGHTS:  # the service takes them whole or not at all
            return ""
        own = {"model": self._model, "thinking": thoughts, "after_text": self._after_text}
        return write_object({STATE: own})


def _close(block: _Open) -> Iterator[LlmEvent]:
    """The arguments of a call that were not streamed."""
    if block.call is not None and not block.call.written:
        block.call.written = True
        yield ToolCallDelta(block.call.index, write_object(block.call.input))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
