"""Anthropic's Messages: what goes out, and what was thought before."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from providers.anthropic import AnthropicProvider
from providers.contracts import (
    AssistantMessage,
    ImagePart,
    Llm,
    LlmRequest,
    NamedToolChoice,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.llm.anthropic_request import BEGIN, Shape, messages_body
from providers.llm.claude_models import claude_model
from providers.llm.openai_chat_request import GO_ON
from tests.fakes.anthropic_api import (
    FakeAnthropic,
    MessageReply,
    anthropic_error,
    body_problem,
)
from tests.fakes.openai_api import FakeCall
from tests.providers import anthropic_lab
from tests.providers.anthropic_lab import (
    ASK,
    ASK_WITH_TOOLS,
    CLOCK,
    HI,
    MODELS,
    NEW,
    OLD,
    WEATHER,
    body_of,
    collect,
    settings,
)
from tests.providers.conversations import requests
from tests.providers.test_openai_chat import text_of

fake, provider, llm = anthropic_lab.fake, anthropic_lab.provider, anthropic_lab.llm


# --- The request -------------------------------------------------------------------------------------


async def test_a_whole_conversation_is_accepted(fake: FakeAnthropic, llm: Llm) -> None:
    calls = (ToolCall("c1", "weather", '{"city": "Oslo"}'), ToolCall("c:2", "clock", ""))
    request = LlmRequest(
        (
            SystemMessage("Be brief."),
            SystemMessage("Be kind."),
            AssistantMessage("Hello, I am here."),
            UserMessage((TextPart("look"), TextPart(" "))),
            UserMessage((TextPart("here"), ImagePart("data:image/jpg;base64,AA=="))),
            AssistantMessage("Let me see.", calls),
            ToolMessage("c1", "weather", "rain"),
            ToolMessage("c:2", "clock", ""),
            UserMessage((TextPart("and this?"), ImagePart("https://x.example/y.png"))),
            AssistantMessage("Rain at noon."),
        ),
        (WEATHER, CLOCK),
        NamedToolChoice("clock"),
        parallel_tool_calls=False,
        temperature=1.5,
        top_p=0.9,
        max_output_tokens=40,
        stop=("END", " "),
        frequency_penalty=1.0,
    )

    body = await body_of(fake, llm, request)

    second = body["messages"][3]["content"][2]["id"]
    assert second.startswith("c_2_")
    assert body == {
        "model": OLD,
        "stream": True,
        "max_tokens": 40,
        "temperature": 1.0,
        "stop_sequences": ["END"],
        "system": "Be brief.\n\nBe kind.",
        "tool_choice": {"type": "tool", "name": "clock", "disable_parallel_tool_use": True},
        "tools": [
            {"name": "weather", "description": "Says it", "input_schema": WEATHER.parameters},
            {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": BEGIN}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello, I am here."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "text", "text": "here"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/jpeg", "data": "AA=="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": second, "name": "clock", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": second},
                    {"type": "text", "text": "and this?"},
                    {"type": "image", "source": {"type": "url", "url": "https://x.example/y.png"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Rain at noon."}]},
            {"role": "user", "content": [{"type": "text", "text": GO_ON}]},
        ],
    }


@pytest.mark.parametrize("messages", [(), (SystemMessage("Greet."),), (UserMessage((TextPart(""),)),)])
async def test_a_conversation_without_words_can_be_begun(
    fake: FakeAnthropic, llm: Llm, messages: Any
) -> None:
    body = await body_of(fake, llm, LlmRequest(messages))

    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": BEGIN}]}]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [("auto", None), ("none", {"type": "none"}), ("required", {"type": "any"})],
)
async def test_tool_choice_is_translated(fake: FakeAnthropic, llm: Llm, choice: Any, wire: Any) -> None:
    body = await body_of(fake, llm, replace(ASK_WITH_TOOLS, tool_choice=choice))

    assert body.get("tool_choice") == wire


async def test_calls_without_tools_get_their_tools_back(fake: FakeAnthropic, llm: Llm) -> None:
    used = AssistantMessage("", (ToolCall("c1", "clock", "[1]"),))

    body = await body_of(fake, llm, LlmRequest((HI, used, ToolMessage("c1", "clock", "noon"))))

    assert body["tools"] == [{"name": "clock", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}
    assert body["messages"][1]["content"][0]["input"] == {"arguments": "[1]"}


async def test_a_system_message_within_the_conversation_stands_where_it_may(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(settings(fake))
    note = SystemMessage("New rule.")
    behind_user = LlmRequest((HI, note, AssistantMessage("ok"), HI))
    behind_assistant = LlmRequest((HI, AssistantMessage("ok"), note, HI))

    new = await body_of(fake, provider.llm(NEW), behind_user)
    odd = await body_of(fake, provider.llm(NEW), behind_assistant)
    old = await body_of(fake, provider.llm(OLD), behind_user)
    await provider.aclose()

    assert [turn["role"] for turn in new["messages"]] == ["user", "system", "assistant", "user"]
    assert [turn["role"] for turn in odd["messages"]] == ["user", "assistant", "user"]
    assert odd["messages"][2]["content"][0]["text"] == "<system>\nNew rule.\n</system>"
    assert [turn["role"] for turn in old["messages"]] == ["user", "assistant", "user"]
    assert old["messages"][0]["content"][1]["text"] == "<system>\nNew rule.\n</system>"


async def test_long_conversations_are_cached_where_that_is_wanted(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(settings(fake, prompt_caching=True, max_tokens=99))

    body = await body_of(fake, provider.llm(OLD), ASK)
    await provider.aclose()

    assert body["cache_control"] == {"type": "ephemeral"}
    assert body["max_tokens"] == 99


# --- Thinking ----------------------------------------------------------------------------------------


async def thought_of(
    fake: FakeAnthropic, model: str, request: LlmRequest = ASK_WITH_TOOLS, **reply: Any
) -> tuple[dict[str, Any], ToolCall, dict[str, Any]]:
    """The first request, its call as a conversation keeps it, and the request with its result."""
    provider = AnthropicProvider(settings(fake))
    fake.messages.script(MessageReply(calls=(FakeCall("clock", "{}", "toolu_1"),), **reply))
    events = await collect(provider.llm(model), request)
    (started,) = (e for e in events if isinstance(e, ToolCallStarted))
    call = ToolCall(started.id, started.name, "{}", started.state)
    said = AssistantMessage(text_of(events), (call,))
    answered = (*request.messages, said, ToolMessage(call.id, call.name, "noon"))
    second = await body_of(fake, provider.llm(model), replace(request, messages=answered))
    await provider.aclose()
    return fake.messages.requests[0].body, call, second


THOUGHTS = [
    {"type": "redacted_thinking", "data": "opaque"},
    {"type": "thinking", "thinking": "What time?", "signature": "signed:What time?"},
]


@pytest.mark.parametrize(
    ("model", "last", "thinking"),
    [
        (OLD, False, {"type": "enabled", "budget_tokens": 1024}),
        ("claude-opus-4-6", False, {"type": "adaptive"}),
        ("claude-opus-4-6", True, {"type": "adaptive"}),
    ],
)
async def test_thoughts_go_back_before_their_call_as_they_came(
    fake: FakeAnthropic, model: str, last: bool, thinking: dict[str, Any]
) -> None:
    reply = {"text": "Well.", "thinking": "What time?", "redacted": "opaque", "thinks_last": last}
    request = replace(ASK_WITH_TOOLS, reasoning_effort="low", temperature=0.3)

    first, call, second = await thought_of(fake, model, request, **reply)

    assert first["thinking"] == second["thinking"] == thinking
    assert "temperature" not in first
    assert list(json.loads(call.state)) == ["anthropic"]
    content = second["messages"][1]["content"]
    spoken = [{"type": "text", "text": "Well."}]
    assert content[:3] == (spoken + THOUGHTS if last else THOUGHTS + spoken)
    assert content[3]["type"] == "tool_use"
    assert len(fake.messages.requests) == 2


async def test_a_call_without_thoughts_is_answered_without_thinking(fake: FakeAnthropic) -> None:
    _, call, second = await thought_of(fake, OLD, replace(ASK_WITH_TOOLS, reasoning_effort="low"))

    assert call.state == ""
    assert "thinking" not in second


async def test_thoughts_are_left_out_once_their_round_is_over(fake: FakeAnthropic) -> None:
    def call(at: int, model: str = OLD) -> ToolCall:
        thought = {"type": "thinking", "thinking": str(at), "signature": f"signed:{at}"}
        return ToolCall(
            f"c{at}", "clock", "{}", json.dumps({"anthropic": {"model": model, "thinking": [thought]}})
        )

    over = (
        HI,
        AssistantMessage("", (call(1),)),
        ToolMessage("c1", "clock", "noon"),
        AssistantMessage("Noon."),
    )
    open_ = (
        AssistantMessage("Well."),
        AssistantMessage("", (call(2),)),
        ToolMessage("c2", "clock", "one"),
        SystemMessage("Be quick."),
        AssistantMessage("", (call(3),)),
        ToolMessage("c3", "clock", "two"),
    )
    provider = AnthropicProvider(settings(fake))
    request = replace(ASK_WITH_TOOLS, reasoning_effort="low")

    ended = await body_of(fake, provider.llm(OLD), replace(request, messages=(*over, HI)))
    running = await body_of(fake, provider.llm(OLD), replace(request, messages=(*over, HI, *open_)))
    talked_into = await body_of(fake, provider.llm(OLD), replace(request, messages=(*over, HI, *open_, HI)))
    await provider.aclose()

    def thoughts(body: dict[str, Any]) -> list[str]:
        blocks = [block for turn in body["messages"] for block in turn["content"]]
        return [block["thinking"] for block in blocks if block["type"] == "thinking"]

    assert (thoughts(ended), thoughts(running), thoughts(talked_into)) == ([], ["2", "3"], ["2", "3"])
    assert running["messages"][6] == {"role": "user", "content": [{"type": "text", "text": GO_ON}]}
    assert all(body["thinking"]["type"] == "enabled" for body in (ended, running, talked_into))
    assert len(fake.messages.requests) == 3, "nothing had to be refused first"


async def test_a_demand_for_thoughts_that_are_missing_is_met_without_thinking(
    fake: FakeAnthropic, llm: Llm
) -> None:
    words = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`."
    fake.messages.script(anthropic_error(400, words))
    request = replace(ASK, reasoning_effort="low")

    without = await body_of(fake, llm, request)
    again = await body_of(fake, llm, request)

    assert "thinking" not in without
    assert again["thinking"]["type"] == "enabled", "it was about that conversation alone"


@pytest.mark.parametrize(
    "state",
    ["no JSON", "[]", '{"gemini": {"id": "x"}}', '{"anthropic": 3}', '{"anthropic": {"model": "other"}}'],
)
async def test_what_another_model_thought_is_dropped(fake: FakeAnthropic, llm: Llm, state: str) -> None:
    used = AssistantMessage("", (ToolCall("c1", "clock", "{}", state),))

    body = await body_of(
        fake, llm, replace(ASK_WITH_TOOLS, messages=(HI, used, ToolMessage("c1", "clock", "noon")))
    )

    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


async def test_thoughts_that_are_refused_are_left_out_of_that_request(fake: FakeAnthropic) -> None:
    own = {"model": NEW, "thinking": [{"type": "thinking", "thinking": "", "signature": "of another day"}]}
    used = AssistantMessage("", (ToolCall("c1", "clock", "{}", json.dumps({"anthropic": own})),))
    provider = AnthropicProvider(settings(fake))
    request = replace(ASK_WITH_TOOLS, messages=(HI, used, ToolMessage("c1", "clock", "noon")))

    body = await body_of(fake, provider.llm(NEW), request)
    await provider.aclose()

    assert len(fake.messages.requests) == 2
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


@pytest.mark.parametrize(
    ("model", "effort", "settings_out"),
    [
        (OLD, None, {}),
        (OLD, "none", {}),
        (OLD, "minimal", {}),
        (OLD, "medium", {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
        ("claude-opus-4-6", "minimal", {"output_config": {"effort": "low"}}),
        (
            "claude-opus-4-6",
            "xhigh",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ("claude-sonnet-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5", "xhigh", {"output_config": {"effort": "xhigh"}}),
        ("claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        (NEW, None, {}),
        (NEW, "none", {"output_config": {"effort": "low"}}),
        (NEW, "medium", {"output_config": {"effort": "medium"}}),
        (NEW, "unheard of", {}),
    ],
)
async def test_effort_reaches_each_generation_in_its_own_words(
    fake: FakeAnthropic, provider: AnthropicProvider, model: str, effort: str | None, settings_out: Any
) -> None:
    body = await body_of(fake, provider.llm(model), replace(ASK, reasoning_effort=effort))

    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == settings_out
    assert len(fake.messages.requests) == 1, "nothing had to be refused first"


async def test_a_budget_leaves_room_for_the_answer(fake: FakeAnthropic, llm: Llm) -> None:
    roomy = await body_of(fake, llm, replace(ASK, reasoning_effort="high", max_output_tokens=4000))
    tight = await body_of(fake, llm, replace(ASK, reasoning_effort="high", max_output_tokens=1500))

    assert roomy["thinking"]["budget_tokens"] == 2000
    assert "thinking" not in tight


async def test_a_model_that_thinks_is_kept_from_it_to_make_it_call(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(settings(fake))
    request = replace(ASK_WITH_TOOLS, tool_choice="required", reasoning_effort="high")

    older = await body_of(fake, provider.llm(OLD), request)
    newer = await body_of(fake, provider.llm("claude-sonnet-5"), request)
    newest = await body_of(fake, provider.llm(NEW), request)
    await provider.aclose()

    assert (older["tool_choice"], older.get("thinking")) == ({"type": "any"}, None)
    assert (newer["tool_choice"], newer["thinking"]) == ({"type": "any"}, {"type": "disabled"})
    assert "tool_choice" not in newest
    assert newest["messages"][-1]["role"] == "system"
    assert "call of one of your tools" in newest["messages"][-1]["content"][0]["text"]


# --- Every conversation ------------------------------------------------------------------------------

STATES = (
    "",
    '{"gemini": {"model": "x"}}',
    *(
        json.dumps({"anthropic": {"model": model, "after_text": late, "thinking": THOUGHTS}})
        for model in MODELS
        for late in (False, True)
    ),
)


@pytest.mark.parametrize("name", [name for name in MODELS if name != OLD])
@given(requests(STATES))
def test_every_conversation_is_put_in_the_shape_that_the_service_wants(
    name: str, request: LlmRequest
) -> None:
    body = messages_body(request, name, claude_model(name))

    assert body_problem(body, MODELS[name]) is None


@given(requests([state for state in STATES if '"after_text": true' not in state]))
def test_every_conversation_is_put_in_shape_for_a_model_that_thinks_by_budget(request: LlmRequest) -> None:
    body = messages_body(request, OLD, claude_model(OLD))

    problem = body_problem(body, MODELS[OLD])

    # Text that came before its thoughts is refused by older models; see the shape without thoughts.
    assert problem is None or "must start with a thinking block" in problem
    assert (
        body_problem(messages_body(request, OLD, claude_model(OLD), Shape(echoes=False)), MODELS[OLD]) is None
    )
