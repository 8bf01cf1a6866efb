"""What servers want back with the calls of their models: Google's signatures, DeepSeek's reasoning."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from providers.contracts import (
    AssistantMessage,
    LlmRequest,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from tests.fakes.openai_api import FakeOpenAI
from tests.providers.test_openai_chat import DONE, delta, stream

ASK = LlmRequest((UserMessage((TextPart("hi"),)),))
SIGNATURE = {"google": {"thought_signature": "c2lnbmVk"}}


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI() as fake:
        yield fake


async def calls(fake: FakeOpenAI, request: LlmRequest = ASK, **options: Any) -> list[ToolCall]:
    """The calls of the answer, as a conversation keeps them."""
    provider = OpenAICompatibleProvider(
        ProviderSettings("lab", {"base_url": fake.base_url, **options}, fake.api_key)
    )
    started = [
        event async for event in provider.llm("m").generate(request) if isinstance(event, ToolCallStarted)
    ]
    await provider.aclose()
    return [ToolCall(event.id, event.name, "{}", event.state) for event in started]


def answered(call: ToolCall) -> LlmRequest:
    return replace(
        ASK,
        messages=(
            *ASK.messages,
            AssistantMessage("", (call,)),
            ToolMessage(call.id, call.name, "noon"),
        ),
    )


def called(extra: dict[str, Any] | None = None) -> bytes:
    function = {"name": "clock", "arguments": "{}"}
    return delta({"tool_calls": [{"index": 0, "id": "call_1", "function": function, **(extra or {})}]})


async def test_a_signature_goes_back_with_its_call(fake: FakeOpenAI) -> None:
    fake.chat.script(stream(called({"extra_content": SIGNATURE}), delta(finish="tool_calls"), DONE))
    (call,) = await calls(fake)

    await calls(fake, answered(call))

    assistant = fake.chat.requests[-1].body["messages"][1]
    assert assistant["tool_calls"][0]["extra_content"] == SIGNATURE


async def test_reasoning_goes_back_where_the_server_wants_it(fake: FakeOpenAI) -> None:
    thought = [delta({"reasoning_content": piece}) for piece in ("What ", "time?")]
    fake.chat.script(stream(*thought, called(), delta(finish="tool_calls"), DONE))
    (call,) = await calls(fake, echo_reasoning=True)

    await calls(fake, answered(call), echo_reasoning=True)

    assert fake.chat.requests[-1].body["messages"][1]["reasoning_content"] == "What time?"


async def test_reasoning_is_not_kept_where_nobody_wants_it(fake: FakeOpenAI) -> None:
    fake.chat.script(stream(delta({"reasoning_content": "Hm."}), called(), delta(finish="stop"), DONE))

    (call,) = await calls(fake)

    assert call.state == ""


@pytest.mark.parametrize(
    "state", ["", "no JSON", "[]", orjson.dumps({"gemini": {"extra_content": SIGNATURE}}).decode()]
)
async def test_the_state_of_another_kind_of_model_is_dropped(fake: FakeOpenAI, state: str) -> None:
    await calls(fake, answered(ToolCall("call_1", "clock", "{}", state)))

    function = {"name": "clock", "arguments": "{}"}
    assert fake.chat.requests[-1].body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


async def test_settings_of_a_generation_go_out_and_refused_ones_are_left_out() -> None:
    request = replace(ASK, top_p=0.5, frequency_penalty=0.25, presence_penalty=-0.5, stop=("END",))
    async with FakeOpenAI(unsupported={"top_p", "stop"}) as fake:
        await calls(fake, request)
        body = fake.chat.requests[-1].body

    assert (body["frequency_penalty"], body["presence_penalty"]) == (0.25, -0.5)
    assert "top_p" not in body
    assert "stop" not in body


async def test_a_user_speaks_last_where_the_server_insists(fake: FakeOpenAI) -> None:
    request = replace(ASK, messages=(*ASK.messages, AssistantMessage("Hello, I am")))

    await calls(fake, request)
    await calls(fake, request, user_speaks_last=True)
    await calls(fake, ASK, user_speaks_last=True)

    last = [request.body["messages"][-1] for request in fake.chat.requests]
    assert [message["role"] for message in last] == ["assistant", "user", "user"]
    assert last[1]["content"] == "(Go on.)"
    assert last[2]["content"] == "hi"
