"""Inworld's chat completions: names, what a router is told, what it tells, and failures."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    Attempt,
    Caller,
    FunctionTool,
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    RouteTaken,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    UserMessage,
)
from providers.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.inworld import InworldProvider
from providers.llm.inworld_chat import route_from
from providers.provider import ProviderSettings
from tests.fakes.inworld_api import FakeInworld, RoutedReply, failure
from tests.fakes.openai_api import CUT, HANG, ChatReply, FakeCall, Reply, error, frame

ASK = (UserMessage((TextPart("hi"),)),)
ROUTED = {
    "attempts": [
        {"provider": "openai", "model": "gpt-5", "status": "error", "latencyMs": 310},
        {"model": "anthropic/claude-haiku-4-5", "success": True},
    ],
    "router": "routers/support",
    "route_id": "premium",
    "variant_id": "b",
    "reason": "tier is premium",
}


@pytest.fixture
async def fake() -> AsyncGenerator[FakeInworld, None]:
    async with FakeInworld() as server:
        yield server


@pytest.fixture
async def provider(fake: FakeInworld) -> AsyncGenerator[InworldProvider, None]:
    options = {
        "base_url": fake.base_url,
        "first_byte_timeout": 0.5,
        "gap_timeout": 0.5,
        "extra_body": {"extra_body": {"sort": ["latency"], "metadata": {"app": "lab"}}},
    }
    made = InworldProvider(ProviderSettings("inworld", options, fake.api_key))
    yield made
    await made.aclose()


@pytest.fixture
def llm(provider: InworldProvider) -> Llm:
    return provider.llm("support")


async def collect(llm: Llm, caller: Caller | None = None, **request: Any) -> list[LlmEvent]:
    asked = LlmRequest(ASK, caller=caller or Caller(), **request)
    return [event async for event in llm.generate(asked)]


def text_of(events: list[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("support", "inworld/support"),
        ("auto", "auto"),
        ("openai/gpt-5.2", "openai/gpt-5.2"),
        ("inworld/support", "inworld/support"),
    ],
)
async def test_names_are_routers_or_models(
    fake: FakeInworld, provider: InworldProvider, name: str, sent: str
) -> None:
    events = await collect(provider.llm(name), max_output_tokens=50)

    assert text_of(events) == "Hello from a routed model."
    assert isinstance(events[-1], LlmFinished)
    request = fake.chat.requests[0]
    assert request.body["model"] == sent
    assert request.body["max_completion_tokens"] == 50
    assert request.headers["authorization"] == f"Basic {fake.api_key}"


async def test_the_router_is_told_whose_request_it_is(fake: FakeInworld, llm: Llm) -> None:
    await collect(llm, Caller("session-1", "user-1", {"tier": "premium"}))
    await collect(llm, Caller("session-1"))
    await collect(llm)

    first, second, third = (request.body for request in fake.chat.requests)
    assert first["user"] == "user-1"
    assert first["extra_body"] == {"sort": ["latency"], "metadata": {"app": "lab", "tier": "premium"}}
    assert second["user"] == "session-1"  # so that its variant stays the same
    assert second["extra_body"] == {"sort": ["latency"], "metadata": {"app": "lab"}}
    assert "user" not in third


async def test_a_model_is_not_told_of_sessions(fake: FakeInworld, provider: InworldProvider) -> None:
    await collect(provider.llm("openai/gpt-5.2"), Caller("session-1"))

    assert "user" not in fake.chat.requests[0].body


async def test_the_route_comes_first(fake: FakeInworld, llm: Llm) -> None:
    fake.chat.script(RoutedReply(text="Good day.", metadata=ROUTED))

    events = await collect(llm)

    assert events[0] == RouteTaken(
        router="support",
        route="premium",
        variant="b",
        model="inworld/anthropic/claude-haiku-4-5",
        reason="tier is premium",
        attempts=(
            Attempt("inworld/openai/gpt-5", "provider_error", 0.31),
            Attempt("inworld/anthropic/claude-haiku-4-5", None, 0.0),
        ),
    )
    assert text_of(events) == "Good day."
    assert sum(isinstance(event, RouteTaken) for event in events) == 1


async def test_a_route_that_comes_too_late_is_not_told(fake: FakeInworld, llm: Llm) -> None:
    fake.chat.script(RoutedReply(text="Good day.", metadata=ROUTED, late=True))

    events = await collect(llm)

    assert not [event for event in events if isinstance(event, RouteTaken)]
    assert text_of(events) == "Good day."


async def test_calls_come_through(fake: FakeInworld, llm: Llm) -> None:
    fake.chat.script(RoutedReply(calls=(FakeCall("clock", '{"zone": "UTC"}', "call_1"),), metadata=ROUTED))

    events = await collect(llm, tools=(FunctionTool("clock"),))

    assert isinstance(events[0], RouteTaken)
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ["call_1"]
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert "".join(pieces) == '{"zone": "UTC"}'
    assert events[-1].reason == "tool_calls" if isinstance(events[-1], LlmFinished) else False


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        5,
        [],
        {},
        {"attempts": 5},
        {"attempts": [5, None, {}, {"model": 7}]},
        {"request_id": "x"},
    ],
)
def test_metadata_without_a_route_say_nothing(metadata: Any) -> None:
    assert route_from(metadata, "inworld/support", "gpt-5", "inworld") is None


def test_metadata_of_the_other_spelling() -> None:
    told = {
        "attempts": [{"provider": "openai", "model": "openai/gpt-4o-mini", "latencyMs": True}],
        "routerId": "r",
        "reasoning": "cheap",
        "variantId": "v" * 1000,
    }

    route = route_from(told, "auto", 5, "iw")

    assert route == RouteTaken(
        "r", "", "v" * 200, "iw/openai/gpt-4o-mini", "cheap", (Attempt("iw/openai/gpt-4o-mini", None, 0.0),)
    )


def test_the_answering_model_is_that_of_the_reply_where_no_attempt_says() -> None:
    route = route_from({"reason": "only one"}, "inworld/support", "openai/gpt-5", "inworld")

    assert route == RouteTaken("support", "", "", "inworld/openai/gpt-5", "only one", ())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure(16, "no"), AuthenticationError),
        (failure(8, "slow down", headers={"retry-after": "7"}), RateLimitError),
        (failure(14, "no capacity"), OverloadedError),
        (failure(5, "router not found"), InvalidRequestError),
        (error(400, "no route matched"), InvalidRequestError),
        (Reply((HANG,), content_type="text/event-stream"), TimedOutError),
        (ChatReply(text="one two three", break_after=2, break_with=(HANG,)), TimedOutError),
        (ChatReply(text="one two three", break_after=2, break_with=(CUT,)), ConnectionFailedError),
        (
            Reply(
                (frame({"error": {"code": 503, "message": "all failed"}}),), content_type="text/event-stream"
            ),
            OverloadedError,
        ),
    ],
)
async def test_failures(fake: FakeInworld, llm: Llm, reply: Any, kind: type[ProviderError]) -> None:
    fake.chat.script(reply)

    with pytest.raises(kind) as caught:
        await collect(llm)

    assert fake.api_key not in str(caught.value)
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 7


async def test_a_refused_parameter_is_left_out_from_then_on(fake: FakeInworld, llm: Llm) -> None:
    text = "Unsupported parameter: 'temperature' is not supported with this model."
    fake.chat.script(error(400, text, code="unsupported_parameter", param="temperature"))

    assert text_of(await collect(llm, temperature=0.5)) == "Hello from a routed model."
    await collect(llm, temperature=0.5)

    assert ["temperature" in request.body for request in fake.chat.requests] == [True, False, False]


async def test_closing_early_ends_the_request(fake: FakeInworld, llm: Llm) -> None:
    fake.chat.script(ChatReply(text="one two three", break_after=2, break_with=(HANG,)))

    async with aclosing(llm.generate(LlmRequest(ASK))) as events:
        async for _ in events:
            break

    await fake.chat.requests[0].finished.wait()
    assert fake.chat.requests[0].aborted
