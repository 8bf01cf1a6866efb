"""Gemini's own API: what goes out, what comes back, and every way in which it fails."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types

from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
    Message,
    NamedToolChoice,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    ContextTooLongError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.gemini import GeminiProvider
from providers.llm.gemini_models import LEVELS, gemini_model
from providers.llm.gemini_request import BEGIN, GO_ON, UNSIGNED
from providers.provider import ProviderSettings
from tests.fakes.gemini_api import (
    FLASH_25,
    FLASH_38,
    PRO_25,
    ContentReply,
    FakeGemini,
    FakeGeminiModel,
    exhausted,
    plain_error,
    signed,
)
from tests.fakes.gemini_replies import error_reply
from tests.fakes.openai_api import CUT, HANG, FakeCall, Reply, Step, frame
from tests.providers.odd_shapes import check_types, odd_shapes
from tests.providers.test_openai_chat import calls_of, finish_of, text_of

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


@pytest.fixture
async def fake() -> AsyncGenerator[FakeGemini, None]:
    async with FakeGemini(api_key=KEY, models=MODELS) as server:
        yield server
        for request in server.contents.requests:
            check_shape(request.body)


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
    options = {"base_url": base_url, "first_byte_timeout": 2.0, "gap_timeout": 0.4, **options}
    return ProviderSettings("lab", options, KEY)


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


# --- The answer --------------------------------------------------------------------------------------


async def test_text_streams_with_usage(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(ContentReply(text="Grüße an die 世界.", thoughts="not spoken", cached=1, split=3))

    events = await collect(llm)

    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Grüße", " an", " die", " 世界."]
    counted = len(str(fake.contents.requests[0].body["contents"]).split())
    assert finish_of(events) == LlmFinished("stop", LlmUsage(counted, 4 + 2, 1))


async def test_the_key_goes_out_in_its_header_and_events_are_asked_for(fake: FakeGemini, llm: Llm) -> None:
    await collect(llm)

    request = fake.contents.requests[0]
    assert request.headers["x-goog-api-key"] == KEY
    assert request.path == f"/v1beta/models/{OLD}:streamGenerateContent?alt=sse"


async def test_it_streams_rather_than_waits_and_hangs_up_when_closed(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(stream(said({"text": "first"}), HANG))

    async with aclosing(llm.generate(ASK)) as events:
        assert await anext(events) == TextDelta("first")

    await asyncio.wait_for(fake.contents.requests[0].finished.wait(), 5)
    assert fake.contents.requests[0].aborted


async def test_a_cancelled_task_hangs_up(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(stream(said({"text": "x"}), HANG))
    task = asyncio.create_task(collect(llm))
    await fake.contents.wait_for_requests(1)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await asyncio.wait_for(fake.contents.requests[0].finished.wait(), 5)
    assert fake.contents.requests[0].aborted


async def test_calls_come_whole_with_ids_of_theirs_or_ours(fake: FakeGemini, llm: Llm) -> None:
    calls = (FakeCall("weather", '{"city": "Zürich"}', "fc_a"), FakeCall("clock", ""))
    fake.contents.script(ContentReply(text="One moment.", calls=calls), ContentReply(calls=calls, ids=False))

    with_ids = await collect(llm, ASK_WITH_TOOLS)
    without = await collect(llm, ASK_WITH_TOOLS)

    assert text_of(with_ids) == "One moment."
    assert calls_of(with_ids) == calls_of(without) == [("weather", '{"city":"Zürich"}'), ("clock", "{}")]
    assert "fc_a" in [e.id for e in with_ids if isinstance(e, ToolCallStarted)]
    assert finish_of(with_ids).reason == finish_of(without).reason == "tool_calls"


async def test_two_calls_under_one_id_are_two_calls(fake: FakeGemini, llm: Llm) -> None:
    call = {"functionCall": {"id": "x", "name": "clock"}}
    fake.contents.script(stream(said(call, call), END))

    assert calls_of(await collect(llm, ASK_WITH_TOOLS)) == [("clock", "{}"), ("clock", "{}")]


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("STOP", "stop"),
        ("OTHER", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
    ],
)
async def test_finish_reasons_are_translated(fake: FakeGemini, llm: Llm, reason: str, ours: str) -> None:
    fake.contents.script(ContentReply(text="x", finish=reason))

    assert finish_of(await collect(llm)).reason == ours


async def test_a_refused_prompt_is_filtered_content(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(ContentReply(blocked="SAFETY"))

    events = await collect(llm)

    assert [type(event) for event in events] == [LlmFinished]
    assert finish_of(events).reason == "content_filter"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", BadAnswerError),
        ("UNEXPECTED_TOOL_CALL", BadAnswerError),
        ("MALFORMED_RESPONSE", BadAnswerError),
        ("MISSING_THOUGHT_SIGNATURE", InvalidRequestError),
    ],
)
async def test_an_answer_that_was_given_up_is_an_error(
    fake: FakeGemini, llm: Llm, reason: str, kind: type[ProviderError]
) -> None:
    fake.contents.script(ContentReply(finish=reason))

    with pytest.raises(kind):
        await collect(llm)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(said({"text": "thought", "thought": True}), id="a thought"),
        pytest.param(said({"text": "", "thoughtSignature": "c2ln"}), id="a signature"),
        pytest.param(said({"inlineData": {"mimeType": "image/png"}}), id="an image"),
        pytest.param(said(None, 3, {"text": 7}, {"functionCall": "x"}), id="odd parts"),
        pytest.param(frame({"candidates": None, "usageMetadata": [], "promptFeedback": 1}), id="odd members"),
        pytest.param(frame({"candidates": [{"content": None}, 3]}), id="odd candidates"),
        pytest.param(frame({"candidates": [{"content": {"parts": 3}}]}), id="no parts"),
        pytest.param(
            frame({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}), id="another one"
        ),
        pytest.param(b": comment\n\nevent: x\r\nid: 3\n\n", id="other fields"),
        pytest.param(frame({"usageMetadata": {"promptTokenCount": "many"}}), id="odd counts"),
    ],
)
async def test_what_is_not_the_answer_is_passed_over(fake: FakeGemini, llm: Llm, extra: bytes) -> None:
    fake.contents.script(stream(extra, said({"text": "spoken"}), END))

    events = await collect(llm)

    assert text_of(events) == "spoken"
    assert finish_of(events) == LlmFinished("stop", None)


async def test_a_server_that_sends_a_list_is_understood(fake: FakeGemini, llm: Llm) -> None:
    parts = [{"candidates": [{"content": {"parts": [{"text": word}]}}]} for word in ("who", "le")]
    parts.append({"candidates": [{"finishReason": "STOP"}]})  # type: ignore[dict-item]
    fake.contents.script(Reply((json.dumps(parts).encode(),)))

    assert text_of(await collect(llm)) == "whole"


async def test_a_value_may_span_lines(fake: FakeGemini, llm: Llm) -> None:
    value = json.dumps(
        {"candidates": [{"content": {"parts": [{"text": "all"}]}, "finishReason": "STOP"}]}, indent=1
    )
    lines = "".join(f"data: {line}\r\n" for line in value.splitlines())
    fake.contents.script(stream(lines.encode()))

    assert text_of(await collect(llm)) == "all"


# --- Ends that are no ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [[], [CUT], [HANG]], ids=["the end of the body", "a cut", "a stall"])
async def test_a_complete_answer_needs_no_clean_end(fake: FakeGemini, llm: Llm, tail: list[Step]) -> None:
    fake.contents.script(stream(said({"text": "all"}, finish="STOP"), *tail))

    events = await collect(llm)

    assert text_of(events) == "all"
    assert finish_of(events).reason == "stop"


TEXT = said({"text": "x"})


@pytest.mark.parametrize(
    ("steps", "kind", "message"),
    [
        pytest.param([TEXT], ConnectionFailedError, "broke off", id="no end"),
        pytest.param([], ConnectionFailedError, "broke off", id="nothing"),
        pytest.param([TEXT, CUT], ConnectionFailedError, "broke off", id="cut"),
        pytest.param([TEXT[:30], CUT], ConnectionFailedError, "broke off", id="cut in a frame"),
        pytest.param([TEXT, HANG], TimedOutError, "stopped answering", id="stall"),
        pytest.param([frame("{not json")], BadAnswerError, "not JSON", id="garbage"),
        pytest.param([frame("[]")], BadAnswerError, "not an object", id="not an object"),
        pytest.param([TEXT, b"and so on\n"], BadAnswerError, "not an event", id="words"),
        pytest.param([b"words " * 20_000 + b"\n"], BadAnswerError, "not an event", id="many words"),
        pytest.param([b'{"a":' * 3000 + b"}\n"], BadAnswerError, "not an event", id="deep nonsense"),
        pytest.param([said({"functionCall": {"args": {}}})], BadAnswerError, "without a name", id="no name"),
        pytest.param(
            [TEXT, plain_error(503, "The model is overloaded.", "UNAVAILABLE")],
            OverloadedError,
            "overloaded",
            id="plain lines",
        ),
        pytest.param(
            [b"[" + plain_error(429, "Quota", "RESOURCE_EXHAUSTED") + b"]\n"],
            RateLimitError,
            "Quota",
            id="plain lines in a list",
        ),
        pytest.param(
            [frame({"error": {"code": 500, "message": "Boom", "status": "INTERNAL"}})],
            OverloadedError,
            "Boom",
            id="a frame",
        ),
        pytest.param(
            [END, plain_error(504, "Late", "DEADLINE_EXCEEDED")], TimedOutError, "Late", id="after the end"
        ),
        pytest.param(
            [frame([{"error": {"code": 403, "message": "No", "status": "PERMISSION_DENIED"}}])],
            AuthenticationError,
            "No",
            id="a frame with a list",
        ),
    ],
)
async def test_a_stream_that_breaks_says_how(
    fake: FakeGemini, llm: Llm, steps: list[Step], kind: type[ProviderError], message: str
) -> None:
    fake.contents.script(stream(*steps))

    with pytest.raises(kind, match=message):
        await collect(llm)

    assert text_of(await collect(llm)) == "Hello from the fake model.", "the next request works"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (exhausted(), RateLimitError),
        (error_reply(503, "The model is overloaded.", "UNAVAILABLE"), OverloadedError),
        (error_reply(500, "An internal error has occurred.", "INTERNAL"), OverloadedError),
        (error_reply(504, "Deadline", "DEADLINE_EXCEEDED"), TimedOutError),
        (error_reply(403, "Denied", "PERMISSION_DENIED"), AuthenticationError),
        (error_reply(404, "models/x is not found", "NOT_FOUND"), InvalidRequestError),
        (
            error_reply(
                400,
                "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
                "INVALID_ARGUMENT",
            ),
            ContextTooLongError,
        ),
        (Reply((b"<html>sorry</html>",), 502, "text/html"), OverloadedError),
        (Reply((b"<html>hello</html>",), 200, "text/html"), BadAnswerError),
        (Reply((b'[{"error": {"code": 429, "message": "late"}}]',)), RateLimitError),
        (Reply((b"[3]",)), BadAnswerError),
        (Reply((b"[]",)), ConnectionFailedError),
        (Reply((b"{",)), BadAnswerError),
    ],
)
async def test_refusals_are_told_apart(
    fake: FakeGemini, llm: Llm, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.contents.script(reply)

    with pytest.raises(kind):
        await collect(llm)


async def test_the_time_to_wait_is_read_from_the_details(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(exhausted("12.5s"))

    with pytest.raises(RateLimitError) as caught:
        await collect(llm)

    assert caught.value.retry_after == 12.5


async def test_a_slow_first_byte_has_a_deadline(fake: FakeGemini) -> None:
    provider = GeminiProvider(settings(fake, first_byte_timeout=0.2))
    fake.contents.script(stream(HANG))

    with pytest.raises(TimedOutError, match="did not begin"):
        await collect(provider.llm(OLD))
    await provider.aclose()


async def test_a_wrong_key_is_told_and_not_repeated(fake: FakeGemini) -> None:
    wrong = "AIzaWrongGeminiKey987654321"
    provider = GeminiProvider(ProviderSettings("lab", {"base_url": f"{fake.base_url}/v1beta"}, wrong))

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm(OLD))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: API key not valid. Please pass a valid API key."


async def test_a_key_that_a_proxy_repeats_is_not_passed_on(fake: FakeGemini) -> None:
    provider = GeminiProvider(
        ProviderSettings("lab", {"base_url": f"{fake.base_url}/v1beta"}, "own-key-of-a-proxy")
    )
    fake.contents.default = error_reply(401, "no key: own-key-of-a-proxy", "UNAUTHENTICATED")
    fake.api_key = "own-key-of-a-proxy"

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm(OLD))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: no key: [key]"


async def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    provider = GeminiProvider(ProviderSettings("lab", {"base_url": "http://127.0.0.1:9"}, KEY))

    with pytest.raises(ConnectionFailedError):
        await collect(provider.llm(OLD))
    await provider.aclose()


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


# --- The provider ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "thinking", "signs"),
    [
        ("gemini-1.5-flash", "none", False),
        ("gemini-2.5-flash-lite", "budget", False),
        ("models/gemini-3.8-flash", "level", True),
        ("gemini-flash-latest", "level", True),
        ("gemma-3-27b-it", "none", False),
        ("tunedModels/mine", "none", False),
    ],
)
def test_names_tell_what_a_model_can_do(name: str, thinking: str, signs: bool) -> None:
    model = gemini_model(name)

    assert (model.thinking, model.signs) == (thinking, signs)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b ?c", "models/a%2Fb%20%3Fc"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/gemini-2.5-flash", "tunedModels/gemini-2.5-flash"),
        ("retired", "models/gemini-2.5-flash"),
    ],
)
async def test_names_of_models_stay_within_their_place_in_the_address(
    fake: FakeGemini, name: str, path: str
) -> None:
    provider = GeminiProvider(settings(fake, upstream_models={"retired": OLD}))

    await collect(provider.llm(name))
    await provider.aclose()

    assert fake.contents.requests[0].path == f"/v1beta/{path}:streamGenerateContent?alt=sse"


def test_models_are_listed_and_engines_are_kept(fake: FakeGemini, provider: GeminiProvider) -> None:
    assert OLD in [model.id for model in provider.models()]
    assert {model.kind for model in provider.models()} == {"llm"}
    first = provider.llm("a")
    assert provider.llm("a") is first
    others = [provider.llm(f"m{at}") for at in range(80)]
    assert provider.llm("m79") is others[-1]
    assert provider.llm("a") is not first, "not every name that clients send is kept"
    with pytest.raises(UnknownModelError):
        provider.llm(" ")
    listed = GeminiProvider(settings(fake, models=["mine"])).models()
    assert [model.id for model in listed] == ["mine"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"base_url": "ftp://x"}, KEY),
        ({"headers": {"x": "a\nb"}}, KEY),
        ({"no_such": 1}, KEY),
        ({}, "a\nb"),
    ],
)
def test_wrong_options_are_named_at_start_up(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match="lab"):
        GeminiProvider(ProviderSettings("lab", options, key))


async def test_a_connection_is_warmed_and_used_again(fake: FakeGemini, provider: GeminiProvider) -> None:
    engine: Any = provider.llm(OLD)
    await engine.warm()

    await collect(engine)
    await collect(engine)

    assert len({request.connection for request in fake.contents.requests}) == 1


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
