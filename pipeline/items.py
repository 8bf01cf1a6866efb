"""Conversation items and their content parts, as immutable values."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from providers.tools.contracts import FailureKind, RemoteTool

__all__ = [
    "ContentPart",
    "FunctionCall",
    "FunctionCallOutput",
    "InputAudio",
    "InputImage",
    "InputText",
    "Item",
    "ItemReference",
    "ItemStatus",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpListTools",
    "MessageItem",
    "OutputAudio",
    "OutputText",
    "Role",
    "ToolFailure",
    "call_of",
    "size_of",
    "words_of",
]

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class InputText:
    text: str


@dataclass(frozen=True, slots=True)
class InputAudio:
    """Speech of the user. `transcript` is None until it is known."""

    transcript: str | None = None
    # PCM16 mono at the session's input rate. Only filled while the part travels inside a command or an
    # answer to `retrieve`: the conversation itself holds no audio.
    pcm: bytes = field(default=b"", repr=False)
    # A recording as the client sent it: a file, or samples in the session's input format. `Session.receive`
    # makes `pcm` of it.
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class InputImage:
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class OutputText:
    text: str


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """Speech of the assistant. `pcm` is filled as in `InputAudio`, at the session's output rate."""

    transcript: str
    pcm: bytes = field(default=b"", repr=False)


ContentPart = InputText | InputAudio | InputImage | OutputText | OutputAudio


@dataclass(frozen=True, slots=True)
class MessageItem:
    id: str
    role: Role
    content: tuple[ContentPart, ...]
    status: ItemStatus = "completed"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    id: str
    call_id: str
    name: str
    arguments: str  # JSON text as the model wrote it
    status: ItemStatus = "completed"
    state: str = field(default="", repr=False)  # what the model's maker wants back; no client sees it


@dataclass(frozen=True, slots=True)
class FunctionCallOutput:
    id: str
    call_id: str
    output: str
    status: ItemStatus = "completed"


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a tool that the server ran has no output."""

    kind: FailureKind
    message: str
    code: int = 0  # of JSON-RPC, or the HTTP status


@dataclass(frozen=True, slots=True)
class McpListTools:
    """What one MCP server offers; the list is empty until it is known."""

    id: str
    label: str
    tools: tuple[RemoteTool, ...] = ()
    error: str | None = None  # why there is no list


@dataclass(frozen=True, slots=True)
class McpCall:
    """A call that the server makes itself; it runs while it has neither an output nor an error."""

    id: str
    label: str
    name: str
    arguments: str  # JSON text as the model wrote it
    output: str | None = None
    error: ToolFailure | None = None
    approval_request_id: str | None = None
    state: str = field(default="", repr=False)  # as in `FunctionCall`


@dataclass(frozen=True, slots=True)
class McpApprovalRequest:
    """The model wants to make this call, and the client has to agree."""

    id: str
    label: str
    name: str
    arguments: str
    state: str = field(default="", repr=False)  # as in `FunctionCall`


@dataclass(frozen=True, slots=True)
class McpApprovalResponse:
    id: str
    request_id: str
    approve: bool
    reason: str | None = None


Item = (
    MessageItem
    | FunctionCall
    | FunctionCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
)


def call_of(item: Item) -> Hashable | None:
    """What a call has in common with its output, or with the question whether it may be made; else None."""
    match item:
        case FunctionCall() | FunctionCallOutput():
            return "call", item.call_id
        case McpApprovalRequest():
            return "approval", item.id
        case McpApprovalResponse():
            return "approval", item.request_id
        case McpCall(approval_request_id=str() as request_id):
            return "approval", request_id
    return None


def words_of(item: MessageItem) -> Iterator[str]:
    """The text of each part, written or spoken; what is not transcribed yet is empty."""
    for part in item.content:
        match part:
            case InputText(text) | OutputText(text):
                yield text
            case InputAudio(transcript) | OutputAudio(transcript):
                yield transcript or ""


def size_of(item: Item) -> int:
    """What the item holds, in characters of text and of images' data."""
    match item:
        case FunctionCall():
            return len(item.name) + len(item.arguments)
        case FunctionCallOutput():
            return len(item.output)
        case MessageItem():
            return sum(map(_size_of_part, item.content))
        case McpListTools():
            return sum(len(tool.name) + len(str(tool.input_schema)) for tool in item.tools)
        case McpCall():
            return len(item.name) + len(item.arguments) + len(item.output or "")
        case McpApprovalRequest():
            return len(item.name) + len(item.arguments)
        case McpApprovalResponse():
            return len(item.reason or "")


def _size_of_part(part: ContentPart) -> int:
    match part:
        case InputText(text) | OutputText(text):
            return len(text)
        case InputImage(url):
            return len(url)
        case InputAudio(transcript) | OutputAudio(transcript):
            return len(transcript or "")


@dataclass(frozen=True, slots=True)
class ItemReference:
    """Stands for a conversation item inside the `input` of a response; never part of a conversation."""

    id: str
