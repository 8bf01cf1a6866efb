"""Conversations such as sessions produce, of every order that the contract allows."""

from collections.abc import Sequence

from hypothesis import strategies as st

from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
    LlmRequest,
    Message,
    NamedToolChoice,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

__all__ = ["requests"]

TOOLS = (
    FunctionTool("clock"),
    FunctionTool("weather", "Says it", {"type": "object", "properties": {"a": {}}}),
)

_texts = st.sampled_from(["", " ", "\n", "Hello.", "[1]", "世界"])
_arguments = st.sampled_from(["", "{}", '{"city": "Oslo"}', "[1]", "no JSON", "null"])
_outputs = st.sampled_from(["", " ", "noon", '{"hour": 12}', "[]", "null"])
_images = st.sampled_from([ImagePart("data:image/png;base64,AA=="), ImagePart("https://x.example/y")])


def requests(states: Sequence[str]) -> st.SearchStrategy[LlmRequest]:
    """Requests whose calls carry one of these states."""
    return st.builds(
        LlmRequest,
        st.lists(_rounds(states), max_size=6).map(_joined),
        st.sampled_from([(), TOOLS]),
        st.sampled_from(["auto", "none", "required", NamedToolChoice("clock")]),
        st.sampled_from([None, False, True]),
        st.sampled_from([None, 0.0, 2.0]),
        st.sampled_from([None, 1, 5_000]),
        st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh"]),
        st.sampled_from([None, 0.5]),
        st.sampled_from([None, 0.5]),
        st.sampled_from([None, -0.5]),
        st.sampled_from([(), ("END", " ", ""), ("a", "b", "c", "d", "e", "f")]),
    )


def _rounds(states: Sequence[str]) -> st.SearchStrategy[tuple[Message, ...]]:
    """One message, or calls with their results."""
    parts = st.lists(st.one_of(_texts.map(TextPart), _images), max_size=2).map(tuple)
    return st.one_of(
        _texts.map(lambda text: (SystemMessage(text),)),
        parts.map(lambda parts: (UserMessage(parts),)),
        _texts.map(lambda text: (AssistantMessage(text),)),
        st.builds(
            _called,
            _texts,
            st.lists(st.tuples(_arguments, st.sampled_from(states), _outputs), min_size=1, max_size=3),
        ),
    )


def _called(text: str, calls: list[tuple[str, str, str]]) -> tuple[Message, ...]:
    made = tuple(
        ToolCall(f"call:{at}", TOOLS[at % 2].name, arguments, state)
        for at, (arguments, state, _) in enumerate(calls)
    )
    results = (
        ToolMessage(call.id, call.name, output) for call, (*_, output) in zip(made, calls, strict=True)
    )
    return (AssistantMessage(text, made), *results)


def _joined(rounds: list[tuple[Message, ...]]) -> tuple[Message, ...]:
    return tuple(message for messages in rounds for message in messages)
