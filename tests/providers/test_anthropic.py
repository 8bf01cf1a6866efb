"""Anthropic's Messages: what goes out, what comes back, and every way in which it fails."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter

from providers.anthropic import AnthropicProvider
from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
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
from providers.llm.anthropic_request import BEGIN, GO_ON
from providers.llm.claude_models import claude_model
from providers.provider import ProviderSettings
from tests.fakes.anthropic_api import (
    NEWEST,
    OLDER,
    FakeAnthropic,
    MessageReply,
    anthropic_error,
    overloaded,
    rate_limited,
)
from tests.fakes.anthropic_replies import event
from tests.fakes.openai_api import CUT, HANG, FakeCall, Reply, Step, frame
from tests.providers.odd_shapes import check_types, odd_shapes
from tests.providers.test_openai_chat import calls_of, finish_of, text_of

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


@pytest.fixture
async def fake() -> AsyncGenerator[FakeAnthropic, None]:
    async with FakeAnthropic(api_key=KEY, models=MODELS) as server:
        yield server
        for request in server.messages.requests:
            check_shape(request.body)


def check_shape(body: dict[str, Any]) -> None:
    """Whether the official client would send such a body, whose lists it checks as they are read."""
    value = BODY.validate_python(body)
    for turn in value["messages"]:
        for block in turn["content"]:
            assert block["type"]
    assert all(tool["name"] for tool in value.get("tools", ()))


def settings(fake: FakeAnthropic, **options: Any) -> ProviderSettings:
    options = {"base_url": fake.base_url, "first_byte_timeout": 2.0, "gap_timeout": 0.4, **options}
    return ProviderSettings("lab", options, KEY)


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


# --- The answer --------------------------------------------------------------------------------------


async def test_text_streams_with_usage(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(MessageReply(text="Grüße an die 世界.", cached=5, written=3, split=3))

    events = await collect(llm)

    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Grüße", " an", " die", " 世界."]
    finished = finish_of(events)
    counted = len(str(fake.messages.requests[0].body["messages"]).split())
    assert finished == LlmFinished("stop", LlmUsage(counted + 5 + 3, 4, 5))


async def test_the_key_and_the_version_go_out(fake: FakeAnthropic, llm: Llm) -> None:
    await collect(llm)

    headers = fake.messages.requests[0].headers
    assert headers["x-api-key"] == KEY
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


async def test_a_key_may_go_out_as_a_bearer_token_with_the_newest_version(fake: FakeAnthropic) -> None:
    options = {"auth": "bearer", "api_version": "2026-10-21", "headers": {"anthropic-beta": "x-2026"}}
    provider = AnthropicProvider(settings(fake, **options))

    body = await body_of(fake, provider.llm(OLD), replace(ASK, temperature=0.5, top_p=0.5))
    await provider.aclose()

    assert fake.messages.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert fake.messages.requests[0].headers["anthropic-beta"] == "x-2026"
    assert not {"temperature", "top_p"} & body.keys()
    assert len(fake.messages.requests) == 1, "nothing had to be refused first"


async def test_it_streams_rather_than_waits_and_hangs_up_when_closed(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(stream(START, text("first"), HANG))

    async with aclosing(llm.generate(ASK)) as events:
        assert await anext(events) == TextDelta("first")

    await asyncio.wait_for(fake.messages.requests[0].finished.wait(), 5)
    assert fake.messages.requests[0].aborted


async def test_a_cancelled_task_hangs_up(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(stream(START, HANG))
    task = asyncio.create_task(collect(llm))
    await fake.messages.wait_for_requests(1)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await asyncio.wait_for(fake.messages.requests[0].finished.wait(), 5)
    assert fake.messages.requests[0].aborted


async def test_fragmented_calls_are_joined(fake: FakeAnthropic, llm: Llm) -> None:
    calls = (FakeCall("weather", '{"city": "Zürich"}', "toolu_a"), FakeCall("clock", ""))
    fake.messages.script(MessageReply(text="One moment.", calls=calls))

    events = await collect(llm, ASK_WITH_TOOLS)

    assert text_of(events) == "One moment."
    assert calls_of(events) == [("weather", '{"city": "Zürich"}'), ("clock", "{}")]
    assert ToolCallStarted(0, "toolu_a", "weather") in events
    assert finish_of(events).reason == "tool_calls"


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something new", "stop"),
    ],
)
async def test_stop_reasons_are_translated(fake: FakeAnthropic, llm: Llm, reason: str, ours: str) -> None:
    fake.messages.script(MessageReply(text="x", stop=reason))

    assert finish_of(await collect(llm)).reason == ours


async def test_thinking_is_not_spoken_and_pings_are_nothing(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(MessageReply(text="spoken", thinking="not this", redacted="nor this"))

    assert text_of(await collect(llm)) == "spoken"


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(event({"type": "vault_opened"}), id="an unknown event"),
        pytest.param(frame({"type": "content_block_start", "index": 9}, "x"), id="no block"),
        pytest.param(event({"type": "content_block_stop", "index": None}), id="no index"),
        pytest.param(event({"type": "content_block_stop", "index": [1]}), id="an odd index"),
        pytest.param(event({"type": "content_block_delta", "index": 0, "delta": [3]}), id="an odd delta"),
        pytest.param(event({"type": "message_delta", "delta": None, "usage": 7}), id="an odd end"),
        pytest.param(event({"type": "message_start", "message": 3}), id="an odd start"),
        pytest.param(
            event({"type": "content_block_start", "index": 5, "content_block": {"type": "server_tool_use"}}),
            id="a tool of the server's",
        ),
        pytest.param(text(None), id="no text"),
        pytest.param(b": comment\n\n", id="a comment"),
    ],
)
async def test_what_is_not_the_answer_is_passed_over(fake: FakeAnthropic, llm: Llm, extra: bytes) -> None:
    fake.messages.script(stream(START, extra, text("spoken"), stopped("end_turn"), END))

    events = await collect(llm)

    assert text_of(events) == "spoken"
    assert finish_of(events).reason == "stop"


async def test_a_server_that_does_not_stream_is_understood(fake: FakeAnthropic, llm: Llm) -> None:
    body = {
        "type": "message",
        "content": [
            {"type": "text", "text": "whole"},
            {"type": "tool_use", "id": "t", "name": "clock", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 4, "output_tokens": 2},
    }
    fake.messages.script(Reply((json.dumps(body).encode(),)))

    events = await collect(llm, ASK_WITH_TOOLS)

    assert (text_of(events), calls_of(events)) == ("whole", [("clock", '{"a":1}')])
    assert finish_of(events) == LlmFinished("tool_calls", LlmUsage(4, 2))


# --- Ends that are no ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [[], [CUT], [HANG]], ids=["the end of the body", "a cut", "a stall"])
async def test_a_complete_answer_needs_no_last_event(fake: FakeAnthropic, llm: Llm, tail: list[Step]) -> None:
    fake.messages.script(stream(START, text("all"), stopped("end_turn"), *tail))

    events = await collect(llm)

    assert text_of(events) == "all"
    assert finish_of(events).reason == "stop"


def failed(kind: str, message: str = "Boom") -> bytes:
    return event({"type": "error", "error": {"type": kind, "message": message}})


NAMELESS = {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "x"}}
STRAY = {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta"}}


@pytest.mark.parametrize(
    ("steps", "kind", "message"),
    [
        pytest.param([START, text("x")], ConnectionFailedError, "broke off", id="no end"),
        pytest.param([], ConnectionFailedError, "broke off", id="nothing"),
        pytest.param([END], BadAnswerError, "empty answer", id="only the end"),
        pytest.param([START, text("x"), CUT], ConnectionFailedError, "broke off", id="cut"),
        pytest.param([START, text("x")[:30], CUT], ConnectionFailedError, "broke off", id="cut in a frame"),
        pytest.param([START, text("x"), HANG], TimedOutError, "stopped answering", id="stall"),
        pytest.param([START, frame("{not json", "ping")], BadAnswerError, "not JSON", id="garbage"),
        pytest.param([frame("[]", "ping")], BadAnswerError, "not an object", id="not an object"),
        pytest.param([START, event(NAMELESS)], BadAnswerError, "without a name", id="no name"),
        pytest.param([START, event(STRAY)], BadAnswerError, "did not begin", id="stray arguments"),
        pytest.param([START, failed("overloaded_error")], OverloadedError, "Boom", id="overloaded"),
        pytest.param([START, failed("api_error")], OverloadedError, "Boom", id="an internal error"),
        pytest.param([failed("rate_limit_error")], RateLimitError, "Boom", id="throttled"),
        pytest.param(
            [failed("invalid_request_error", "prompt is too long: 9 > 8")],
            ContextTooLongError,
            "too long",
            id="too long",
        ),
        pytest.param([frame({"error": {"message": "Odd"}})], OverloadedError, "Odd", id="a proxy's error"),
    ],
)
async def test_a_stream_that_breaks_says_how(
    fake: FakeAnthropic, llm: Llm, steps: list[Step], kind: type[ProviderError], message: str
) -> None:
    fake.messages.script(stream(*steps))

    with pytest.raises(kind, match=message):
        await collect(llm)

    assert text_of(await collect(llm)) == "Hello from the fake model.", "the next request works"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (rate_limited(), RateLimitError),
        (overloaded(), OverloadedError),
        (anthropic_error(500, "Internal server error", "api_error"), OverloadedError),
        (anthropic_error(504, "Timed out", "timeout_error"), TimedOutError),
        (anthropic_error(403, "No", "permission_error"), AuthenticationError),
        (anthropic_error(400, "prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLongError),
        (
            anthropic_error(400, "input length and `max_tokens` exceed context limit: 200001 + 9 > 200000"),
            ContextTooLongError,
        ),
        (Reply((b"<html>sorry</html>",), 503, "text/html"), OverloadedError),
        (Reply((b"<html>hello</html>",), 200, "text/html"), BadAnswerError),
        (Reply((b'{"type":"error","error":{"type":"overloaded_error"}}',)), OverloadedError),
        (Reply((b"[]",)), BadAnswerError),
        (Reply((b'{"content": 3}',)), BadAnswerError),
        (Reply((b"{",)), BadAnswerError),
    ],
)
async def test_refusals_are_told_apart(
    fake: FakeAnthropic, llm: Llm, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.messages.script(reply)

    with pytest.raises(kind):
        await collect(llm)


async def test_the_wait_is_told_in_milliseconds_where_it_is(fake: FakeAnthropic, llm: Llm) -> None:
    fake.messages.script(rate_limited(1250))

    with pytest.raises(RateLimitError) as caught:
        await collect(llm)

    assert caught.value.retry_after == 1.25


async def test_a_slow_first_byte_has_a_deadline(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(settings(fake, first_byte_timeout=0.2))
    fake.messages.script(stream(HANG))

    with pytest.raises(TimedOutError, match="did not begin"):
        await collect(provider.llm(OLD))
    await provider.aclose()


async def test_a_refused_key_is_not_repeated(fake: FakeAnthropic) -> None:
    wrong = "wrong-anthropic-key-987654321"
    provider = AnthropicProvider(ProviderSettings("lab", {"base_url": fake.base_url}, wrong))

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm(OLD))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: invalid x-api-key: [key]"


async def test_a_server_that_is_not_there_is_a_failed_connection(fake: FakeAnthropic) -> None:
    provider = AnthropicProvider(ProviderSettings("lab", {"base_url": "http://127.0.0.1:9"}, KEY))

    with pytest.raises(ConnectionFailedError):
        await collect(provider.llm(OLD))
    await provider.aclose()


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


# --- The provider ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("claude-3-opus-20240229", (4_096, "none", False)),
        ("claude-3-5-sonnet-20241022", (8_192, "none", False)),
        ("claude-3-7-sonnet-latest", (64_000, "budget", False)),
        ("claude-opus-4-20250514", (32_000, "budget", False)),
        ("anthropic.claude-opus-4-1-20250805-v1:0", (32_000, "budget", False)),
        ("claude-opus-4-5@20251101", (64_000, "budget", False)),
        ("claude-sonnet-4.6", (128_000, "adaptive", False)),
        ("claude-opus-4-8", (128_000, "adaptive", False)),
        ("claude-haiku-5-5", (128_000, "adaptive", True)),
        ("claude-mythos-preview", (128_000, "adaptive", True)),
        ("claude-next", (128_000, "adaptive", True)),
        ("minimax-m3", (8_192, "none", False)),
    ],
)
def test_names_tell_what_a_model_can_do(name: str, version: Any) -> None:
    model = claude_model(name)

    assert (model.max_tokens, model.thinking, model.thinks_unasked) == version


def test_models_are_listed_and_engines_are_kept(fake: FakeAnthropic, provider: AnthropicProvider) -> None:
    assert "claude-haiku-4-5" in [model.id for model in provider.models()]
    assert {model.kind for model in provider.models()} == {"llm"}
    first = provider.llm("a")
    assert provider.llm("a") is first
    others = [provider.llm(f"m{at}") for at in range(80)]
    assert provider.llm("m79") is others[-1]
    assert provider.llm("a") is not first, "not every name that clients send is kept"
    with pytest.raises(UnknownModelError):
        provider.llm(" ")
    listed = AnthropicProvider(settings(fake, models=["mine"])).models()
    assert [model.id for model in listed] == ["mine"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"base_url": "ftp://x"}, KEY),
        ({"api_version": "newest"}, KEY),
        ({"auth": "basic"}, KEY),
        ({"headers": {"x": "a\nb"}}, KEY),
        ({"no_such": 1}, KEY),
        ({}, "a\nb"),
    ],
)
def test_wrong_options_are_named_at_start_up(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match="lab"):
        AnthropicProvider(ProviderSettings("lab", options, key))


async def test_a_connection_is_warmed_and_used_again(
    fake: FakeAnthropic, provider: AnthropicProvider
) -> None:
    engine: Any = provider.llm(OLD)
    await engine.warm()

    await collect(engine)
    await collect(engine)

    assert len({request.connection for request in fake.messages.requests}) == 1


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
