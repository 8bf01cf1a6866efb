"""Gemini's own API: what goes out, and what comes back with the results of calls."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from providers.contracts import (
    AssistantMessage,
    ImagePart,
    Llm,
    LlmRequest,
    Message,
    NamedToolChoice,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.gemini import GeminiProvider
from providers.llm.gemini_models import gemini_model
from providers.llm.gemini_request import BEGIN, UNSIGNED, content_body
from providers.llm.openai_chat_request import GO_ON
from tests.fakes.gemini_api import (
    ContentReply,
    FakeGemini,
    body_problem,
    signed,
)
from tests.fakes.openai_api import FakeCall
from tests.providers import gemini_lab
from tests.providers.conversations import requests
from tests.providers.gemini_lab import (
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

fake, provider, llm = gemini_lab.fake, gemini_lab.provider, gemini_lab.llm


# --- The request -------------------------------------------------------------------------------------


async def test_a_whole_conversation_is_accepted(fake: FakeGemini, llm: Llm) -> None:
    calls = (ToolCall("c1", "weather", '{"city": "Oslo"}'), ToolCall("c2", "clock", "no JSON"))
    request = LlmRequest(
        (
            SystemMessage("Be brief."),
            SystemMessage("Be kind."),
            AssistantMessage("Hello, I am here."),
            UserMessage((TextPart("look"), TextPart(" "))),
            UserMessage((TextPart("here"), ImagePart("data:image/svg+xml,%3Csvg/%3E"))),
            AssistantMessage("Let me see.", calls),
            ToolMessage("c1", "weather", '{"sky": "rain"}'),
            ToolMessage("c2", "clock", "noon"),
            SystemMessage("New rule."),
            UserMessage((TextPart("and this?"), ImagePart("https://x.example/y.png?z"))),
            AssistantMessage("Rain at noon."),
        ),
        (WEATHER, CLOCK),
        NamedToolChoice("clock"),
        parallel_tool_calls=False,
        temperature=1.5,
        top_p=0.9,
        max_output_tokens=40,
        stop=("1", "2", "3", "4", "5", "6", ""),
        frequency_penalty=1.0,
        presence_penalty=-1.0,
    )

    body = await body_of(fake, llm, request)

    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
        "generationConfig": {
            "temperature": 1.5,
            "topP": 0.9,
            "maxOutputTokens": 40,
            "frequencyPenalty": 1.0,
            "presencePenalty": -1.0,
            "stopSequences": ["1", "2", "3", "4", "5"],
        },
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["clock"]}},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "weather", "description": "Says it", "parametersJsonSchema": WEATHER.parameters},
                    {"name": "clock", "description": "clock"},
                ]
            }
        ],
        "contents": [
            {"role": "user", "parts": [{"text": BEGIN}]},
            {"role": "model", "parts": [{"text": "Hello, I am here."}]},
            {
                "role": "user",
                "parts": [
                    {"text": "look"},
                    {"text": "here"},
                    {"inlineData": {"mimeType": "image/svg+xml", "data": "PHN2Zy8+"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Let me see."},
                    {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
                    {"functionCall": {"name": "clock", "args": {"arguments": "no JSON"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "weather", "response": {"sky": "rain"}}},
                    {"functionResponse": {"name": "clock", "response": {"output": "noon"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"text": "<system>\nNew rule.\n</system>"},
                    {"text": "and this?"},
                    {"fileData": {"fileUri": "https://x.example/y.png?z", "mimeType": "image/png"}},
                ],
            },
            {"role": "model", "parts": [{"text": "Rain at noon."}]},
            {"role": "user", "parts": [{"text": GO_ON}]},
        ],
    }


@pytest.mark.parametrize("messages", [(), (SystemMessage("Greet."),), (UserMessage((TextPart(""),)),)])
async def test_a_conversation_without_words_can_be_begun(fake: FakeGemini, llm: Llm, messages: Any) -> None:
    body = await body_of(fake, llm, LlmRequest(messages))

    assert body["contents"] == [{"role": "user", "parts": [{"text": BEGIN}]}]


@pytest.mark.parametrize(
    ("choice", "wire"), [("auto", None), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"})]
)
async def test_tool_choice_is_translated(fake: FakeGemini, llm: Llm, choice: Any, wire: Any) -> None:
    body = await body_of(fake, llm, replace(ASK_WITH_TOOLS, tool_choice=choice))

    assert body.get("toolConfig", {}).get("functionCallingConfig") == wire


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        (OLD, None, None),
        (OLD, "none", {"thinkingBudget": 0}),
        (OLD, "low", {"thinkingBudget": 1024}),
        (OLD, "xhigh", {"thinkingBudget": 24576}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.0-flash", "high", None),
        ("gemma-4-27b-it", "high", None),
        (NEW, None, None),
        (NEW, "none", {"thinkingLevel": "LOW"}),
        (NEW, "minimal", {"thinkingLevel": "LOW"}),
        (NEW, "medium", {"thinkingLevel": "MEDIUM"}),
        (NEW, "xhigh", {"thinkingLevel": "HIGH"}),
        (NEW, "unheard of", None),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "LOW"}),
        ("gemini-3.5-flash-lite", "minimal", {"thinkingLevel": "MINIMAL"}),
    ],
)
async def test_effort_reaches_each_generation_in_its_own_words(
    fake: FakeGemini, provider: GeminiProvider, model: str, effort: str | None, thinking: Any
) -> None:
    body = await body_of(fake, provider.llm(model), replace(ASK, reasoning_effort=effort))

    assert body.get("generationConfig", {}).get("thinkingConfig") == thinking
    assert len(fake.contents.requests) == 1, "nothing had to be refused first"


async def test_a_model_without_system_instruction_reads_it_from_the_user(
    fake: FakeGemini, provider: GeminiProvider
) -> None:
    request = LlmRequest((SystemMessage("Be brief."), HI))

    body = await body_of(fake, provider.llm("gemma-4-27b-it"), request)

    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "<system>\nBe brief.\n</system>"}, {"text": "hi"}]}
    ]


# --- Signatures and ids ------------------------------------------------------------------------------


async def round_of(
    fake: FakeGemini, model: str, *calls: FakeCall, ids: bool = True, signs: bool = True
) -> dict[str, Any]:
    """The request that brings the results of these calls."""
    provider = GeminiProvider(settings(fake))
    fake.contents.script(ContentReply(calls=calls, ids=ids, signs=signs))
    events = await collect(provider.llm(model), ASK_WITH_TOOLS)
    started = [event for event in events if isinstance(event, ToolCallStarted)]
    made = tuple(ToolCall(event.id, event.name, "{}", event.state) for event in started)
    results = [ToolMessage(call.id, call.name, "noon") for call in made]
    messages: tuple[Message, ...] = (HI, AssistantMessage("", made), *results)
    body = await body_of(fake, provider.llm(model), replace(ASK_WITH_TOOLS, messages=messages))
    await provider.aclose()
    return body


async def test_ids_and_signatures_go_back_as_they_came(fake: FakeGemini) -> None:
    body = await round_of(fake, NEW, FakeCall("clock", "{}", "a"), FakeCall("clock", "{}", "b"))

    assert body["contents"][1]["parts"] == [
        {"functionCall": {"id": "a", "name": "clock", "args": {}}, "thoughtSignature": signed("clock")},
        {"functionCall": {"id": "b", "name": "clock", "args": {}}},
    ]
    results = [part["functionResponse"] for part in body["contents"][2]["parts"]]
    assert [(result["id"], result["name"]) for result in results] == [("a", "clock"), ("b", "clock")]
    assert len(fake.contents.requests) == 2


async def test_an_id_that_was_made_up_stays_with_us(fake: FakeGemini) -> None:
    body = await round_of(fake, OLD, FakeCall("clock"), ids=False, signs=False)

    assert body["contents"][1]["parts"] == [{"functionCall": {"name": "clock", "args": {}}}]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "clock", "response": {"output": "noon"}}}
    ]


@pytest.mark.parametrize(
    "state",
    [
        "",
        "no JSON",
        "[]",
        '{"anthropic": {"thinking": []}}',
        '{"gemini": 3}',
        '{"gemini": {"model": "gemini-9", "signature": "c2ln"}}',
    ],
)
async def test_calls_of_another_model_are_marked_where_signatures_are_demanded(
    fake: FakeGemini, provider: GeminiProvider, state: str
) -> None:
    used = AssistantMessage("", (ToolCall("c1", "clock", "{}", state),))
    request = replace(ASK_WITH_TOOLS, messages=(HI, used, ToolMessage("c1", "clock", "noon")))

    new = await body_of(fake, provider.llm(NEW), request)
    old = await body_of(fake, provider.llm(OLD), request)

    call = {"name": "clock", "args": {}}
    assert new["contents"][1]["parts"] == [
        {"functionCall": {**call, "id": "c1"}, "thoughtSignature": UNSIGNED}
    ]
    assert new["contents"][2]["parts"][0]["functionResponse"]["id"] == "c1"
    assert old["contents"][1]["parts"] == [{"functionCall": call}]


# --- Every conversation ------------------------------------------------------------------------------

STATES = (
    "",
    '{"anthropic": {"model": "x"}}',
    *(
        json.dumps({"gemini": {"model": model, "id": "fc", "signature": signed("x")}})
        for model in MODELS
        if model != "a/b ?c"
    ),
)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "a/b ?c"])
@given(requests(STATES))
def test_every_conversation_is_put_in_the_shape_that_the_service_wants(
    name: str, request: LlmRequest
) -> None:
    body = content_body(request, name, gemini_model(name))

    assert body_problem(body, MODELS[name]) is None
