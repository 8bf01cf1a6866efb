"""Gemini's own API: what is learned from refusals, and that odd shapes do no harm."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from providers.contracts import (
    AssistantMessage,
    Llm,
    LlmRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from providers.errors import (
    BadAnswerError,
    InvalidRequestError,
    ProviderError,
)
from providers.gemini import GeminiProvider
from tests.fakes.gemini_api import (
    FLASH_25,
    FLASH_38,
    PRO_25,
    ContentReply,
    FakeGemini,
    FakeGeminiModel,
)
from tests.fakes.gemini_replies import error_reply
from tests.fakes.openai_api import FakeCall, frame
from tests.providers import gemini_lab
from tests.providers.gemini_lab import (
    ASK,
    ASK_WITH_TOOLS,
    END,
    HI,
    KEY,
    NEW,
    OLD,
    body_of,
    collect,
    settings,
    stream,
)
from tests.providers.odd_shapes import check_types, odd_shapes
from tests.providers.test_openai_chat import finish_of, text_of

fake, provider, llm = gemini_lab.fake, gemini_lab.provider, gemini_lab.llm


# --- What refusals teach -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "ability", "request_out", "last"),
    [
        pytest.param(
            NEW,
            replace(FLASH_38, levels=("HIGH",)),
            {"reasoning_effort": "low"},
            ["LOW", "MEDIUM", "HIGH"],
            id="levels",
        ),
        pytest.param(
            NEW, replace(FLASH_38, levels=()), {"reasoning_effort": "low"}, ["LOW", None], id="no levels"
        ),
        pytest.param(OLD, PRO_25, {"reasoning_effort": "none"}, [0, 128], id="always thinks"),
        pytest.param(
            OLD,
            replace(FLASH_25, budgets=None),
            {"reasoning_effort": "none"},
            [0, 128, None],
            id="no budgets",
        ),
    ],
)
async def test_thinking_is_asked_for_as_far_as_it_is_taken(
    model: str, ability: FakeGeminiModel, request_out: dict[str, Any], last: list[Any]
) -> None:
    async with FakeGemini(api_key=KEY, models={model: ability}) as fake:
        provider = GeminiProvider(settings(fake))
        await collect(provider.llm(model), replace(ASK, **request_out))
        await collect(provider.llm(model), replace(ASK, **request_out))
        await provider.aclose()

    configs = [request.body.get("generationConfig", {}) for request in fake.contents.requests]
    asked = [next(iter(config.get("thinkingConfig", {}).values()), None) for config in configs]
    assert asked == [*last, last[-1]], "what was learned is remembered"


async def test_penalties_and_system_instructions_are_dropped_or_moved_where_refused() -> None:
    ability = replace(FLASH_25, penalties=False, system=False)
    request = LlmRequest((SystemMessage("Be brief."), HI), frequency_penalty=0.5, temperature=0.5)
    async with FakeGemini(api_key=KEY, models={OLD: ability}) as fake:
        provider = GeminiProvider(settings(fake))
        await collect(provider.llm(OLD), request)
        await collect(provider.llm(OLD), request)
        await provider.aclose()

    assert len(fake.contents.requests) == 4
    body = fake.contents.requests[-1].body
    assert body["generationConfig"] == {"temperature": 0.5}
    assert "Be brief." in body["contents"][0]["parts"][0]["text"]


async def test_requests_at_the_same_time_learn_from_each_other() -> None:
    ability = replace(FLASH_38, levels=("HIGH",))
    async with FakeGemini(api_key=KEY, models={NEW: ability}) as fake:
        provider = GeminiProvider(settings(fake))
        request = replace(ASK, reasoning_effort="low")
        answers = await asyncio.gather(*(collect(provider.llm(NEW), request) for _ in range(5)))
        await provider.aclose()

    assert {text_of(events) for events in answers} == {"Hello from the fake model."}
    assert fake.contents.requests[-1].body["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH"}


async def test_an_effort_of_the_settings_counts_where_a_request_has_none(fake: FakeGemini) -> None:
    provider = GeminiProvider(settings(fake, reasoning_effort="none"))

    unsaid = await body_of(fake, provider.llm(OLD), ASK)
    asked = await body_of(fake, provider.llm(OLD), replace(ASK, reasoning_effort="low"))
    await provider.aclose()

    assert unsaid["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0}
    assert asked["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024}


@pytest.mark.parametrize(
    "words",
    [
        "Unknown name \"topP\" at 'generation_config': Cannot find field.",
        "top_p is not supported by this model.",
    ],
)
async def test_a_refused_setting_is_left_out(fake: FakeGemini, llm: Llm, words: str) -> None:
    fake.contents.script(error_reply(400, words, "INVALID_ARGUMENT"))

    body = await body_of(fake, llm, replace(ASK, top_p=0.5, temperature=0.5))

    assert body["generationConfig"] == {"temperature": 0.5}


@pytest.mark.parametrize(
    "words", ["Request contains an invalid argument.", "Function call is missing a thought_signature"]
)
async def test_a_refusal_that_nothing_can_be_done_about_is_an_error(
    fake: FakeGemini, llm: Llm, words: str
) -> None:
    fake.contents.script(error_reply(400, words, "INVALID_ARGUMENT"))

    with pytest.raises(InvalidRequestError):
        await collect(llm, replace(ASK, reasoning_effort="low", temperature=0.5))

    assert len(fake.contents.requests) == 1


# --- Odd shapes --------------------------------------------------------------------------------------


async def test_no_shape_of_a_response_is_more_than_a_bad_answer(fake: FakeGemini, llm: Llm) -> None:
    reply = ContentReply(text="a", thoughts="t", calls=(FakeCall("f", '{"a":1}'),))
    steps = reply.render({"alt": "sse", "contents": []}).steps
    values = [json.loads(step.split(b"data: ")[1]) for step in steps if isinstance(step, bytes)]
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    broken = {
        "error": {"code": 503, "message": "m", "status": "UNAVAILABLE", "details": [{"retryDelay": "1s"}]}
    }
    streams = [
        [*values[:at], odd, *values[at + 1 :]] for at, value in enumerate(values) for odd in odd_shapes(value)
    ]
    streams += [[odd, *values] for value in (blocked, broken) for odd in odd_shapes(value)]
    fake.contents.script(*(stream(b"".join(frame(value) for value in parts)) for parts in streams))
    outcomes: set[str] = set()

    for _ in streams:
        try:
            answer = await collect(llm)
            check_types(answer)
            outcomes.add(finish_of(answer).reason)
        except ProviderError as error:
            outcomes.add(error.code)

    assert len(streams) > 500
    assert {"tool_calls", "provider_bad_answer", "provider_connection_failed"} <= outcomes


DEEP = '{"a":' * 400 + "1" + "}" * 400


async def test_arguments_nested_too_deeply_go_out_as_text(fake: FakeGemini, llm: Llm) -> None:
    used = AssistantMessage("", (ToolCall("c1", "clock", DEEP, DEEP),))

    body = await body_of(
        fake, llm, replace(ASK_WITH_TOOLS, messages=(HI, used, ToolMessage("c1", "clock", DEEP)))
    )

    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == {"arguments": DEEP}
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"output": DEEP}


async def test_arguments_that_come_nested_too_deeply_are_a_bad_answer(fake: FakeGemini, llm: Llm) -> None:
    parts = f'{{"functionCall": {{"name": "f", "args": {DEEP}}}}}'
    fake.contents.script(stream(frame(f'{{"candidates": [{{"content": {{"parts": [{parts}]}}}}]}}'), END))

    with pytest.raises(BadAnswerError, match="too deeply"):
        await collect(llm)
