"""Scripts for the fake Gemini API: what it answers, at which pace, and how it breaks."""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_service import as_json
from tests.fakes.openai_api import FakeCall, Reply, frame
from tests.fakes.openai_replies import Paced

__all__ = ["ContentReply", "FakeGeminiModel", "exhausted", "google_error", "plain_error", "signed"]

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FakeGeminiModel:
    """What one model can do."""

    levels: tuple[str, ...]  # of thinking; none: it knows only budgets, or nothing
    budgets: tuple[int, ...] | None  # the smallest and the largest; None: it takes none
    penalties: bool
    signs: bool  # whether it demands ids and signatures, and that a user speaks last
    system: bool = True
    ids: bool = True  # whether its calls have ids


def google_error(
    code: int, message: str, status: str, details: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """An error in Google's shape."""
    body = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": {name: value for name, value in body.items() if value != []}}


def error_reply(code: int, message: str, status: str, details: Sequence[Mapping[str, Any]] = ()) -> Reply:
    body = json.dumps(google_error(code, message, status, details), indent=2).encode()
    return Reply((body,), code)


def exhausted(delay: str | None = "2.5s") -> Reply:
    """Too many requests, with the time to wait among the details."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []}
    ]
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return error_reply(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED", details)


def plain_error(code: int, message: str, status: str) -> bytes:
    """How an error comes in mid-stream: lines of JSON, without `data:`."""
    return json.dumps(google_error(code, message, status), indent=2).encode() + b"\n"


def signed(text: str) -> str:
    """An opaque signature; the service writes bytes in base64."""
    return base64.b64encode(f"signed:{text}".encode()).decode()


@dataclass(frozen=True, slots=True)
class ContentReply(Paced):
    """Thoughts, then the text word by word, then the calls in one piece, then an empty end with usage."""

    text: str = ""
    calls: Sequence[FakeCall] = ()
    thoughts: str = ""
    finish: str = "STOP"
    signs: bool = True  # whether the first call is signed
    ids: bool = True  # whether calls have ids
    cached: int = 0
    blocked: str = ""  # the reason for which the prompt itself was refused

    def render(self, body: Mapping[str, Any]) -> Reply:
        responses = [*self._responses(body)]
        if body.get("alt") != "sse":
            whole = json.dumps(responses, ensure_ascii=False, indent=2).encode()
            return Reply(tuple(self.steps([whole])), delay_s=self.delay_s)
        pieces = [frame(as_json(response).decode()).replace(b"\n", b"\r\n") for response in responses]
        return Reply(tuple(self.steps(pieces)), content_type="text/event-stream", delay_s=self.delay_s)

    def _responses(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        read = len(str(body.get("contents", "")).split())
        written = len(self.text.split()) + len(self.calls)
        counted = {
            "promptTokenCount": read,
            "cachedContentTokenCount": self.cached,
            "candidatesTokenCount": written,
            "thoughtsTokenCount": len(self.thoughts.split()),
            "totalTokenCount": read + written,
        }
        head = {"modelVersion": "fake", "responseId": f"r{next(_ids)}"}
        if self.blocked:
            feedback = {"blockReason": self.blocked}
            yield {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": read}, **head}
            return

        def response(parts: Sequence[Mapping[str, Any]], usage: Mapping[str, int]) -> dict[str, Any]:
            candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
            return {"candidates": [candidate], "usageMetadata": usage, **head}

        early = {"promptTokenCount": read, "totalTokenCount": read}
        if self.thoughts:
            yield response([{"text": self.thoughts, "thought": True}], early)
        for word in re.findall(r"\s*\S+|\s+$", self.text):
            yield response([{"text": word}], early)
        if self.calls:
            yield response([*self._calls()], early)
        last = response([{"text": "", "thoughtSignature": signed("the end")}], counted)
        last["candidates"][0]["finishReason"] = self.finish
        yield last

    def _calls(self) -> Iterator[dict[str, Any]]:
        for at, call in enumerate(self.calls):
            wire: dict[str, Any] = {"name": call.name, "args": json.loads(call.arguments or "{}")}
            if self.ids:
                wire["id"] = call.id or f"fc{next(_ids)}"
            part: dict[str, Any] = {"functionCall": wire}
            if self.signs and at == 0:
                part["thoughtSignature"] = signed(call.name)
            yield part
