"""Scripts for the fake Messages API: what it answers, at which pace, and how it breaks."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_service import as_json
from tests.fakes.openai_api import FakeCall, Reply, frame
from tests.fakes.openai_replies import Paced

__all__ = ["FakeClaude", "MessageReply", "anthropic_error", "event", "overloaded", "rate_limited"]

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FakeClaude:
    """What one model can do."""

    max_tokens: int
    thinking: tuple[str, ...]  # types that it takes
    efforts: tuple[str, ...]
    samples: bool
    prefill: bool
    forces_tools: bool
    system_turns: bool


def anthropic_error(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in Anthropic's shape."""
    body = {
        "type": "error",
        "error": {"type": kind, "message": message, "details": None},
        "request_id": f"req_{next(_ids):024d}",
    }
    return Reply((as_json(body),), status, headers=headers or {})


def overloaded() -> Reply:
    return anthropic_error(529, "Overloaded", "overloaded_error")


def rate_limited(milliseconds: int = 1500) -> Reply:
    headers = {"retry-after": str(-(-milliseconds // 1000)), "retry-after-ms": str(milliseconds)}
    message = "This request would exceed the rate limit for your organization"
    return anthropic_error(429, message, "rate_limit_error", headers)


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event, named after its type as the service does."""
    return frame(value, str(value["type"]))


@dataclass(frozen=True, slots=True)
class MessageReply(Paced):
    """A message: thinking, then the text word by word, then the calls with fragmented arguments."""

    text: str = ""
    calls: Sequence[FakeCall] = ()
    thinking: str | None = None  # None: no block; "": one whose text is left out
    redacted: str = ""  # the data of a redacted block before the others
    stop: str | None = None  # None: "tool_use" with calls, else "end_turn"
    thinks_last: bool = False  # whether the thinking comes between text and calls
    cached: int = 0  # tokens read from the cache, beside those counted
    written: int = 0  # tokens written to the cache
    pings: bool = True

    def render(self, body: Mapping[str, Any]) -> Reply:
        blocks = [*self._blocks()]
        stop = self.stop or ("tool_use" if self.calls else "end_turn")
        if not body.get("stream"):
            content = [_whole(block) for block in blocks]
            message = self._head(body) | {"content": content, "stop_reason": stop, "usage": self._usage(body)}
            return Reply(tuple(self.steps([as_json(message)])), delay_s=self.delay_s)
        pieces = [*self._events(body, blocks, stop)]
        return Reply(tuple(self.steps(pieces)), content_type="text/event-stream", delay_s=self.delay_s)

    def _blocks(self) -> Iterator[dict[str, Any]]:
        thoughts: list[dict[str, Any]] = []
        if self.redacted:
            thoughts.append({"type": "redacted_thinking", "data": self.redacted})
        if self.thinking is not None:
            signature = f"signed:{self.thinking}"
            thoughts.append({"type": "thinking", "thinking": self.thinking, "signature": signature})
        yield from () if self.thinks_last else thoughts
        if self.text:
            yield {"type": "text", "text": self.text}
        yield from thoughts if self.thinks_last else ()
        for call in self.calls:
            call_id = call.id or f"toolu_{next(_ids):024d}"
            yield {"type": "tool_use", "id": call_id, "name": call.name, "input": {}, "_json": call.arguments}

    def _head(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{next(_ids):024d}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _usage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        texts = re.findall(r"\S+", str(body["messages"]))
        return {
            "input_tokens": len(texts),
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.cached,
            "output_tokens": len(self.text.split()) + len(self.calls),
        }

    def _events(
        self, body: Mapping[str, Any], blocks: Sequence[dict[str, Any]], stop: str
    ) -> Iterator[bytes]:
        usage = self._usage(body)
        yield event(
            {"type": "message_start", "message": {**self._head(body), "usage": {**usage, "output_tokens": 1}}}
        )
        if self.pings:
            yield event({"type": "ping"})
        for index, block in enumerate(blocks):
            start, deltas = _streamed(block)
            yield event({"type": "content_block_start", "index": index, "content_block": start})
            for delta in deltas:
                yield event({"type": "content_block_delta", "index": index, "delta": delta})
            yield event({"type": "content_block_stop", "index": index})
        if self.pings:
            yield event({"type": "ping"})
        details = {"type": "refusal", "category": None, "explanation": None} if stop == "refusal" else None
        delta = {"stop_reason": stop, "stop_sequence": None, "stop_details": details}
        yield event(
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
        )
        yield event({"type": "message_stop"})


def _whole(block: Mapping[str, Any]) -> dict[str, Any]:
    if block["type"] != "tool_use":
        return dict(block)
    return {**{k: v for k, v in block.items() if k != "_json"}, "input": json.loads(block["_json"] or "{}")}


def _streamed(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and the deltas that make it whole."""
    match block["type"]:
        case "text":
            words = re.findall(r"\s*\S+|\s+$", block["text"])
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words]
        case "thinking":
            words = re.findall(r"\s*\S+|\s+$", block["thinking"])
            deltas = [{"type": "thinking_delta", "thinking": word} for word in words]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use":
            start = {name: value for name, value in block.items() if name != "_json"}
            written = "" if block["_json"] in ("", "{}") else block["_json"]
            pieces = ["", *re.findall(r".{1,6}", written, re.DOTALL)]
            return start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            return dict(block), []
