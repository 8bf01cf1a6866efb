"""Anthropic's Messages: what comes back, every way in which it fails, and the settings."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from providers.anthropic import AnthropicProvider
from providers.contracts import (
    Llm,
    LlmFinished,
    LlmUsage,
    TextDelta,
    ToolCallStarted,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    ContextTooLongError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.llm.claude_models import claude_model
from providers.provider import ProviderSettings
from tests.fakes.anthropic_api import (
    FakeAnthropic,
    MessageReply,
    anthropic_error,
    overloaded,
    rate_limited,
)
from tests.fakes.anthropic_replies import event
from tests.fakes.openai_api import CUT, HANG, FakeCall, Reply, Step, frame
from tests.providers import anthropic_lab
from tests.providers.anthropic_lab import (
    ASK,
    ASK_WITH_TOOLS,
    END,
    KEY,
    OLD,
    START,
    body_of,
    collect,
    settings,
    stopped,
    stream,
    text,
)
from tests.providers.test_openai_chat import calls_of, finish_of, text_of

fake, provider, llm = anthropic_lab.fake, anthropic_lab.provider, anthropic_lab.llm


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
