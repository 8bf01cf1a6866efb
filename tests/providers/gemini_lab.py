"""What the tests of Gemini's own API share: models of the fake, requests, and events by hand."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types

from providers.contracts import (
    FunctionTool,
    Llm,
    LlmEvent,
    LlmRequest,
    TextPart,
    UserMessage,
)
from providers.gemini import GeminiProvider
from providers.llm.gemini_models import LEVELS
from providers.provider import ProviderSettings
from tests.fakes.gemini_api import (
    FLASH_25,
    FLASH_38,
    PRO_25,
    FakeGemini,
    FakeGeminiModel,
)
from tests.fakes.openai_api import Reply, Step, frame

__all__ = [
    "ASK",
    "ASK_WITH_TOOLS",
    "CLOCK",
    "END",
    "HI",
    "KEY",
    "MODELS",
    "NEW",
    "OLD",
    "SMALL",
    "WEATHER",
    "body_of",
    "check_shape",
    "collect",
    "fake",
    "llm",
    "provider",
    "said",
    "settings",
    "stream",
]

KEY = "AIzaLabGeminiKey0123456789"
OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
WEATHER = FunctionTool("weather", "Says it", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = FunctionTool("clock")
HI = UserMessage((TextPart("hi"),))
ASK = LlmRequest((HI,))
ASK_WITH_TOOLS = LlmRequest((HI,), (WEATHER, CLOCK))
SMALL = FakeGeminiModel((), None, penalties=True, signs=False, system=False)

MODELS = {
    OLD: FLASH_25,
    NEW: FLASH_38,
    "gemini-2.5-pro": PRO_25,
    "gemini-2.0-flash": replace(FLASH_25, budgets=None),
    "gemini-3-flash-preview": replace(FLASH_38, levels=LEVELS, penalties=True),
    "gemini-3-pro-preview": replace(FLASH_38, levels=("LOW", "HIGH"), penalties=True),
    "gemini-3.5-flash-lite": replace(FLASH_38, levels=LEVELS),
    "gemma-4-27b-it": SMALL,
    "a/b ?c": SMALL,
}


def check_shape(body: dict[str, Any]) -> None:
    """Whether the official client knows every member of a body."""
    for content in body["contents"]:
        types.Content.model_validate_json(json.dumps(content))
    for tool in body.get("tools", ()):
        types.Tool.model_validate_json(json.dumps(tool))
    types.GenerationConfig.model_validate_json(json.dumps(body.get("generationConfig", {})))
    types.ToolConfig.model_validate_json(json.dumps(body.get("toolConfig", {})))


def settings(fake: FakeGemini, **options: Any) -> ProviderSettings:
    base_url = f"{fake.base_url}/v1beta"
    options = {"base_url": base_url, "first_byte_timeout": 10.0, "gap_timeout": 0.4, **options}
    return ProviderSettings("lab", options, KEY)


@pytest.fixture
async def fake() -> AsyncGenerator[FakeGemini, None]:
    async with FakeGemini(api_key=KEY, models=MODELS) as server:
        yield server
        for request in server.contents.requests:
            check_shape(request.body)


@pytest.fixture
async def provider(fake: FakeGemini) -> AsyncGenerator[GeminiProvider, None]:
    made = GeminiProvider(settings(fake))
    yield made
    await made.aclose()


@pytest.fixture
def llm(provider: GeminiProvider) -> Llm:
    return provider.llm(OLD)


async def collect(llm: Llm, request: LlmRequest = ASK) -> list[LlmEvent]:
    return [event async for event in llm.generate(request)]


async def body_of(fake: FakeGemini, llm: Llm, request: LlmRequest) -> dict[str, Any]:
    await collect(llm, request)
    return {name: value for name, value in fake.contents.requests[-1].body.items() if name != "alt"}


def stream(*steps: Step) -> Reply:
    return Reply(steps, content_type="text/event-stream")


def said(*parts: Any, finish: Any = None, **more: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, "finishReason": finish}
    return frame({"candidates": [{k: v for k, v in candidate.items() if v is not None}], **more})


END = said(finish="STOP")
