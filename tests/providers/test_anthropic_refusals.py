"""Anthropic's Messages: what is learned from refusals, and that odd shapes do no harm."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from providers.anthropic import AnthropicProvider
from providers.contracts import (
    AssistantMessage,
    Llm,
    LlmRequest,
    NamedToolChoice,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from providers.errors import (
    BadAnswerError,
    InvalidRequestError,
    ProviderError,
)
from tests.fakes.anthropic_api import (
    NEWEST,
    OLDER,
    FakeAnthropic,
    MessageReply,
    anthropic_error,
)
from tests.fakes.anthropic_replies import event
from tests.fakes.openai_api import FakeCall, frame
from tests.providers import anthropic_lab
from tests.providers.anthropic_lab import (
    ASK,
    ASK_WITH_TOOLS,
    END,
    HI,
    KEY,
    NEW,
    OLD,
    SAFE,
    START,
    body_of,
    collect,
    settings,
    stopped,
    stream,
)
from tests.providers.odd_shapes import check_types, odd_shapes
from tests.providers.test_openai_chat import finish_of, text_of

fake, provider, llm = anthropic_lab.fake, anthropic_lab.provider, anthropic_lab.llm


# --- What refusals teach -----------------------------------------------------------------------------


async def learnt(model: str, ability: Any, request: LlmRequest) -> tuple[list[dict[str, Any]], int]:
    """Bodies of all requests until the model of these abilities was content; how many a second time took."""
    async with FakeAnthropic(api_key=KEY, models={model: ability}) as fake:
        provider = AnthropicProvider(settings(fake))
        await collect(provider.llm(model), request)
        first = len(fake.messages.requests)
        await collect(provider.llm(model), request)
        await provider.aclose()
        return [request.body for request in fake.messages.requests], len(fake.messages.requests) - first


@pytest.mark.parametrize(
    ("model", "ability", "request_out", "gone"),
    [
        pytest.param(OLD, replace(OLDER, samples=False), {"temperature": 0.5}, "temperature", id="sampling"),
        pytest.param(
            OLD,
            replace(OLDER, thinking=("disabled",)),
            {"reasoning_effort": "high"},
            "thinking",
            id="thinking",
        ),
        pytest.param(
            "claude-sonnet-6",
            replace(NEWEST, thinking=("adaptive",)),
            {"reasoning_effort": "none"},
            "thinking",
            id="a future model that always thinks",
        ),
        pytest.param(
            NEW, replace(NEWEST, efforts=()), {"reasoning_effort": "high"}, "output_config", id="effort"
        ),
    ],
)
async def test_a_refused_setting_is_left_out_once_and_for_all(
    model: str, ability: Any, request_out: dict[str, Any], gone: str
) -> None:
    bodies, second = await learnt(model, ability, replace(ASK, **request_out))

    assert gone in bodies[0]
    assert gone not in bodies[-1]
    assert second == 1, "what was learned is remembered"


async def test_a_refused_level_of_effort_is_lowered() -> None:
    ability = replace(NEWEST, efforts=("low", "medium"))

    bodies, second = await learnt(NEW, ability, replace(ASK, reasoning_effort="xhigh"))

    assert [body["output_config"]["effort"] for body in bodies] == ["xhigh", "high", "medium", "medium"]
    assert second == 1


async def test_the_longest_answer_is_learned() -> None:
    bodies, second = await learnt(NEW, replace(NEWEST, max_tokens=9_000), ASK)

    assert [body["max_tokens"] for body in bodies] == [128_000, 9_000, 9_000]
    assert second == 1


async def test_requests_at_the_same_time_learn_from_each_other() -> None:
    ability = replace(NEWEST, max_tokens=9_000, efforts=("low",))
    async with FakeAnthropic(api_key=KEY, models={NEW: ability}) as fake:
        provider = AnthropicProvider(settings(fake))
        request = replace(ASK, reasoning_effort="high")
        answers = await asyncio.gather(*(collect(provider.llm(NEW), request) for _ in range(5)))
        await provider.aclose()

    assert {text_of(events) for events in answers} == {"Hello from the fake model."}
    assert fake.messages.requests[-1].body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (None, {"temperature"}),  # the fake refuses both together in its own words
        ("`temperature` is deprecated for this model.", set()),
    ],
)
async def test_sampling_is_left_out_as_far_as_it_is_refused(words: str | None, kept: set[str]) -> None:
    top_p = 0.5 if words is None else None
    async with FakeAnthropic(api_key=KEY, models={"mine": OLDER}) as fake:
        if words is not None:
            fake.messages.script(anthropic_error(400, words))
        provider = AnthropicProvider(settings(fake))
        await collect(provider.llm("mine"), replace(ASK, temperature=0.5, top_p=top_p))
        await provider.aclose()

    assert {"temperature", "top_p"} & fake.messages.requests[-1].body.keys() == kept
    assert len(fake.messages.requests) == 2


async def test_an_effort_of_the_settings_counts_where_a_request_has_none(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(settings(fake, reasoning_effort="none"))

    unsaid = await body_of(fake, provider.llm("claude-sonnet-5"), ASK)
    asked = await body_of(fake, provider.llm("claude-sonnet-5"), replace(ASK, reasoning_effort="high"))
    await provider.aclose()

    assert unsaid["thinking"] == {"type": "disabled"}
    assert asked["output_config"] == {"effort": "high"}


async def test_a_forced_call_becomes_a_demand_where_it_is_refused() -> None:
    request = replace(ASK_WITH_TOOLS, tool_choice=NamedToolChoice("clock"))

    bodies, second = await learnt("claude-sonnet-5", replace(SAFE, forces_tools=False), request)

    assert bodies[0]["tool_choice"] == {"type": "tool", "name": "clock"}
    assert "tool_choice" not in bodies[-1]
    assert "the tool clock" in str(bodies[-1]["messages"])
    assert second == 1


async def test_a_system_turn_becomes_a_text_where_it_is_refused() -> None:
    request = LlmRequest((HI, SystemMessage("New rule.")))

    bodies, second = await learnt(NEW, replace(NEWEST, system_turns=False), request)

    assert [turn["role"] for turn in bodies[-1]["messages"]] == ["user"]
    assert second == 1


async def test_an_answer_is_shortened_to_the_room_that_a_long_conversation_leaves(
    fake: FakeAnthropic, llm: Llm
) -> None:
    words = "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000"
    fake.messages.script(anthropic_error(400, words))

    await collect(llm)

    assert [request.body["max_tokens"] for request in fake.messages.requests] == [64_000, 10_000]


async def test_a_refusal_that_nothing_can_be_done_about_is_an_error(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(anthropic_error(400, "messages.0: Input should be an object"))

    with pytest.raises(InvalidRequestError):
        await collect(llm)

    assert len(fake.messages.requests) == 1


async def test_a_parameter_refused_again_and_again_is_an_error_in_the_end(
    fake: FakeAnthropic, llm: Llm
) -> None:
    refusals = [anthropic_error(400, f"max_tokens: 9 > {limit}, the maximum") for limit in range(40, 0, -1)]
    fake.messages.script(*refusals)

    with pytest.raises(InvalidRequestError):
        await collect(llm)

    assert len(fake.messages.requests) == 8


# --- Odd shapes --------------------------------------------------------------------------------------


async def test_no_shape_of_an_event_is_more_than_a_bad_answer(fake: FakeAnthropic, llm: Llm) -> None:
    reply = MessageReply(text="a", thinking="t", calls=(FakeCall("f", '{"a":1}'),), pings=False)
    steps = reply.render({"model": OLD, "messages": [], "stream": True}).steps
    events = [json.loads(step.split(b"data: ")[1]) for step in steps if isinstance(step, bytes)]
    streams = [
        [*events[:at], odd, *events[at + 1 :]] for at, value in enumerate(events) for odd in odd_shapes(value)
    ]
    fake.messages.script(*(stream(b"".join(frame(value, "x") for value in values)) for values in streams))
    outcomes: set[str] = set()

    for _ in streams:
        try:
            answer = await collect(llm)
            check_types(answer)
            outcomes.add(finish_of(answer).reason)
        except ProviderError as error:
            outcomes.add(error.code)

    assert len(streams) > 500
    assert {"tool_calls", "provider_bad_answer"} <= outcomes


DEEP = '{"a":' * 400 + "1" + "}" * 400


async def test_arguments_nested_too_deeply_go_out_as_text(fake: FakeAnthropic, llm: Llm) -> None:
    used = AssistantMessage("", (ToolCall("c1", "clock", DEEP, DEEP),))

    body = await body_of(
        fake, llm, replace(ASK_WITH_TOOLS, messages=(HI, used, ToolMessage("c1", "clock", DEEP)))
    )

    assert body["messages"][1]["content"][0]["input"] == {"arguments": DEEP}


async def test_an_input_nested_too_deeply_is_a_bad_answer(fake: FakeAnthropic, llm: Llm) -> None:
    block = f'{{"type": "tool_use", "id": "x", "name": "f", "input": {DEEP}}}'
    begun = f'{{"type": "content_block_start", "index": 0, "content_block": {block}}}'
    thought = (
        f'{{"type": "content_block_start", "index": 1, "content_block": {{"type": "thinking", "x": {DEEP}}}}}'
    )
    call = event(
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "name": "f"}}
    )
    fake.messages.script(
        stream(START, frame(begun), stopped("tool_use"), END), stream(START, frame(thought), call, END)
    )

    for _ in range(2):
        with pytest.raises(BadAnswerError, match="too deeply"):
            await collect(llm)
