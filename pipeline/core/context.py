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

__all__ = [
    "build_messages",
    "item_tokens",
    "message_tokens",
    "request_tokens",
    "text_tokens",
    "tools_tokens",
]

# A model must see an output behind every call, or providers refuse the whole request. A user who speaks
# before the client has answered a call gets a reply that knows the call is still running.
_PENDING_OUTPUT = "The result is not available yet."

# Estimates, for providers that do not count and for what has not been counted yet.
_MESSAGE_TOKENS = 4  # for the role and the borders of each message
_LOW_IMAGE_TOKENS = 85  # OpenAI's price of an image at low detail
_HIGH_IMAGE_TOKENS = 800  # between 765, a square at OpenAI, and what larger ones cost there and elsewhere


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
    made = tuple(ToolCall(call.call_id, call.name, call.arguments, call.state) for call in calls)
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


def request_tokens(request: LlmRequest) -> int:
    """Roughly what a model would count for a whole request."""
    return sum(map(message_tokens, request.messages)) + tools_tokens(request.tools)


def message_tokens(message: Message) -> int:
    """Roughly what a model would count for one message."""
    match message:
        case SystemMessage(text):
            return _MESSAGE_TOKENS + text_tokens(text)
        case UserMessage(parts):
            return _MESSAGE_TOKENS + sum(map(_part_tokens, parts))
        case AssistantMessage(text, calls):
            called = sum(text_tokens(call.name) + text_tokens(call.arguments) for call in calls)
            return _MESSAGE_TOKENS + text_tokens(text) + called
        case ToolMessage():
            return _MESSAGE_TOKENS + text_tokens(message.output)


def item_tokens(item: Item) -> int:
    """Roughly what an item adds to the context."""
    match item:
        case MessageItem():
            message = _message(item)
            return 0 if message is None else message_tokens(message)
        case FunctionCall():
            return _MESSAGE_TOKENS + text_tokens(item.name) + text_tokens(item.arguments)
        case FunctionCallOutput():
            return _MESSAGE_TOKENS + text_tokens(item.output)


def tools_tokens(tools: Iterable[FunctionTool]) -> int:
    """Roughly what a model would count for the descriptions of its tools."""
    return sum(
        _MESSAGE_TOKENS
        + text_tokens(tool.name)
        + text_tokens(tool.description or "")
        + text_tokens(str(tool.parameters or ""))  # about as long as its JSON
        for tool in tools
    )


def text_tokens(text: str) -> int:
    """A token is about four bytes: four letters of English, or a character and a third of Chinese."""
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return -(-size // 4)


def _part_tokens(part: TextPart | ImagePart) -> int:
    if isinstance(part, ImagePart):
        return _LOW_IMAGE_TOKENS if part.detail == "low" else _HIGH_IMAGE_TOKENS
    return text_tokens(part.text)
