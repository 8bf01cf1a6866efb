"""Chat completions of OpenAI and of the many servers that imitate them, streamed.

Reasoning is never passed on: neither `reasoning`/`reasoning_content` nor `<think>` blocks in the text.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Literal

import orjson

from providers.contracts import LlmEvent, LlmFinished, LlmRequest, LlmUsage, TextDelta
from providers.errors import BadAnswerError, ConnectionFailedError, OverloadedError, ProviderError
from providers.http import HttpClient
from providers.llm.openai_chat_request import GO_ON, chat_body
from providers.llm.streaming import read_answer
from providers.llm.think_filter import ThinkFilter
from providers.llm.tool_fragments import ToolFragments
from providers.llm.vision import without_images
from providers.openai_quirks import Quirks
from providers.problems import problem_from_object

__all__ = ["ChatStream", "OpenAIChatLlm"]

MAX_ATTEMPTS = 13  # one, and one for each parameter that a server may refuse

MAX_REASONING = 256 * 1024  # characters kept for servers that want them back

_OPTIONAL = frozenset(
    {
        "stream_options",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "logit_bias",
        "stop",
        "parallel_tool_calls",
        "reasoning_effort",
    }
)
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]
_FINISH: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}


class OpenAIChatLlm:
    """One model behind `POST {base}/chat/completions`."""

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        max_tokens_field: str = "max_tokens",
        system_role: str = "system",
        extra_body: Mapping[str, Any] | None = None,
        sees_images: bool = True,
        echo_reasoning: bool = False,
        user_speaks_last: bool = False,
        setting_names: Mapping[str, str] | None = None,
    ) -> None:
        """`echo_reasoning`: the server wants its reasoning back with the calls that it led to;
        `user_speaks_last`: it refuses a conversation that ends with the assistant; `setting_names` as in
        `chat_body`.
        """
        self._http = http
        self._model = model
        self._max_tokens_field = max_tokens_field
        self._system_role = system_role
        self._extra_body = dict(extra_body or {})
        self._sees_images = sees_images
        self._echo_reasoning = echo_reasoning
        self._user_speaks_last = user_speaks_last
        self._setting_names = dict(setting_names or {})
        self._quirks = Quirks(
            _OPTIONAL | {name for name in self._setting_names.values() if name}, _OTHER_NAME
        )

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its connection."""
        if not self._sees_images:
            request = without_images(request)
        whole = chat_body(
            request, self._model, self._max_tokens_field, self._system_role, self._setting_names
        )
        if self._user_speaks_last and whole["messages"] and whole["messages"][-1]["role"] == "assistant":
            whole["messages"].append({"role": "user", "content": GO_ON})
        whole |= self._extra_members(request)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            body = self._quirks.apply(whole)
            async with self._http.post_json("/chat/completions", body) as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS and self._quirks.learn(body, problem):
                        continue
                    raise problem.to_error(self._http.provider)
                stream = self._stream()
                async with aclosing(read_answer(answer, stream)) as events:
                    async for event in events:
                        yield event
                return

    def _extra_members(self, request: LlmRequest) -> dict[str, Any]:
        """What the body holds besides what every such server understands."""
        return dict(self._extra_body)

    def _stream(self) -> "ChatStream":
        """What reads the answer."""
        return ChatStream(self._http, keeps_reasoning=self._echo_reasoning)


class ChatStream:
    """Turns decoded chunks into events."""

    def __init__(self, http: HttpClient, *, keeps_reasoning: bool) -> None:
        self._http = http
        self._keeps_reasoning = keeps_reasoning
        self._reasoning = ""
        self._think = ThinkFilter()
        self._tools = ToolFragments()
        self._usage: LlmUsage | None = None
        self._any = False
        self.reason: str | None = None
        self.done = False

    def read(self, data: str) -> Iterator[LlmEvent]:
        """Events of one frame; raises the error that it reports."""
        if data.strip() == "[DONE]":
            self.done = True
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._bad("sent a chunk that is not JSON") from None
        yield from self.feed(chunk)

    def feed(self, chunk: Any) -> Iterator[LlmEvent]:
        """Events of one chunk; raises the error that it reports."""
        if isinstance(chunk, list) and chunk:  # Google wraps errors in a list
            chunk = chunk[0]
        if not isinstance(chunk, Mapping):
            raise self._bad("sent a chunk that is not an object")
        if chunk.get("error"):
            raise self._problem(chunk)
        self._read_usage(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, Mapping) or choice.get("index", 0) not in (0, None):
                continue
            if choice.get("error"):
                raise self._problem(choice)
            self._any = True
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, Mapping):
                yield from self._delta(delta)
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self.reason = reason

    def whole(self, completion: Any) -> Iterator[LlmEvent]:
        """Events of an answer that came in one piece."""
        yield from self.feed(completion)
        self.done = True

    def finish(self) -> Iterator[LlmEvent]:
        """The end of the stream; raises where it came too early."""
        if not self._any and self.done:
            raise self._bad("sent an empty answer")
        if self.reason is None and not self.done:
            name = self._http.provider
            raise ConnectionFailedError(f"{name} broke off its answer", provider=name)
        if self.reason == "error":
            raise OverloadedError(f"{self._http.provider} failed mid-answer", provider=self._http.provider)
        if rest := self._think.flush():
            yield TextDelta(rest)
        try:
            yield from self._tools.finish()
        except ValueError as error:
            raise self._bad(f"sent {error}") from None
        # Some servers say "stop" although they called a tool, and the reverse.
        reason = _FINISH.get((self.reason or "").lower()) or ("tool_calls" if self._tools.any else "stop")
        yield LlmFinished(reason, self._usage)

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[LlmEvent]:
        for text in (_plain(delta.get("content")), _plain(delta.get("refusal"))):
            if text and (spoken := self._think.feed(text)):
                yield TextDelta(spoken)
        if self._keeps_reasoning and len(self._reasoning) < MAX_REASONING:
            self._reasoning += _plain(delta.get("reasoning_content"))
        calls = delta.get("tool_calls")
        for fragment in calls if isinstance(calls, list) else ():
            if isinstance(fragment, Mapping):
                yield from self._tools.feed(fragment, self._reasoning)
        if isinstance(legacy := delta.get("function_call"), Mapping):
            yield from self._tools.feed({"index": 0, "function": legacy})

    def _read_usage(self, chunk: Mapping[str, Any]) -> None:
        usage = chunk.get("usage")
        if not usage and isinstance(groq := chunk.get("x_groq"), Mapping):
            usage = groq.get("usage")
        if isinstance(usage, Mapping):
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
            self._usage = LlmUsage(
                _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached)
            )

    def _problem(self, value: Any) -> ProviderError:
        return problem_from_object(value, self._http.redactor).to_error(self._http.provider)

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)


def _plain(content: Any) -> str:
    """The text of a content string, or of the text parts of a content list (Mistral)."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
