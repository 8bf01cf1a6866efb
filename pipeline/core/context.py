"""Turns conversation items into the messages that a language model reads."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    MessageItem,
    OutputAudio,
    OutputText,
    ToolFailure,
)
from pipeline.tools import safe_name
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

_PENDING_APPROVAL = "This call waits for the user's approval and has not been made yet."

# Estimates, for providers that do not count and for what has not been counted yet.
_MESSAGE_TOKENS = 4  # for the role and the borders of each message
_LOW_IMAGE_TOKENS = 85  # OpenAI's price of an image at low detail
_HIGH_IMAGE_TOKENS = 800  # between 765, a square at OpenAI, and what larger ones cost there and elsewhere


def build_messages(instructions: str, items: Sequence[Item]) -> tuple[Message, ...]:
    """The request's messages: instructions first, then the items in order.

    Outputs move directly behind the calls that they answer, calls in a row are gathered in one message, and
    calls that were cut off while they were written are left out. To the model a call is a call, whoever runs
    the tool.
    """
    outputs = _outputs(items)
    made = {item.approval_request_id for item in items if isinstance(item, McpCall)}
    messages: list[Message] = [SystemMessage(instructions)] if instructions else []
    calls: list[ToolCall] = []
    for item in items:
        match item:
            case FunctionCall():
                if item.status == "completed":
                    calls.append(ToolCall(item.call_id, item.name, item.arguments, item.state))
                continue
            case McpCall():
                calls.append(ToolCall(item.id, safe_name(item.name), item.arguments, item.state))
                continue
            case McpApprovalRequest():
                if item.id not in made:
                    calls.append(ToolCall(item.id, safe_name(item.name), item.arguments, item.state))
                continue
            case McpListTools() | McpApprovalResponse():
                continue
        # Also an output ends a round of calls: the next call was made in the knowledge of it.
        _add_calls(messages, calls, outputs)
        calls = []
        if isinstance(item, MessageItem) and (message := _message(item)) is not None:
            messages.append(message)
    _add_calls(messages, calls, outputs)
    return tuple(messages)


def _outputs(items: Iterable[Item]) -> dict[str, str]:
    """What came of the calls, as far as that is known, by the ids that the model knows them by."""
    outputs = {}
    for item in items:
        match item:
            case FunctionCallOutput():
                outputs[item.call_id] = item.output
            case McpCall(error=ToolFailure() as failure):
                outputs[item.id] = f"The tool failed: {failure.message}"
            case McpCall(output=str() as output):
                outputs[item.id] = output
            case McpApprovalRequest():
                outputs.setdefault(item.id, _PENDING_APPROVAL)
            case McpApprovalResponse(approve=False):
                reason = f" Their reason: {item.reason}" if item.reason else ""
                outputs[item.request_id] = f"The user did not allow this call, so it was not made.{reason}"
    return outputs


def _add_calls(messages: list[Message], calls: Sequence[ToolCall], outputs: Mapping[str, str]) -> None:
    if not calls:
        return
    # What the model said before it called is part of the same message.
    said = messages.pop() if messages and isinstance(messages[-1], AssistantMessage) else AssistantMessage()
    assert isinstance(said, AssistantMessage)
    messages.append(AssistantMessage(said.text, tuple(calls)))
    messages.extend(ToolMessage(call.id, call.name, outputs.get(call.id, _PENDING_OUTPUT)) for call in calls)


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
        case McpCall():
            told = item.output or (item.error.message if item.error is not None else "")
            return 2 * _MESSAGE_TOKENS + sum(map(text_tokens, (item.name, item.arguments, told)))
        case McpApprovalRequest():
            return _MESSAGE_TOKENS + text_tokens(item.name) + text_tokens(item.arguments)
        case McpApprovalResponse():
            return _MESSAGE_TOKENS + text_tokens(item.reason or "")
        case McpListTools():
            return 0  # its tools count as tools


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
