"""The messages that a model reads: whatever the conversation holds, providers accept them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.context import build_messages, item_tokens, message_tokens, request_tokens
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    MessageItem,
    OutputAudio,
)
from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
    LlmRequest,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from tests.chance import examples


def test_parts_are_kept_apart_for_the_user_and_joined_for_the_others() -> None:
    user = MessageItem(
        "u", "user", (InputText("Look"), InputImage("data:x", "high"), InputAudio("and listen"), InputAudio())
    )
    system = MessageItem("s", "system", (InputText("Be"), InputText("good.")))

    assert build_messages("", [user, system]) == (
        UserMessage((TextPart("Look"), ImagePart("data:x", "high"), TextPart("and listen"))),
        SystemMessage("Be good."),
    )


def test_messages_without_a_word_are_left_out() -> None:
    items = [
        MessageItem("a", "user", ()),
        MessageItem("b", "user", (InputAudio(None),)),
        MessageItem("c", "assistant", (OutputAudio(""),)),
    ]

    assert build_messages("", items) == ()


def test_what_was_said_before_a_call_belongs_to_it() -> None:
    items: list[Item] = [
        MessageItem("m", "assistant", (OutputAudio("Let me look."),)),
        FunctionCall("f", "c", "weather", "{}"),
        FunctionCallOutput("o", "c", "sunny"),
    ]

    assert build_messages("Hi", items) == (
        SystemMessage("Hi"),
        AssistantMessage("Let me look.", (ToolCall("c", "weather", "{}"),)),
        ToolMessage("c", "weather", "sunny"),
    )


def test_a_call_that_was_cut_off_is_left_out_with_its_output() -> None:
    items: list[Item] = [
        FunctionCall("f", "c", "weather", '{"ci', "incomplete"),
        FunctionCallOutput("o", "c", "sunny"),
    ]

    assert build_messages("", items) == ()


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        pytest.param(SystemMessage("12345678"), 6, id="a quarter of the letters"),
        pytest.param(SystemMessage("123456789"), 7, id="begun tokens count"),
        pytest.param(
            SystemMessage("\u4f60\u597d\u4f60\u597d"), 7, id="a character of three bytes is most of a token"
        ),
        pytest.param(SystemMessage("\ud83d"), 5, id="half a character"),
        pytest.param(UserMessage((TextPart("1234"), ImagePart("x" * 99_999))), 805, id="an image"),
        pytest.param(UserMessage((ImagePart("x", "high"), ImagePart("x", "low"))), 889, id="two images"),
        pytest.param(AssistantMessage("1234", (ToolCall("c", "5678", "90"),)), 7, id="a call"),
        pytest.param(ToolMessage("c", "weather", "sunny"), 6, id="an output"),
    ],
)
def test_tokens_are_estimated_message_by_message(message: Message, tokens: int) -> None:
    assert message_tokens(message) == tokens


def test_a_request_costs_its_messages_and_its_tools() -> None:
    tool = FunctionTool("look", "Looks", {"type": "object"})
    messages = (SystemMessage("Hi"), UserMessage((TextPart("Look"),)))

    assert request_tokens(LlmRequest(messages)) == 5 + 5
    assert request_tokens(LlmRequest(messages, (tool, FunctionTool("f")))) == 10 + (4 + 1 + 2 + 5) + (4 + 1)


def test_items_cost_what_their_messages_do() -> None:
    items: list[Item] = [
        MessageItem("m", "user", (InputText("12345678"), InputImage("data:x", "low"))),
        MessageItem("n", "assistant", (OutputAudio(""),)),
        FunctionCall("f", "c", "1234", "1234"),
        FunctionCallOutput("o", "c", "12345"),
    ]

    assert sum(map(item_tokens, items)) == sum(map(message_tokens, build_messages("", items)))


words = st.sampled_from(["", "one", "two"])
any_item: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        MessageItem,
        id=st.just("m"),
        role=st.sampled_from(["user", "system", "assistant"]),
        content=st.lists(st.builds(InputText, words) | st.builds(InputAudio, words), max_size=2).map(tuple),
    ),
    st.builds(
        FunctionCall,
        id=st.just("f"),
        call_id=st.sampled_from("abc"),
        name=st.just("f"),
        arguments=st.just("{}"),
        status=st.sampled_from(["completed", "incomplete"]),
    ),
    st.builds(FunctionCallOutput, id=st.just("o"), call_id=st.sampled_from("abc"), output=words),
)


@examples(200)
@given(words, st.lists(any_item, max_size=10))
def test_every_call_is_followed_by_its_outputs_and_no_message_is_empty(text: str, items: list[Item]) -> None:
    messages = list(build_messages(text, items))

    assert (messages[:1] == [SystemMessage(text)]) or not text
    while messages:
        message = messages.pop(0)
        assert not isinstance(message, ToolMessage), "an output without its call"
        if isinstance(message, AssistantMessage):
            assert message.text or message.tool_calls
            for call in message.tool_calls:
                answer = messages.pop(0)
                assert isinstance(answer, ToolMessage)
                assert answer.call_id == call.id
        elif isinstance(message, UserMessage):
            assert message.parts
