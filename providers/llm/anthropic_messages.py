"""Anthropic's Messages, streamed. What the model thinks is never spoken, and goes back with its calls."""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

import orjson

from providers.contracts import LlmEvent, LlmFinished, LlmRequest, LlmUsage
from providers.errors import BadAnswerError, ConnectionFailedError, ProviderError
from providers.http import HttpClient
from providers.llm.anthropic_blocks import Blocks
from providers.llm.anthropic_request import Shape, messages_body
from providers.llm.claude_models import ClaudeModel, claude_model, taught
from providers.llm.streaming import read_answer
from providers.openai_quirks import Quirks
from providers.problems import Problem, problem_from_object

__all__ = ["NEWEST_VERSION", "AnthropicMessagesLlm"]

MAX_ATTEMPTS = 8  # one, and those after what refusals taught

NEWEST_VERSION = "2026-10-21"  # the first without temperature and top_p

_OPTIONAL = frozenset(
    {"temperature", "top_p", "stop_sequences", "thinking", "output_config", "cache_control"}
)

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]
_FINISH: Mapping[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

_NO_ROOM = re.compile(r"exceed context limit: (\d{1,9}) \+ (\d{1,9}) > (\d{1,9})")
_FOREIGN_THOUGHTS = re.compile(r"(?i)signature|(redacted_)?thinking`?\W+blocks?|expected `thinking`")


class AnthropicMessagesLlm:
    """One model behind `POST {base}/v1/messages`."""

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        samples: bool = True,
        max_tokens: int | None = None,
        caches: bool = False,
        effort: str | None = None,
    ) -> None:
        """`samples`: whether the version of the API has temperature; `caches`: whether to ask for caching;
        `effort`: that of reasoning, where a request does not say."""
        self._http = http
        self._name = model
        self._model = claude_model(model)
        if not samples:
            self._model = replace(self._model, samples=False)
        if max_tokens is not None:
            self._model = replace(self._model, max_tokens=max_tokens)
        self._caches = caches
        self._effort = effort
        self._quirks = Quirks(_OPTIONAL)

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its connection."""
        if request.reasoning_effort is None:
            request = replace(request, reasoning_effort=self._effort)
        shape = Shape()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            model = self._model
            whole = messages_body(request, self._name, model, shape, caches=self._caches)
            body = self._quirks.apply(whole)
            async with self._http.post_json("/v1/messages", body) as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS:
                        if (other := _reshaped(shape, body, problem)) is not None:
                            shape = other
                            continue
                        if self._learns(model, body, problem):
                            continue
                    raise problem.to_error(self._http.provider)
                stream = _MessageStream(self._http, self._name)
                async with aclosing(read_answer(answer, stream)) as events:
                    async for event in events:
                        yield event
                return

    def _learns(self, model: ClaudeModel, body: Mapping[str, Any], problem: Problem) -> bool:
        """Whether another attempt, after what we knew of the `model` was refused, will be another request."""
        if problem.status in (400, 422) and self._model != model:  # another request has learned meanwhile
            return True
        better = taught(model, body, problem)
        if better is not None:
            self._model = better
            return True
        return self._quirks.learn(body, problem)


def _reshaped(shape: Shape, body: Mapping[str, Any], problem: Problem) -> Shape | None:
    """The request as it may be accepted, where the refusal is about this conversation and not the model."""
    if problem.status != 400:
        return None
    if (room := _NO_ROOM.search(problem.message)) and shape.max_tokens is None:
        left = int(room[3]) - int(room[1])
        return replace(shape, max_tokens=left) if 0 < left < body["max_tokens"] else None
    # Thoughts that the service does not know again, or misses: better none than no answer.
    if shape.echoes and _FOREIGN_THOUGHTS.search(problem.message) and _thinks(body):
        return replace(shape, echoes=False)
    return None


def _thinks(body: Mapping[str, Any]) -> bool:
    blocks = (block for turn in body["messages"] for block in turn["content"])
    echoed = any(block["type"] in ("thinking", "redacted_thinking") for block in blocks)
    return echoed or body.get("thinking", {}).get("type") == "enabled"


class _MessageStream:
    """Turns decoded events into ours."""

    def __init__(self, http: HttpClient, name: str) -> None:
        self._http = http
        self._blocks = Blocks(name)
        self._usage: dict[str, int] = {}
        self._begun = False
        self.reason: str | None = None
        self.done = False

    def read(self, data: str) -> Iterator[LlmEvent]:
        """Our events for one frame; raises the error that it reports."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._bad("sent an event that is not JSON") from None
        yield from self.feed(event)

    def feed(self, event: Any) -> Iterator[LlmEvent]:
        """Our events for one of theirs; raises the error that it reports."""
        if not isinstance(event, Mapping):
            raise self._bad("sent an event that is not an object")
        match event.get("type"):
            case "message_start":
                self._begun = True
                message = event.get("message")
                self._read_usage(message if isinstance(message, Mapping) else {})
            case "content_block_start" | "content_block_delta" | "content_block_stop" as kind:
                self._begun = True
                try:
                    yield from self._blocks.feed(kind, event)
                except ValueError as error:
                    raise self._bad(f"sent {error}") from None
            case "message_delta":
                delta = event.get("delta")
                reason = delta.get("stop_reason") if isinstance(delta, Mapping) else None
                if isinstance(reason, str) and reason:
                    self.reason = reason
                self._read_usage(event)
            case "message_stop":
                self.done = True
            case "error":
                raise self._problem(event)
            case _:
                if event.get("error"):  # as proxies report theirs
                    raise self._problem(event)

    def whole(self, message: Any) -> Iterator[LlmEvent]:
        """Our events for an answer that came in one piece."""
        if not isinstance(message, Mapping) or message.get("error"):
            yield from self.feed(message)
            return
        content = message.get("content")
        self._begun = isinstance(content, list)
        for index, block in enumerate(content if isinstance(content, list) else ()):
            yield from self.feed({"type": "content_block_start", "index": index, "content_block": block})
            yield from self.feed({"type": "content_block_stop", "index": index})
        yield from self.feed({"type": "message_delta", "delta": message, "usage": message.get("usage")})
        self.done = True

    def finish(self) -> Iterator[LlmEvent]:
        """The end of the stream; raises where it came too early."""
        if self.done and not self._begun:
            raise self._bad("sent an empty answer")
        if self.reason is None and not self.done:
            name = self._http.provider
            raise ConnectionFailedError(f"{name} broke off its answer", provider=name)
        try:
            yield from self._blocks.finish()
        except ValueError as error:
            raise self._bad(f"sent {error}") from None
        calls: FinishReason = "tool_calls" if self._blocks.calls else "stop"
        yield LlmFinished(_FINISH.get(self.reason or "", calls), self._counted())

    def _read_usage(self, holder: Mapping[str, Any]) -> None:
        """Counts are cumulative, and a later event may leave some out."""
        usage = holder.get("usage")
        for name, count in usage.items() if isinstance(usage, Mapping) else ():
            if isinstance(name, str) and type(count) is int and count >= 0:
                self._usage[name] = count

    def _counted(self) -> LlmUsage | None:
        if not self._usage:
            return None
        count = self._usage.get
        cached = count("cache_read_input_tokens", 0)
        read = count("input_tokens", 0) + count("cache_creation_input_tokens", 0) + cached
        return LlmUsage(read, count("output_tokens", 0), cached)

    def _problem(self, value: Mapping[str, Any]) -> ProviderError:
        return problem_from_object(value, self._http.redactor).to_error(self._http.provider)

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)
