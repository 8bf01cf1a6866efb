"""Turns conversation items into the messages that a language model reads."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    MessageItem,
    OutputAudio,
    OutputText,
)
from providers.contracts import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

__all__ = ["build_messages", "estimate_tokens"]

# A model must see an output behind every call, or providers refuse the whole request. A user who speaks
# before the client has answered a call gets a reply that knows the call is still running.
_PENDING_OUTPUT = "The result is not available yet."


def build_messages(instructions: str, items: Sequence[Item]) -> tuple[Message, ...]:
    """The request's messages: instructions first, then the items in order.

    Outputs move directly behind the calls that they answer, calls in a row are gathered in one message, and
    calls that were cut off while they were written are left out.
    """
    outputs = {item.call_id: item.output for item in items if isinstance(item, FunctionCallOutput)}
    messages: list[Message] = [SystemMessage(instructions)] if instructions else []
    calls: list[FunctionCall] = []
    for item in items:
        if isinstance(item, FunctionCall):
            if item.status == "completed":
                calls.append(item)
            continue
        # Also an output ends a round of calls: the next call was made in the knowledge of it.
        _add_calls(messages, calls, outputs)
        calls = []
        if isinstance(item, FunctionCallOutput):
            continue
        message = _message(item)
        if message is not None:
            messages.append(message)
    _add_calls(messages, calls, outputs)
    return tuple(messages)


def _add_calls(messages: list[Message], calls: Sequence[FunctionCall], outputs: Mapping[str, str]) -> None:
    if not calls:
        return
    # What the model said before it called is part of the same message.
    said = messages.pop() if messages and isinstance(messages[-1], AssistantMessage) else AssistantMessage()
    assert isinstance(said, AssistantMessage)
    made = tuple(ToolCall(id=call.call_id, name=call.name, arguments=call.arguments) for call in calls)
    messages.append(AssistantMessage(said.text, made))
    messages.extend(
        ToolMessage(call.call_id, call.name, outputs.get(call.call_id, _PENDING_OUTPUT)) for call in calls
    )


def _message(item: MessageItem) -> Message | None:
    """One message, or None where nothing is left to read, as after a truncation to nothing."""
    parts: list[TextPart | ImagePart] = []
    for part in item.content:
        match part:
            case InputText(text) | OutputText(text):
                parts.append(TextPart(text))
            case InputAudio() | OutputAudio():
                parts.append(TextPart(part.transcript or ""))
            case InputImage(url, detail):
                parts.append(ImagePart(url, detail))
    parts = [part for part in parts if isinstance(part, ImagePart) or part.text]
    if not parts:
        return None
    if item.role == "user":
        return UserMessage(tuple(parts))
    text = " ".join(part.text for part in parts if isinstance(part, TextPart))
    return SystemMessage(text) if item.role == "system" else AssistantMessage(text)


def estimate_tokens(messages: Iterable[Message]) -> int:
    """Roughly what a model would count, for providers that do not say: a token is about four letters."""
    letters = 0
    for message in messages:
        match message:
            case SystemMessage(text):
                letters += len(text)
            case UserMessage():
                letters += len(message.text)
            case AssistantMessage(text, calls):
                letters += len(text) + sum(len(call.name) + len(call.arguments) for call in calls)
            case ToolMessage():
                letters += len(message.output)
    return -(-letters // 4)
