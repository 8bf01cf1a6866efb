"""Gemini's own generateContent, streamed. Thoughts are never spoken; what signs them goes back with calls."""

import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from providers.contracts import (
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from providers.errors import BadAnswerError, ConnectionFailedError, InvalidRequestError, ProviderError
from providers.http import Answer, HttpClient
from providers.llm.gemini_frames import frames
from providers.llm.gemini_models import GeminiModel, gemini_model, taught
from providers.llm.gemini_request import STATE, content_body
from providers.llm.json_objects import write_object
from providers.openai_quirks import Quirks
from providers.problems import Problem, problem_from_object

__all__ = ["GeminiLlm"]

MAX_ATTEMPTS = 8  # one, and those after what refusals taught
TAIL_GAP_S = 2.0  # how long the end may take once the reason for it is known

# As the body spells them; refusals often name them as the schema does.
_OPTIONAL = {
    "temperature": "temperature",
    "topP": "top_p",
    "stopSequences": "stop_sequences",
    "seed": "seed",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "thinkingConfig": "thinking_config",
}

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]
_FINISH: Mapping[str, FinishReason] = {
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
}
# The model broke the rules of its own service, and another attempt may go better.
_BROKEN = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE")


class GeminiLlm:
    """One model behind `POST {base}/models/{model}:streamGenerateContent`."""

    def __init__(
        self, http: HttpClient, model: str, *, upstream: str | None = None, effort: str | None = None
    ) -> None:
        """`upstream`: the name that the service knows the model by, where it is another; `effort`: that of
        reasoning, where a request does not say."""
        self._http = http
        self._name = upstream or model
        self._model = gemini_model(self._name)
        self._effort = effort
        self._quirks = Quirks(frozenset(_OPTIONAL))
        kind, slash, own = self._name.removeprefix("models/").partition("/")
        place = f"{kind}/{quote(own, safe='')}" if slash and kind == "tunedModels" else ""
        place = place or f"models/{quote(self._name.removeprefix('models/'), safe='')}"
        self._path = f"/{place}:streamGenerateContent?alt=sse"

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its connection."""
        if request.reasoning_effort is None:
            request = replace(request, reasoning_effort=self._effort)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            model = self._model
            body = content_body(request, self._name, model)
            if "generationConfig" in body:
                body["generationConfig"] = self._quirks.apply(body["generationConfig"])
            async with self._http.post_json(self._path, body) as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS and self._learns(model, body, problem):
                        continue
                    raise problem.to_error(self._http.provider)
                stream = _ContentStream(self._http, self._name)
                async with aclosing(_read(answer, stream)) as events:
                    async for event in events:
                        yield event
                return

    def _learns(self, model: GeminiModel, body: Mapping[str, Any], problem: Problem) -> bool:
        """Whether another attempt, after what we knew of the `model` was refused, will be another request."""
        if problem.status == 400 and self._model != model:  # another request has learned meanwhile
            return True
        better = taught(model, body, problem)
        if better is not None:
            self._model = better
            return True
        config = body.get("generationConfig", {})
        text = problem.message
        for name, other in _OPTIONAL.items():
            text = text.replace(other, name)
        return self._quirks.learn(config, replace(problem, message=text))


async def _read(answer: Answer, stream: "_ContentStream") -> AsyncGenerator[LlmEvent, None]:
    if answer.content_type == "text/html":
        raise answer.bad("answered with a web page; is its base_url right?")
    if answer.content_type == "application/json":  # the whole stream as a list, or an error
        value = await answer.json()
        for part in value if isinstance(value, list) else [value]:
            for event in stream.feed(part):
                yield event
        for event in stream.finish():
            yield event
        return
    try:
        async with aclosing(frames(answer)) as values:
            async for value in values:
                for event in stream.feed(value):
                    yield event
                if stream.reason is not None:
                    answer.gap = min(answer.gap, TAIL_GAP_S)
    except ProviderError as error:
        # The answer was complete; what is missing is the end of the body.
        if stream.reason is None or isinstance(error, BadAnswerError) or stream.failed:
            raise
    for event in stream.finish():
        yield event


class _ContentStream:
    """Turns decoded responses into our events."""

    def __init__(self, http: HttpClient, name: str) -> None:
        self._http = http
        self._name = name
        self._usage: dict[str, int] = {}
        self._calls = 0
        self._ids: set[str] = set()
        self.reason: str | None = None
        self.failed = False  # an error was reported, which no earlier end makes good

    def feed(self, response: Any) -> Iterator[LlmEvent]:
        """Events of one response; raises the error that it reports."""
        if isinstance(response, list) and response:  # errors come wrapped in a list as well
            response = response[0]
        if not isinstance(response, Mapping):
            raise self._bad("sent an event that is not an object")
        if response.get("error"):
            self.failed = True
            raise problem_from_object(response, self._http.redactor).to_error(self._http.provider)
        self._read_usage(response.get("usageMetadata"))
        feedback = response.get("promptFeedback")
        if isinstance(feedback, Mapping) and feedback.get("blockReason"):
            self.reason = "PROHIBITED_CONTENT"
        candidates = response.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, Mapping) and candidate.get("index", 0) in (0, None):
                yield from self._candidate(candidate)

    def finish(self) -> Iterator[LlmEvent]:
        """The end of the stream; raises where it came too early, or was no answer."""
        name = self._http.provider
        if self.reason is None:
            raise ConnectionFailedError(f"{name} broke off its answer", provider=name)
        if self.reason in _BROKEN:
            raise self._bad(f"gave up its answer: {self.reason}")
        if self.reason == "MISSING_THOUGHT_SIGNATURE":
            raise InvalidRequestError(f"{name} misses a signature of its thoughts", provider=name)
        calls: FinishReason = "tool_calls" if self._calls else "stop"
        yield LlmFinished(_FINISH.get(self.reason, calls), self._counted())

    def _candidate(self, candidate: Mapping[str, Any]) -> Iterator[LlmEvent]:
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, Mapping) else ()
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, Mapping):
                continue
            text, call = part.get("text"), part.get("functionCall")
            if isinstance(text, str) and text and part.get("thought") is not True:
                yield TextDelta(text)
            if isinstance(call, Mapping):
                yield from self._call(call, part.get("thoughtSignature"))
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason and reason != "FINISH_REASON_UNSPECIFIED":
            self.reason = reason

    def _call(self, call: Mapping[str, Any], signature: Any) -> Iterator[LlmEvent]:
        name, given = call.get("name"), call.get("id")
        if not isinstance(name, str) or not name:
            raise self._bad("sent a call without a name")
        call_id = given if isinstance(given, str) else ""
        signed = signature if isinstance(signature, str) else ""
        state = {"model": self._name, "id": call_id, "signature": signed}
        own = {member: value for member, value in state.items() if value}
        if not call_id or call_id in self._ids:
            call_id = f"call_{uuid.uuid4().hex[:24]}"
        self._ids.add(call_id)
        arguments = call.get("args")
        try:
            written = write_object(arguments if isinstance(arguments, Mapping) else {})
        except ValueError as error:
            raise self._bad(f"sent {error}") from None
        yield ToolCallStarted(self._calls, call_id, name, write_object({STATE: own}))
        yield ToolCallDelta(self._calls, written)
        self._calls += 1

    def _read_usage(self, usage: Any) -> None:
        """Counts are cumulative, and a later response may leave some out."""
        for name, count in usage.items() if isinstance(usage, Mapping) else ():
            if isinstance(name, str) and type(count) is int and count >= 0:
                self._usage[name] = count

    def _counted(self) -> LlmUsage | None:
        if not self._usage:
            return None
        count = self._usage.get
        return LlmUsage(
            count("promptTokenCount", 0) + count("toolUsePromptTokenCount", 0),
            count("candidatesTokenCount", 0) + count("thoughtsTokenCount", 0),
            count("cachedContentTokenCount", 0),
        )

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)
