"""A fake of Anthropic's Messages API on a free loopback port.

    async with FakeAnthropic() as fake:
        fake.messages.script(overloaded(), MessageReply(text="Hello."))   # the next two answers
        ... use fake.base_url and fake.api_key ...
        fake.messages.requests[0].body["messages"]

It refuses what the real API refuses, in the same shape and words: a wrong key or version, temperature where
it has gone, turns and results of calls out of order, blank texts, settings that a model does not have.
Free of any test framework.
"""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.anthropic_replies import FakeClaude, MessageReply, anthropic_error, overloaded, rate_limited
from tests.fakes.http_service import Exchange, HttpService
from tests.fakes.openai_api import RecordedRequest, Reply

__all__ = [
    "NEWEST",
    "OLDER",
    "FakeAnthropic",
    "FakeClaude",
    "MessageReply",
    "anthropic_error",
    "body_problem",
    "overloaded",
    "rate_limited",
]

VERSIONS = ("2023-06-01", "2026-10-21")
OLDER = FakeClaude(
    max_tokens=64_000,
    thinking=("enabled", "disabled"),
    efforts=(),
    samples=True,
    prefill=True,
    forces_tools=True,
    system_turns=False,
)
NEWEST = FakeClaude(
    max_tokens=128_000,
    thinking=("adaptive",),
    efforts=("low", "medium", "high", "xhigh", "max"),
    samples=False,
    prefill=False,
    forces_tools=False,
    system_turns=True,
)
KNOWN = {
    "model",
    "messages",
    "max_tokens",
    "system",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "stop_sequences",
    "metadata",
    "cache_control",
    "temperature",
    "top_p",
    "top_k",
}
SAMPLING = ("temperature", "top_p", "top_k")


class FakeAnthropic(HttpService):
    """The server; `models` are those that it has, and what each can do."""

    def __init__(
        self,
        *,
        api_key: str = "fake-anthropic-key-0123456789",
        models: Mapping[str, FakeClaude] | None = None,
    ) -> None:
        super().__init__(api_key)
        self.models = {"claude-haiku-4-5": OLDER, "claude-opus-5-5": NEWEST} if models is None else models
        self.messages = Exchange(MessageReply(text="Hello from the fake model."))

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/messages", self._messages), web.route("*", "/{any:.*}", self._unknown_url)]

    async def _messages(self, http: web.Request) -> web.StreamResponse:
        try:
            request = await self.record(http)
        except ValueError:
            return await self.send(http, anthropic_error(400, "The request body is not valid JSON."))
        refusal = self._unauthorized(request) or _refused(request, self.models)
        async with self.messages.answering(request, refusal) as reply:
            return await self.send(http, reply)

    async def _unknown_url(self, http: web.Request) -> web.StreamResponse:
        return await self.send(http, anthropic_error(404, "Not found", "not_found_error"))

    def _unauthorized(self, request: RecordedRequest) -> Reply | None:
        headers = request.headers
        key = headers.get("x-api-key")  # wins where both are there
        if key is None and headers.get("authorization", "").startswith("Bearer "):
            key = headers["authorization"].removeprefix("Bearer ")
        if key is None:
            return anthropic_error(401, "x-api-key header is required", "authentication_error")
        if key != self.api_key:
            return anthropic_error(401, f"invalid x-api-key: {key}", "authentication_error")
        version = headers.get("anthropic-version")
        if version is None:
            return anthropic_error(400, "anthropic-version: header is required")
        if version not in VERSIONS:
            return anthropic_error(400, f'anthropic-version: "{version}" is not a valid version')
        return None


def _refused(request: RecordedRequest, models: Mapping[str, FakeClaude]) -> Reply | None:
    body = request.body
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            return anthropic_error(400, f"{name}: Field required")
    known = KNOWN - set(SAMPLING) if request.headers["anthropic-version"] == VERSIONS[1] else KNOWN
    for name in body:
        if name not in known:
            return anthropic_error(400, f"{name}: Extra inputs are not permitted")
    model = models.get(body["model"])
    if model is None:
        return anthropic_error(404, f"model: {body['model']}", "not_found_error")
    problem = body_problem(body, model)
    return anthropic_error(400, problem) if problem else None


def body_problem(body: Mapping[str, Any], model: FakeClaude) -> str | None:
    """What the service would say against a body; None: nothing."""
    return _settings_problem(body, model) or _turns_problem(body, model)


def _settings_problem(body: Mapping[str, Any], model: FakeClaude) -> str | None:
    limit = model.max_tokens
    if body["max_tokens"] > limit:
        return (
            f"max_tokens: {body['max_tokens']} > {limit}, which is the maximum allowed number of output"
            f" tokens for {body['model']}"
        )
    for name in SAMPLING:
        if name in body and not model.samples:
            return f"`{name}` is not supported for this model."
    if "temperature" in body and not 0 <= body["temperature"] <= 1:
        return "temperature: range: 0..1"
    if "temperature" in body and "top_p" in body:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if any(not text.strip() for text in body.get("stop_sequences", ())):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    thinking = body.get("thinking", {})
    kind = thinking.get("type")
    if kind is not None and kind not in model.thinking:
        return (
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.{model.thinking[0]}"'
            ' and "output_config.effort" to control thinking behavior.'
        )
    if kind == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < body["max_tokens"]:
        return "`max_tokens` must be greater than `thinking.budget_tokens`, and that at least 1024."
    if kind in ("enabled", "adaptive") and "temperature" in body:
        return "`temperature` may only be set to 1 when thinking is enabled."
    effort = body.get("output_config", {}).get("effort")
    if effort is not None and effort not in model.efforts:
        if not model.efforts:
            return "This model does not support the effort parameter."
        return f"output_config.effort: '{effort}' is not supported for this model"
    choice = body.get("tool_choice", {}).get("type")
    if choice in ("any", "tool"):
        if not model.forces_tools:
            return f'tool_choice: "{choice}" forces tool use, which is not supported for this model.'
        if kind in ("enabled", "adaptive"):
            return "Thinking may not be enabled when tool_choice forces tool use."
    if choice is not None and not body.get("tools"):
        return "tool_choice may only be specified while providing tools."
    for at, tool in enumerate(body.get("tools", ())):
        if tool.get("input_schema", {}).get("type") != "object":
            return f"tools.{at}.custom.input_schema.type: Field required"
    return None


def _turns_problem(body: Mapping[str, Any], model: FakeClaude) -> str | None:
    turns = body["messages"]
    if not turns:
        return "messages: at least one message is required"
    if turns[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    if turns[-1]["role"] == "assistant" and not model.prefill:
        return "This model does not support assistant message prefill."
    awaited: list[str] = []
    tools = {tool["name"] for tool in body.get("tools", ())}
    before = ""
    for at, turn in enumerate(turns):
        role, content = turn["role"], turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if role == "system":
            if not model.system_turns:
                return f"messages.{at}: role 'system' is not supported on this model"
            if before != "user":
                return f"messages.{at}: a system message must directly follow a user message"
        elif role not in ("user", "assistant"):
            return f'messages.{at}.role: Input should be "user" or "assistant"'
        if not blocks:
            return f"messages.{at}: content must not be empty"
        before = role
        if problem := _blocks_problem(at, role, blocks, awaited):
            return problem
        awaited = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if awaited and not tools:
            return "Requests which include `tool_use` or `tool_result` blocks must define tools"
        begins = blocks[0]["type"]
        last_calls = awaited and at == len(turns) - 2
        thinks = body.get("thinking", {}).get("type") == "enabled"
        if thinks and last_calls and begins not in ("thinking", "redacted_thinking"):
            return (
                f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
                f" `{begins}`. When `thinking` is enabled, a final `assistant` message must start with a"
                " thinking block"
            )
    return "tool_use ids were found without tool_result blocks" if awaited else None


def _blocks_problem(at: int, role: str, blocks: list[dict[str, Any]], awaited: list[str]) -> str | None:
    for place, block in enumerate(blocks):
        path = f"messages.{at}.content.{place}"
        kind = block["type"]
        if kind == "text" and not block["text"].strip():
            return "messages: text content blocks must contain non-whitespace text"
        if kind == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
            return f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if kind == "tool_use" and not isinstance(block["input"], dict):
            return f"{path}.tool_use.input: Input should be a valid dictionary"
        if kind == "tool_result" and block["tool_use_id"] not in awaited:
            return f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}"
        if kind in ("thinking", "tool_use") and role != "assistant":
            return f"{path}: `{kind}` blocks can only be in `assistant` messages"
        if kind == "thinking" and not block.get("signature", "").startswith("signed:"):
            return f"{path}: Invalid `signature` in `thinking` block"
    results = [block["tool_use_id"] for block in blocks[: len(awaited)] if block["type"] == "tool_result"]
    if sorted(results) != sorted(awaited):
        missing = ", ".join(sorted(set(awaited) - set(results)))
        return (
            f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after:"
            f" {missing}. Each `tool_use` block must have a corresponding `tool_result` block in the next"
            " message."
        )
    return None
