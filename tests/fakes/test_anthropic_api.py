"""The fake against the real `anthropic` package: what that client accepts and raises is the measure."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.fakes.anthropic_api import (
    FakeAnthropic,
    MessageReply,
    anthropic_error,
    overloaded,
    rate_limited,
)
from tests.fakes.openai_api import CUT, FakeCall, frame

HELLO: Any = [{"role": "user", "content": "hi you"}]
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture
async def fake() -> AsyncGenerator[FakeAnthropic, None]:
    async with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def client(fake: FakeAnthropic) -> AsyncGenerator[anthropic.AsyncAnthropic, None]:
    async with anthropic.AsyncAnthropic(base_url=fake.base_url, api_key=fake.api_key, max_retries=0) as sdk:
        yield sdk


async def ask(client: anthropic.AsyncAnthropic, **more: Any) -> Message:
    """The whole message, as the client's own assembler puts it together."""
    settings = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": HELLO, **more}
    async with client.messages.stream(**settings) as stream:
        return await stream.get_final_message()


async def test_the_clients_own_assembler_reads_every_kind_of_block(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic
) -> None:
    calls = (FakeCall("weather", '{"city": "Zürich"}', "toolu_a"), FakeCall("weather", "{}"))
    reply = MessageReply(
        text="Grüße: 世界.", thinking="Hm, so.", redacted="opaque", calls=calls, cached=7, split=1
    )
    fake.messages.script(reply)

    message = await ask(client, tools=TOOLS)

    redacted, thought, text, first, second = message.content
    assert redacted.type == "redacted_thinking"
    assert redacted.data == "opaque"
    assert thought.type == "thinking"
    assert (thought.thinking, thought.signature) == ("Hm, so.", "signed:Hm, so.")
    assert text.type == "text"
    assert text.text == "Grüße: 世界."
    assert first.type == second.type == "tool_use"
    assert (first.id, first.input, second.input) == ("toolu_a", {"city": "Zürich"}, {})
    assert message.stop_reason == "tool_use"
    assert message.usage.cache_read_input_tokens == 7
    assert message.usage.output_tokens == 4


async def test_every_event_is_one_that_the_client_knows(fake: FakeAnthropic) -> None:
    reply = MessageReply(
        text="a b", thinking="t", redacted="r", calls=(FakeCall("f", '{"a": 1}'),), stop="refusal"
    )

    steps = reply.render({"model": "m", "messages": [], "stream": True}).steps

    events = [step.decode().splitlines() for step in steps if isinstance(step, bytes)]
    kinds = [line.removeprefix("event: ") for line, *_ in events]
    for kind, (_, data, *_rest) in zip(kinds, events, strict=True):
        value = json.loads(data.removeprefix("data: "))
        assert value["type"] == kind
        if kind != "ping":
            EVENTS.validate_python(value, strict=True)
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert "ping" in kinds


async def test_a_message_comes_whole_without_stream(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic
) -> None:
    fake.messages.script(MessageReply(text="whole", calls=(FakeCall("weather", '{"a": 1}'),)))

    message = await client.messages.create(
        model="claude-haiku-4-5", max_tokens=9, messages=HELLO, tools=TOOLS
    )

    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (overloaded(), anthropic.InternalServerError),
        (anthropic_error(500, "Boom", "api_error"), anthropic.InternalServerError),
        (rate_limited(), anthropic.RateLimitError),
        (
            anthropic_error(413, "Request exceeds the maximum size", "request_too_large"),
            anthropic.APIStatusError,
        ),
    ],
)
async def test_errors_are_those_of_the_client(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic, reply: Any, kind: type[anthropic.APIStatusError]
) -> None:
    fake.messages.script(reply)

    with pytest.raises(kind) as caught:
        await ask(client)

    assert caught.value.status_code == reply.status
    assert caught.value.response.headers.get("retry-after-ms") == reply.headers.get("retry-after-ms")


async def test_an_error_inside_the_stream_is_seen(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic
) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    fake.messages.script(MessageReply(text="a b", break_after=4, break_with=(frame(error, "error"), CUT)))

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await ask(client)


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 401, "x-api-key header is required"),
        ({"x-api-key": "nope"}, 401, "invalid x-api-key"),
        ({"Authorization": "Bearer nope"}, 401, "invalid x-api-key"),
        ({"x-api-key": "right"}, 400, "anthropic-version: header is required"),
        ({"x-api-key": "right", "anthropic-version": "1999-01-01"}, 400, "not a valid version"),
    ],
)
async def test_headers_are_checked(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic, headers: Mapping[str, str], status: int, words: str
) -> None:
    omitted = {"Authorization": anthropic.Omit(), "anthropic-version": anthropic.Omit(), **headers}
    if headers.get("x-api-key") == "right":
        omitted["x-api-key"] = fake.api_key

    with pytest.raises(anthropic.APIStatusError, match=words) as caught:
        await ask(client, extra_headers=omitted)

    assert caught.value.status_code == status


USE: Any = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}],
}
RESULT: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"extra_body": {"temperature": 1}}, "temperature: Extra inputs are not permitted"),
        ({"model": "claude-9"}, "model: claude-9"),
        ({"max_tokens": 200_000}, "maximum allowed number of output"),
        ({"messages": []}, "at least one message"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "So"}]}, "prefill"),
        ({"messages": [{"role": "assistant", "content": "So"}, *HELLO]}, "must use the"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
        ({"messages": [*HELLO, USE, RESULT]}, "must define tools"),
        ({"messages": [*HELLO, USE, *HELLO], "tools": TOOLS}, "without `tool_result` blocks"),
        ({"messages": [*HELLO, USE], "tools": TOOLS}, "prefill"),
        ({"messages": [RESULT]}, "unexpected `tool_use_id`"),
        ({"thinking": {"type": "disabled"}}, "thinking.type.disabled"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.type.enabled"),
        ({"tools": TOOLS, "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "effort parameter"),
    ],
)
async def test_what_the_service_refuses_is_refused(
    fake: FakeAnthropic, client: anthropic.AsyncAnthropic, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(anthropic.APIStatusError, match=words):
        await ask(client, **more)


async def test_a_round_of_calls_is_accepted(fake: FakeAnthropic, client: anthropic.AsyncAnthropic) -> None:
    message = await ask(client, messages=[*HELLO, USE, RESULT], tools=TOOLS, thinking={"type": "adaptive"})

    assert message.stop_reason == "end_turn"
    await fake.messages.wait_for_requests(1)
