"""Chat completions: what goes out, and every way in which servers are known to answer."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ToolCallDelta,
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
)
from providers.llm.openai_chat_request import chat_body
from providers.llm.think_filter import ThinkFilter
from providers.llm.vision import BLIND_NOTE
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from tests.fakes.openai_api import (
    CUT,
    HANG,
    ChatReply,
    FakeCall,
    FakeOpenAI,
    Reply,
    Step,
    error,
    frame,
    rate_limited,
)

KEY = "lab-key-0123456789"
WEATHER = FunctionTool("weather", "Says it", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = FunctionTool("clock")
ASK = LlmRequest((UserMessage((TextPart("hi"),)),))
ASK_WITH_TOOLS = LlmRequest(ASK.messages, (WEATHER, CLOCK))
DONE = frame("[DONE]")


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI(api_key=KEY) as server:
        yield server


@pytest.fixture
async def provider(fake: FakeOpenAI) -> AsyncGenerator[OpenAICompatibleProvider, None]:
    options = {"base_url": fake.base_url, "first_byte_timeout": 2.0, "gap_timeout": 0.5}
    made = OpenAICompatibleProvider(ProviderSettings("lab", options, KEY))
    yield made
    await made.aclose()


@pytest.fixture
def llm(provider: OpenAICompatibleProvider) -> Llm:
    return provider.llm("small")


async def collect(llm: Llm, request: LlmRequest = ASK) -> list[LlmEvent]:
    return [event async for event in llm.generate(request)]


def text_of(events: Sequence[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def calls_of(events: Sequence[LlmEvent]) -> list[tuple[str, str]]:
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallStarted):
            assert event.index not in calls
            calls[event.index] = [event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.index][1] += event.arguments
    ids = [event.id for event in events if isinstance(event, ToolCallStarted)]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [(name, arguments) for name, arguments in calls.values()]


def finish_of(events: Sequence[LlmEvent]) -> LlmFinished:
    assert isinstance(events[-1], LlmFinished)
    assert sum(isinstance(event, LlmFinished) for event in events) == 1
    return events[-1]


def stream(*steps: Step) -> Reply:
    return Reply(steps, content_type="text/event-stream")


def delta(value: dict[str, Any] | None = None, finish: str | None = None) -> bytes:
    return frame({"choices": [{"index": 0, "delta": value or {}, "finish_reason": finish}]})


def fragment(
    arguments: Any = None, *, name: str | None = None, id: str | None = None, index: int | None = None
) -> bytes:
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": id, "function": {k: v for k, v in function.items() if v is not None}}
    call = {key: value for key, value in call.items() if value is not None}
    return delta({"tool_calls": [call]})


# --- The answer --------------------------------------------------------------------------------------


async def test_text_streams_with_usage(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(ChatReply(text="Grüße an die 世界."))

    events = await collect(llm)

    assert [event.text for event in events if isinstance(event, TextDelta)] == [
        "Grüße",
        " an",
        " die",
        " 世界.",
    ]
    assert finish_of(events) == LlmFinished("stop", LlmUsage(1, 4))


async def test_it_streams_rather_than_waits(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(stream(delta({"content": "first"}), HANG))

    async with aclosing(llm.generate(ASK)) as events:
        assert await anext(events) == TextDelta("first")

    await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)
    assert fake.chat.requests[0].aborted, "closing the stream hangs up"


async def test_characters_may_be_cut_anywhere(fake: FakeOpenAI, llm: Llm) -> None:
    text = "Grüße 世界 👩‍🚀, naïve façade."
    fake.chat.script(*(ChatReply(text=text, split=size) for size in (1, 2, 3, 7)))

    for _ in range(4):
        assert text_of(await collect(llm)) == text


async def test_fragmented_calls_are_joined(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(
        ChatReply(calls=(FakeCall("weather", '{"city": "Zürich"}', "call_a"), FakeCall("clock", "")))
    )

    events = await collect(llm, ASK_WITH_TOOLS)

    assert calls_of(events) == [("weather", '{"city": "Zürich"}'), ("clock", "{}")]
    assert ToolCallStarted(0, "call_a", "weather") in events
    assert finish_of(events).reason == "tool_calls"


async def test_text_may_come_before_a_call(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(ChatReply(text="One moment.", calls=(FakeCall("clock"),)))

    events = await collect(llm, ASK_WITH_TOOLS)

    assert text_of(events) == "One moment."
    assert calls_of(events) == [("clock", "{}")]


@pytest.mark.parametrize(
    ("fragments", "calls"),
    [
        pytest.param([fragment('{"a":1}', name="f", id="x", index=0)], [("f", '{"a":1}')], id="whole"),
        pytest.param([fragment({"a": 1}, name="f", id="x", index=0)], [("f", '{"a": 1}')], id="object"),
        pytest.param([fragment('{"a":1}', name="f")], [("f", '{"a":1}')], id="neither id nor index"),
        pytest.param(
            [fragment('{"a":1}', name="f"), fragment('{"b":2}', name="f")],
            [("f", '{"a":1}'), ("f", '{"b":2}')],
            id="two whole calls with neither",
        ),
        pytest.param(
            [fragment("", name="f", id="x"), fragment('{"a"'), fragment(":1}")],
            [("f", '{"a":1}')],
            id="no index",
        ),
        pytest.param(
            [fragment('{"a"', name="f", id="x", index=0), fragment(":1}", name="f", id="x", index=0)],
            [("f", '{"a":1}')],
            id="id and name repeated",
        ),
        pytest.param(
            [fragment('{"a"', name="f", id="x", index=0), fragment(":1}", id="y", index=0)],
            [("f", '{"a":1}')],
            id="a new id for each piece",
        ),
        pytest.param(
            [fragment('{"a":1}', name="f", id="x", index=0), fragment('{"b":2}', name="g", id="y", index=0)],
            [("f", '{"a":1}'), ("g", '{"b":2}')],
            id="two calls share index 0",
        ),
        pytest.param(
            [fragment("", name="f", id="x", index=0), fragment("", name="f", id="y", index=0)],
            [("f", "{}"), ("f", "{}")],
            id="two empty calls share index 0",
        ),
        pytest.param(
            [fragment('{"a":1}', name="f", id="x", index=0), fragment('{"b":2}', name="f", id="x", index=1)],
            [("f", '{"a":1}'), ("f", '{"b":2}')],
            id="two calls share an id",
        ),
        pytest.param(
            [fragment('{"a":1}', name="f", id="x", index=0), fragment('{"b":2}', name="f", id="x", index=0)],
            [("f", '{"a":1}'), ("f", '{"b":2}')],
            id="two calls share id and index",
        ),
        pytest.param(
            [
                fragment("", name="f", id="x", index=0),
                fragment("", name="g", id="y", index=1),
                fragment('{"b"', index=1),
                fragment('{"a"', index=0),
                fragment(":2}", index=1),
                fragment(":1}", index=0),
            ],
            [("f", '{"a":1}'), ("g", '{"b":2}')],
            id="interleaved",
        ),
        pytest.param(
            [fragment("{}", name="f", id="x", index=0), fragment('{"a":1}', index=0)],
            [("f", '{"a":1}')],
            id="a placeholder first",
        ),
        pytest.param([fragment("{}", name="f", id="x", index=0)], [("f", "{}")], id="empty object"),
        pytest.param([fragment("null", name="f", id="x", index=0)], [("f", "{}")], id="null"),
        pytest.param(
            [fragment("", name="f", id="x", index=0), fragment("", name="f", id="x", index=0)],
            [("f", "{}")],
            id="nothing, twice",
        ),
        pytest.param(
            [fragment('{"a":1}', name="f", id="x", index=0), fragment("", name="f", id="x", index=0)],
            [("f", '{"a":1}')],
            id="an empty piece at the end",
        ),
        pytest.param(
            [fragment(id="x", index=0), fragment(name="f", index=0), fragment('{"a":1}', index=0)],
            [("f", '{"a":1}')],
            id="the name after the id",
        ),
        pytest.param(
            [
                delta({"function_call": {"name": "f", "arguments": ""}}),
                delta({"function_call": {"arguments": '{"a":1}'}}),
            ],
            [("f", '{"a":1}')],
            id="the legacy shape",
        ),
        pytest.param(
            [fragment('{"a": tru', name="f", index=0)], [("f", '{"a": tru')], id="what the model wrote"
        ),
    ],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop", "function_call"])
async def test_sloppy_tool_calls_are_understood(
    fake: FakeOpenAI, llm: Llm, fragments: list[bytes], calls: list[tuple[str, str]], finish: str
) -> None:
    fake.chat.script(stream(*fragments, delta(finish=finish), DONE))

    events = await collect(llm, ASK_WITH_TOOLS)

    assert calls_of(events) == calls
    assert finish_of(events).reason == "tool_calls"


async def test_a_call_without_a_name_is_a_bad_answer(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(stream(fragment('{"a":1}', id="x", index=0), delta(finish="stop"), DONE))

    with pytest.raises(BadAnswerError, match="without a name"):
        await collect(llm)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("eos", "stop"),
        ("SAFETY", "content_filter"),
        ("MAX_TOKENS", "length"),
    ],
)
async def test_finish_reasons_are_translated(fake: FakeOpenAI, llm: Llm, finish: str, reason: str) -> None:
    fake.chat.script(ChatReply(text="x", finish=finish))

    assert finish_of(await collect(llm)).reason == reason


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([b": OPENROUTER PROCESSING\n\n", b":\n\n"], id="comments"),
        pytest.param([frame({"choices": [], "prompt_filter_results": []})], id="a chunk without choices"),
        pytest.param([delta({"reasoning_content": "hmm", "content": None})], id="deepseek's reasoning"),
        pytest.param([delta({"reasoning": "hmm", "content": ""})], id="openrouter's reasoning"),
        pytest.param([delta({"content": "<think>hmm</think>\n\n"})], id="a think block"),
        pytest.param(
            [delta({"content": "<th"}), delta({"content": "ink>a</thi"}), delta({"content": "nk>"})], id="cut"
        ),
        pytest.param([delta({"content": "\n<thinking>a < b\n</thinking>\n"})], id="thinking"),
        pytest.param(
            [frame({"choices": [{"index": 1, "delta": {"content": "other"}}]})], id="another choice"
        ),
        pytest.param([delta({"content": [{"type": "thinking", "thinking": []}]})], id="mistral's thinking"),
        pytest.param([b"event: message\r\nid: 1\r\nretry: 5\r\n\r\n"], id="other fields"),
    ],
)
async def test_what_is_not_the_answer_is_not_spoken(fake: FakeOpenAI, llm: Llm, extra: list[bytes]) -> None:
    fake.chat.script(stream(*extra, delta({"content": "spoken"}), delta(finish="stop"), DONE))

    assert text_of(await collect(llm)) == "spoken"


async def test_a_think_block_that_never_ends_is_not_spoken(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(ChatReply(text="<think>on and on", finish="length"))

    events = await collect(llm)

    assert text_of(events) == ""
    assert finish_of(events).reason == "length"


@given(st.data())
def test_the_think_filter_gives_the_same_text_wherever_it_is_cut(data: st.DataObject) -> None:
    text, spoken = data.draw(
        st.sampled_from(
            [
                ("plain a < b text", "plain a < b text"),
                ("<think>x</think> y <b>z</b> <", "y <b>z</b> <"),
                ("\n<think>\nx < y </b>\n</think>\n\nanswer <think>z</think>end", "answer end"),
                ("lost opening</think>rest", "lost openingrest"),
                ("a <thin", "a <thin"),
                ("<think><think>x</think>", ""),
            ]
        )
    )
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    borders = [0, *cuts, len(text)]
    think = ThinkFilter()

    out = "".join(think.feed(text[start:end]) for start, end in itertools.pairwise(borders))

    assert out + think.flush() == spoken


async def test_text_parts_and_refusals_are_spoken(fake: FakeOpenAI, llm: Llm) -> None:
    parts = [{"type": "text", "text": "from "}, {"type": "text", "text": "parts"}]
    fake.chat.script(stream(delta({"content": parts}), delta({"refusal": " no"}), delta(finish="stop"), DONE))

    assert text_of(await collect(llm)) == "from parts no"


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}


@pytest.mark.parametrize("usage", [{"usage": USAGE}, {"x_groq": {"usage": USAGE}}])
async def test_the_last_usage_counts(fake: FakeOpenAI, llm: Llm, usage: dict[str, Any]) -> None:
    early = frame({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})
    fake.chat.script(
        stream(
            early,
            delta({"content": "x"}, "stop"),
            frame({"choices": [], **usage}),
            frame({"choices": []}),
            DONE,
        )
    )

    assert finish_of(await collect(llm)).usage == LlmUsage(9, 4, 5)


async def test_usage_may_be_missing(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(stream(delta({"content": "x"}, "stop"), DONE))

    assert finish_of(await collect(llm)).usage is None


async def test_a_server_that_does_not_stream_is_understood(fake: FakeOpenAI, llm: Llm) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "clock", "arguments": ""}}
    message = {"role": "assistant", "content": "whole", "tool_calls": [call]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    fake.chat.script(Reply((json.dumps(body).encode(),)))

    events = await collect(llm, ASK_WITH_TOOLS)

    assert text_of(events) == "whole"
    assert calls_of(events) == [("clock", "{}")]


# --- Ends that are no ends ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param([], id="the end of the body"),
        pytest.param([CUT], id="a cut"),
        pytest.param([HANG], id="a stall"),
    ],
)
async def test_a_complete_answer_needs_no_done(fake: FakeOpenAI, llm: Llm, tail: list[Step]) -> None:
    fake.chat.script(stream(delta({"content": "all"}), delta(finish="stop"), *tail))

    events = await collect(llm)

    assert text_of(events) == "all"
    assert finish_of(events).reason == "stop"


async def test_done_needs_no_finish_reason(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(stream(delta({"content": "all"}), DONE))

    assert finish_of(await collect(llm)).reason == "stop"


async def test_the_last_line_needs_no_end(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.script(stream(delta({"content": "all"}), b"data: [DONE]"))

    assert text_of(await collect(llm)) == "all"


@pytest.mark.parametrize(
    ("steps", "kind", "message"),
    [
        pytest.param([delta({"content": "x"})], ConnectionFailedError, "broke off", id="no finish, no DONE"),
        pytest.param([], ConnectionFailedError, "broke off", id="nothing"),
        pytest.param([DONE], BadAnswerError, "empty answer", id="only DONE"),
        pytest.param([delta({"content": "x"}), CUT], ConnectionFailedError, "broke off", id="cut"),
        pytest.param(
            [delta({"content": "x"})[:20], CUT], ConnectionFailedError, "broke off", id="cut in a frame"
        ),
        pytest.param([delta({"content": "x"}), HANG], TimedOutError, "stopped answering", id="stall"),
        pytest.param([frame("{not json")], BadAnswerError, "not JSON", id="garbage"),
        pytest.param([frame("[]")], BadAnswerError, "not an object", id="not an object"),
        pytest.param(
            [delta({"content": "x"}), frame({"error": {"message": "Boom", "type": "server_error"}})],
            OverloadedError,
            "Boom",
            id="an error inside",
        ),
        pytest.param(
            [frame([{"error": {"message": "Quota", "code": 429}}])],
            RateLimitError,
            "Quota",
            id="google's list",
        ),
        pytest.param(
            [frame({"choices": [{"error": {"message": "Nope", "code": 502}, "finish_reason": "error"}]})],
            OverloadedError,
            "Nope",
            id="an error in the choice",
        ),
        pytest.param([delta({"content": "x"}, "error"), DONE], OverloadedError, "failed", id="finish error"),
    ],
)
async def test_a_stream_that_breaks_says_how(
    fake: FakeOpenAI, llm: Llm, steps: list[Step], kind: type[ProviderError], message: str
) -> None:
    fake.chat.script(stream(*steps))

    with pytest.raises(kind, match=message):
        await collect(llm)

    assert text_of(await collect(llm)) == "Hello from the fake model.", "the next request works"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (rate_limited(2.5), RateLimitError),
        (error(500, "Boom", kind="server_error"), OverloadedError),
        (error(404, "The model `small` does not exist", code="model_not_found"), InvalidRequestError),
        (error(400, "Too long", code="context_length_exceeded", param="messages"), ContextTooLongError),
        (error(400, "This model's maximum context length is 8192 tokens."), ContextTooLongError),
        (error(400, "the request exceeds the available context size"), ContextTooLongError),
        (error(400, "prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLongError),
        (error(400, "The input token count (9) exceeds the maximum number (8)."), ContextTooLongError),
        (error(413, "Please reduce the length of the messages."), ContextTooLongError),
        (Reply((b"<html>sorry</html>",), 503, "text/html"), OverloadedError),
        (Reply((b"<html>hello</html>",), 200, "text/html"), BadAnswerError),
        (Reply((b'{"error": {"message": "late", "code": 429}}',)), RateLimitError),
        (Reply((b'{"choices": []}',)), BadAnswerError),
        (Reply((b"{",)), BadAnswerError),
    ],
)
async def test_refusals_are_told_apart(
    fake: FakeOpenAI, llm: Llm, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.chat.script(reply)

    with pytest.raises(kind):
        await collect(llm)


async def test_a_refused_key_is_not_repeated(fake: FakeOpenAI) -> None:
    wrong = "sk-wrong-0123456789"
    provider = OpenAICompatibleProvider(ProviderSettings("lab", {"base_url": fake.base_url}, wrong))

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm("small"))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: Incorrect API key provided: [key]."
    assert caught.value.provider == "lab"


# --- The request -------------------------------------------------------------------------------------


async def test_a_whole_conversation_is_accepted_by_the_api(fake: FakeOpenAI, llm: Llm) -> None:
    calls = (ToolCall("c1", "weather", '{"city": "Oslo"}'), ToolCall("c2", "clock", ""))
    request = LlmRequest(
        (
            SystemMessage("Be brief."),
            UserMessage((TextPart("look"), TextPart("here"))),
            AssistantMessage(),
            AssistantMessage("Let me see.", calls),
            ToolMessage("c1", "weather", "rain"),
            ToolMessage("c2", "clock", "noon"),
            AssistantMessage("Rain at noon."),
            UserMessage((TextPart("and this?"), ImagePart("data:image/png;base64,AA==", "low"))),
        ),
        (WEATHER, CLOCK),
        NamedToolChoice("clock"),
        parallel_tool_calls=False,
        temperature=0.5,
        max_output_tokens=40,
        reasoning_effort="minimal",
    )

    await collect(llm, request)

    body = fake.chat.requests[0].body
    assert body == {
        "model": "small",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 40,
        "reasoning_effort": "minimal",
        "tool_choice": {"type": "function", "function": {"name": "clock"}},
        "parallel_tool_calls": False,
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "Says it", "parameters": WEATHER.parameters},
            },
            {
                "type": "function",
                "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}},
            },
        ],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "look here"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                    },
                    {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": "noon"},
            {"role": "assistant", "content": "Rain at noon."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
                    },
                ],
            },
        ],
    }


async def test_a_model_that_is_said_to_see_nothing_reads_a_note_in_place_of_an_image(
    fake: FakeOpenAI,
) -> None:
    blind = OpenAICompatibleProvider(
        ProviderSettings("lab", {"base_url": fake.base_url, "vision": False}, KEY)
    )
    question = UserMessage((TextPart("What is this?"), ImagePart("data:image/png;base64,AA==")))

    await collect(blind.llm("small"), LlmRequest((question,)))
    await blind.aclose()

    content = fake.chat.requests[0].body["messages"][0]["content"]
    assert content == f"What is this? {BLIND_NOTE}"


def test_tool_options_go_out_with_tools_only() -> None:
    request = LlmRequest(ASK.messages, (), "required", parallel_tool_calls=True)

    body = chat_body(request, "small")

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


@pytest.mark.parametrize("choice", ["none", "required"])
def test_tool_choice_words_go_out_as_they_are(choice: Any) -> None:
    assert chat_body(LlmRequest(ASK.messages, (CLOCK,), choice), "small")["tool_choice"] == choice


async def test_refused_parameters_are_left_out_once_and_for_all(fake: FakeOpenAI, llm: Llm) -> None:
    optional = {"temperature", "stream_options", "parallel_tool_calls", "reasoning_effort"}
    fake.unsupported = {"max_tokens", *optional}
    request = LlmRequest(
        ASK.messages,
        (CLOCK,),
        parallel_tool_calls=True,
        temperature=0.1,
        max_output_tokens=5,
        reasoning_effort="low",
    )

    first = await collect(llm, request)
    attempts = len(fake.chat.requests)
    await collect(llm, request)

    assert text_of(first) == "Hello from the fake model."
    assert attempts == 6
    assert len(fake.chat.requests) == 7, "what was learned is remembered"
    assert fake.chat.requests[-1].body["max_completion_tokens"] == 5
    assert not fake.unsupported & fake.chat.requests[-1].body.keys()


async def test_a_parameter_refused_under_both_names_is_an_error(fake: FakeOpenAI, llm: Llm) -> None:
    fake.unsupported = {"max_tokens", "max_completion_tokens"}

    with pytest.raises(InvalidRequestError, match="max_completion_tokens"):
        await collect(llm, LlmRequest(ASK.messages, max_output_tokens=5))


async def test_parallel_requests_do_not_wait_for_each_other(fake: FakeOpenAI, llm: Llm) -> None:
    fake.chat.default = ChatReply(text="one two three", pace_s=0.02)

    answers = await asyncio.gather(*(collect(llm) for _ in range(20)))

    assert {text_of(events) for events in answers} == {"one two three"}
    assert fake.chat.most_active == 20
