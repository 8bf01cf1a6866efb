"""What the tests of Anthropic's Messages share: models of the fake, requests, and events by hand."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter

from providers.anthropic import AnthropicProvider
from providers.contracts import (
    FunctionTool,
    Llm,
    LlmEvent,
    LlmRequest,
    TextPart,
    UserMessage,
)
from providers.provider import ProviderSettings
from tests.fakes.anthropic_api import (
    NEWEST,
    OLDER,
    FakeAnthropic,
)
from tests.fakes.anthropic_replies import event
from tests.fakes.openai_api import Reply, Step

__all__ = [
    "ASK",
    "ASK_WITH_TOOLS",
    "BODY",
    "CLOCK",
    "END",
    "HI",
    "KEY",
    "MODELS",
    "NEW",
    "OLD",
    "SAFE",
    "START",
    "WEATHER",
    "body_of",
    "check_shape",
    "collect",
    "fake",
    "llm",
    "provider",
    "settings",
    "stopped",
    "stream",
    "text",
]

KEY = "lab-anthropic-key-0123456789"
OLD, NEW = "claude-haiku-4-5", "claude-opus-5-5"
WEATHER = FunctionTool("weather", "Says it", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = FunctionTool("clock")
HI = UserMessage((TextPart("hi"),))
ASK = LlmRequest((HI,))
ASK_WITH_TOOLS = LlmRequest((HI,), (WEATHER, CLOCK))
BODY: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)

SAFE = replace(NEWEST, thinking=("adaptive", "disabled"), forces_tools=True)
MODELS = {
    OLD: OLDER,
    NEW: NEWEST,
    "claude-sonnet-5": SAFE,
    "claude-sonnet-5-5": replace(NEWEST, thinking=("adaptive", "between_tools")),
    "claude-opus-4-6": replace(
        OLDER, max_tokens=128_000, thinking=("adaptive", "disabled"), efforts=("low", "medium", "high")
    ),
}


def check_shape(body: dict[str, Any]) -> None:
    """Whether the official client would send such a body, whose lists it checks as they are read."""
    value = BODY.validate_python(body)
    for turn in value["messages"]:
        for block in turn["content"]:
            assert block["type"]
    assert all(tool["name"] for tool in value.get("tools", ()))


def settings(fake: FakeAnthropic, **options: Any) -> ProviderSettings:
    options = {"base_url": fake.base_url, "first_byte_timeout": 10.0, "gap_timeout": 0.4, **options}
    return ProviderSettings("lab", options, KEY)


@pytest.fixture
async def fake() -> AsyncGenerator[FakeAnthropic, None]:
    async with FakeAnthropic(api_key=KEY, models=MODELS) as server:
        yield server
        for request in server.messages.requests:
            check_shape(request.body)


@pytest.fixture
async def provider(fake: FakeAnthropic) -> AsyncGenerator[AnthropicProvider, None]:
    made = AnthropicProvider(settings(fake))
    yield made
    await made.aclose()


@pytest.fixture
def llm(provider: AnthropicProvider) -> Llm:
    return provider.llm(OLD)


async def collect(llm: Llm, request: LlmRequest = ASK) -> list[LlmEvent]:
    return [event async for event in llm.generate(request)]


async def body_of(fake: FakeAnthropic, llm: Llm, request: LlmRequest) -> dict[str, Any]:
    await collect(llm, request)
    return fake.messages.requests[-1].body


def stream(*steps: Step) -> Reply:
    return Reply(steps, content_type="text/event-stream")


START = event({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}})
END = event({"type": "message_stop"})


def text(value: Any) -> bytes:
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": value}})


def stopped(reason: Any) -> bytes:
    return event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2}})
