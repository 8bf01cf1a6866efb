"""`builtin/echo`: the grammar, the rules of precedence, and that it can be foretold."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.builtin import BuiltinProvider
from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
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
    ToolCallDelta,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.errors import (
    AuthenticationError,
    ConnectionFailedError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.llm.echo import GREETING, EchoLlm
from providers.llm.echo_directives import counting_words, parse
from providers.llm.smallest_json import smallest_arguments
from providers.provider import ProviderSettings

WEATHER = FunctionTool("weather", "says the weather", {"type": "object", "properties": {}})
CLOCK = FunctionTool("clock")


def user(text: str) -> UserMessage:
    return UserMessage((TextPart(text),))


async def collect(request: LlmRequest) -> list[LlmEvent]:
    return [event async for event in EchoLlm().generate(request)]


async def ask(text: str, **options: Any) -> list[LlmEvent]:
    return await collect(LlmRequest((user(text),), **options))


def text_of(events: Sequence[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls_of(events: Sequence[LlmEvent]) -> list[tuple[str, str]]:
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallStarted):
            calls[event.index] = [event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.index][1] += event.arguments
    return [(name, arguments) for name, arguments in calls.values()]


def finish_of(events: Sequence[LlmEvent]) -> LlmFinished:
    assert isinstance(events[-1], LlmFinished)
    assert sum(isinstance(event, LlmFinished) for event in events) == 1
    return events[-1]


async def test_it_repeats_the_last_user_text_word_by_word() -> None:
    events = await collect(
        LlmRequest((SystemMessage("Be kind."), user("first"), AssistantMessage("ok"), user("good old day")))
    )

    assert [event.text for event in events if isinstance(event, TextDelta)] == [
        "You",
        " said:",
        " good",
        " old",
        " day",
    ]
    assert finish_of(events) == LlmFinished("stop", LlmUsage(input_tokens=7, output_tokens=5))


@pytest.mark.parametrize(
    "messages", [(), (SystemMessage("Be kind."),), (user("  "),), (UserMessage((ImagePart("data:,"),)),)]
)
async def test_it_greets_when_nothing_was_said(messages: tuple[Message, ...]) -> None:
    assert text_of(await collect(LlmRequest(messages))) == GREETING


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("[[say Hello,  world.]]", "Hello,  world."),
        ("please [[say one]] and [[say two]]", "one two"),
        ("[[say]]", ""),
        ("[[words 3]]", "one two three"),
        ("[[words 0]]", ""),
        ("[[think 0]] hello [[pace 0]]", "You said: hello"),
        ("[[words x]]", "You said: [[words x]]"),
        ("[[words -1]]", "You said: [[words -1]]"),
        ("[[fail nicely]]", "You said: [[fail nicely]]"),
        ("[[dance]]", "You said: [[dance]]"),
        ("[[say unclosed", "You said: [[say unclosed"),
        ("[[call weather {broken]]", "You said: [[call weather {broken]]"),
        ("[[words [[say inner]]", "inner"),
        ("[[saying]] x", "You said: [[saying]] x"),
    ],
)
async def test_directives_answer_and_anything_malformed_is_plain_text(said: str, answer: str) -> None:
    assert text_of(await ask(said)) == answer


@given(st.text(alphabet='[]sayword call{}":1x\n', max_size=60))
def test_parsing_never_fails_and_loses_no_plain_text(text: str) -> None:
    parsed = parse(text)

    if not parsed.found:
        assert parsed.rest == text.strip()


@pytest.mark.parametrize("count", [1, 9, 10, 21, 99, 100, 250])
def test_counting_words_are_as_many_as_asked_for(count: int) -> None:
    assert len(counting_words(count).split()) == count


def test_counting_reads_like_counting() -> None:
    assert counting_words(22).endswith("nineteen twenty, twenty-one twenty-two")


async def test_the_number_of_words_is_bounded() -> None:
    assert len(parse("[[words 999999999]]").answers[0].split()) == 10_000


async def test_instructions_are_read_where_the_user_gives_no_directive() -> None:
    events = await collect(LlmRequest((SystemMessage("[[say from above]]"), user("hello"))))

    assert text_of(events) == "from above"


async def test_the_users_directives_win_over_the_instructions() -> None:
    events = await collect(LlmRequest((SystemMessage("[[say from above]]"), user("[[say mine]]"))))

    assert text_of(events) == "mine"


async def test_only_the_last_user_message_counts() -> None:
    events = await collect(LlmRequest((user("[[say old]]"), AssistantMessage("old"), user("new"))))

    assert text_of(events) == "You said: new"


async def test_several_calls_come_in_parallel_and_in_pieces() -> None:
    said = '[[call weather {"city": "A ]] B", "n": {"deep": [1]}}]] [[call clock]]'

    events = await ask(said, tools=(WEATHER, CLOCK))

    assert calls_of(events) == [("weather", '{"city": "A ]] B", "n": {"deep": [1]}}'), ("clock", "{}")]
    assert sum(isinstance(event, ToolCallDelta) for event in events) >= 4
    assert text_of(events) == ""
    assert finish_of(events).reason == "tool_calls"


async def test_it_may_speak_before_it_calls() -> None:
    events = await ask("[[say Let me look.]] [[call weather]]", tools=(WEATHER,))

    assert text_of(events) == "Let me look."
    assert calls_of(events) == [("weather", "{}")]


async def test_parallel_calls_can_be_forbidden() -> None:
    events = await ask("[[call weather]][[call clock]]", tools=(WEATHER, CLOCK), parallel_tool_calls=False)

    assert [name for name, _ in calls_of(events)] == ["weather"]


async def test_a_tool_that_was_not_offered_is_not_called() -> None:
    events = await ask("[[call missiles]]", tools=(WEATHER,))

    assert calls_of(events) == []
    assert text_of(events) == "There is no tool named missiles."


async def test_tool_choice_none_suppresses_calls() -> None:
    events = await ask("[[call weather]]", tools=(WEATHER,), tool_choice="none")

    assert calls_of(events) == []
    assert text_of(events) == "I may not call a tool now."
    assert finish_of(events).reason == "stop"


async def test_tool_choice_required_calls_the_first_tool_when_no_call_was_asked_for() -> None:
    assert calls_of(await ask("hello", tools=(CLOCK, WEATHER), tool_choice="required")) == [("clock", "{}")]


async def test_tool_choice_required_is_content_with_the_call_that_was_asked_for() -> None:
    events = await ask('[[call weather {"a":1}]]', tools=(CLOCK, WEATHER), tool_choice="required")

    assert calls_of(events) == [("weather", '{"a":1}')]


async def test_a_named_tool_is_called_whatever_was_said() -> None:
    events = await ask("[[call clock]]", tools=(CLOCK, WEATHER), tool_choice=NamedToolChoice("weather"))

    assert calls_of(events) == [("weather", "{}")]


async def test_tool_outputs_are_reported() -> None:
    calls = (ToolCall("c1", "weather", "{}"), ToolCall("c2", "clock", "{}"))
    messages = (
        user("[[call weather]][[call clock]]"),
        AssistantMessage("", calls),
        ToolMessage("c1", "weather", "sunny."),
        ToolMessage("c2", "clock", "noon"),
    )

    events = await collect(LlmRequest(messages, (WEATHER, CLOCK)))

    assert text_of(events) == "Tool weather returned: sunny. Tool clock returned: noon"
    assert finish_of(events).reason == "stop"


async def test_the_turn_after_a_tool_round_is_an_ordinary_one() -> None:
    messages = (
        user("[[call clock]]"),
        AssistantMessage("", (ToolCall("c2", "clock", "{}"),)),
        ToolMessage("c2", "clock", "noon"),
        AssistantMessage("Tool clock returned: noon"),
        user("thanks"),
    )

    assert text_of(await collect(LlmRequest(messages))) == "You said: thanks"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("server_error", OverloadedError),
        ("rate_limit", RateLimitError),
        ("timeout", TimedOutError),
        ("auth", AuthenticationError),
    ],
)
async def test_it_fails_before_the_first_token(kind: str, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        await anext(EchoLlm().generate(LlmRequest((user(f"[[fail {kind}]]"),))))


async def test_a_rate_limit_says_when_to_come_back() -> None:
    with pytest.raises(RateLimitError) as caught:
        await ask("[[fail rate_limit]]")

    assert caught.value.retry_after == 1.0


async def test_drop_fails_after_half_of_the_answer() -> None:
    seen: list[LlmEvent] = []

    async def read() -> None:
        async for event in EchoLlm().generate(LlmRequest((user("[[words 10]][[fail drop]]"),))):
            seen.append(event)  # noqa: PERF401 - what came before the failure is wanted

    with pytest.raises(ConnectionFailedError):
        await read()

    assert text_of(seen) == "one two three four five"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_it_finishes_for_the_reason_asked_for(reason: str) -> None:
    events = await ask(f"hi there [[finish {reason}]]")

    assert text_of(events) == "You said: hi there"
    assert finish_of(events).reason == reason


async def test_max_output_tokens_cuts_the_text() -> None:
    events = await ask("[[words 10]]", max_output_tokens=4)

    assert text_of(events) == "one two three four"
    assert finish_of(events) == LlmFinished("length", LlmUsage(2, 4))


async def test_an_answer_of_exactly_the_allowed_length_is_complete() -> None:
    assert finish_of(await ask("[[words 4]]", max_output_tokens=4)).reason == "stop"


async def test_delays_are_kept() -> None:
    started = time.perf_counter()

    events = await ask("[[think 60]][[pace 20]][[words 4]]")

    assert time.perf_counter() - started >= 0.06 + 3 * 0.02 - 0.005
    assert text_of(events) == "one two three four"


def test_delays_are_bounded() -> None:
    assert parse("[[think 999999999]]").think_s == 60.0


async def test_closing_the_stream_ends_a_long_thought_at_once() -> None:
    stream = EchoLlm().generate(LlmRequest((user("[[think 60000]]"),)))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_the_same_request_gives_the_same_events() -> None:
    request = LlmRequest((user('[[say a b]][[call weather {"x": 1}]]'),), (WEATHER,))

    assert await collect(request) == await collect(request)


async def test_call_ids_differ_within_and_between_turns() -> None:
    first = (user("[[call clock]][[call clock]]"),)
    second = (*first, AssistantMessage("ok"), *first)

    ids = [
        event.id
        for messages in (first, second)
        for event in await collect(LlmRequest(messages, (CLOCK,)))
        if isinstance(event, ToolCallStarted)
    ]

    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        (
            {
                "type": "object",
                "properties": {
                    "s": {"type": "string", "minLength": 2},
                    "i": {"type": "integer", "minimum": 3},
                    "x": {"type": "number", "exclusiveMinimum": 0},
                    "m": {"type": "integer", "multipleOf": 5, "minimum": 7},
                    "n": {"type": "integer", "maximum": -2},
                    "b": {"type": "boolean"},
                    "z": {"type": "null"},
                    "e": {"enum": ["red", "blue"]},
                    "c": {"const": 7},
                    "d": {"type": "string", "default": "dflt"},
                    "l": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
                    "o": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
                    "u": {"anyOf": [{"type": "object"}, {"type": "integer"}]},
                    "t": {"type": ["string", "null"]},
                    "r": {"$ref": "#/$defs/R"},
                    "w": {"type": "string", "format": "date"},
                },
                "required": list("sixmnbzecdloutrw"),
                "$defs": {"R": {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["k"]}]}, "A": {
                    "type": "object", "properties": {"k": {"type": "integer"}}}},
            },
            {
                "s": "aa", "i": 3, "x": 1, "m": 10, "n": -2, "b": False, "z": None, "e": "red", "c": 7,
                "d": "dflt", "l": [0, 0], "o": {"q": ""}, "u": 0, "t": "", "r": {"k": 0}, "w": "2000-01-01",
            },
        ),
        (
            {
                "type": "object",
                "required": ["tree"],
                "properties": {"tree": {"$ref": "#/$defs/T"}},
                "$defs": {"T": {"type": "object", "required": ["next"], "properties": {
                    "next": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]}}}},
            },
            {"tree": {"next": None}},
        ),
        ({"$ref": "#"}, {}),
        ({"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#"}}}, {}),
        ({"type": "object", "required": "nonsense", "properties": [1]}, {}),
        ({"type": "string"}, {}),
    ],
)  # fmt: skip
def test_forced_arguments_are_the_smallest_that_the_schema_allows(schema: Any, value: Any) -> None:
    assert json.loads(smallest_arguments(schema)) == value


def test_a_hostile_schema_costs_little() -> None:
    wide = {f"p{at}": {"$ref": "#"} for at in range(1000)}
    schema = {"type": "object", "required": list(wide), "properties": wide}
    started = time.perf_counter()

    assert smallest_arguments(schema) == "{}"

    assert time.perf_counter() - started < 1


async def test_the_builtin_provider_serves_echo_and_nothing_else() -> None:
    provider = BuiltinProvider(ProviderSettings("builtin"))

    assert provider.llm("echo") is provider.llm("echo")
    assert [model.id for model in provider.models()] == ["echo"]
    with pytest.raises(UnknownModelError, match="it has: echo"):
        provider.llm("gpt")
    with pytest.raises(ValueError, match="unknown option 'colour'"):
        BuiltinProvider(ProviderSettings("builtin", {"colour": 1}))
