"""Conversation items as clients send them, and their translation to values of the pipeline."""

import re
from typing import Annotated, Any, Literal

import pybase64
from pydantic import Field, ValidationInfo, field_validator

from pipeline.errors import InvalidRequest
from pipeline.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ItemReference,
    McpApprovalResponse,
    McpCall,
    MessageItem,
    OutputText,
    ToolFailure,
)
from server.protocol.audio_models import bad_value
from server.protocol.profiles import PARLEY, Profile, is_strict
from server.protocol.validation import WireModel, missing

__all__ = ["AnyItem", "InputEntry", "decode_audio", "item_value"]

ItemId = Annotated[str, Field(min_length=1, max_length=32)]
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_PARTS = 256
_IMAGE_URI = re.compile(r"data:image/(png|jpe?g);base64,")
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

# What each role may say: by OpenAI's protocol, and beyond it. The short names are those of the beta dialect
# and of retrieved items; speech of the assistant is what a client replays of an earlier conversation.
_PART_TYPES = {
    "system": {"input_text"},
    "user": {"input_text", "input_audio", "input_image"},
    "assistant": {"output_text"},
}
_MORE_PART_TYPES = {"system": {"text"}, "user": {"text"}, "assistant": {"text", "output_audio", "audio"}}
_ROLES = ("system", "user", "assistant")


class WirePart(WireModel):
    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio", "text", "audio"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: Literal["auto", "low", "high"] | None = None


class WireItem(WireModel):
    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None  # has no effect on the model


class WireMessage(WireItem):
    type: Literal["message"]
    role: Literal["system", "user", "assistant"]
    content: list[WirePart] = Field(max_length=_MAX_PARTS)

    @field_validator("role", mode="before")
    @classmethod
    def _known_role(cls, value: Any, info: ValidationInfo) -> Any:
        # Inworld's messages of the role tool are notes for the model that answer no call.
        if value == "tool":
            if is_strict(info.context):
                raise bad_value(value, list(_ROLES))
            return "system"
        return value


class WireFunctionCall(WireItem):
    type: Literal["function_call"]
    name: str = Field(min_length=1, max_length=64)
    arguments: str
    call_id: str | None = Field(None, min_length=1, max_length=32)


class WireFunctionCallOutput(WireItem):
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=32)
    output: str


class WireApprovalResponse(WireItem):
    type: Literal["mcp_approval_response"]
    approval_request_id: ItemId
    approve: bool
    reason: str | None = Field(None, max_length=4096)


class WireToolFailure(WireModel):
    type: Literal["protocol_error", "tool_execution_error", "http_error"]
    message: str
    code: int = 0


class WireMcpCall(WireItem):
    """Of an earlier conversation, which a client replays: it is not made again."""

    type: Literal["mcp_call"]
    server_label: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=256)
    arguments: str
    output: str | None = None
    error: WireToolFailure | None = None
    approval_request_id: str | None = Field(None, max_length=64)


class WireReference(WireModel):
    type: Literal["item_reference"]
    id: ItemId


_Created = WireMessage | WireFunctionCall | WireFunctionCallOutput | WireMcpCall | WireApprovalResponse
AnyItem = Annotated[_Created, Field(discriminator="type")]
InputEntry = Annotated[_Created | WireReference, Field(discriminator="type")]


def item_value(item: Any, path: str, max_bytes: int, profile: Profile = PARLEY) -> Item | ItemReference:
    """The item as the pipeline knows it, its id empty when the client chose none.

    `path` is its place in the client event, for `param` in errors; `max_bytes` is for each recording and each
    image.
    """
    match item:
        case WireReference():
            return ItemReference(item.id)
        case WireFunctionCall():
            if item.call_id is not None:
                _check_call_id(item.call_id, path)
            return FunctionCall(item.id or "", item.call_id or "", item.name, item.arguments)
        case WireFunctionCallOutput():
            _check_call_id(item.call_id, path)
            return FunctionCallOutput(item.id or "", item.call_id, item.output)
        case WireApprovalResponse():
            return McpApprovalResponse(item.id or "", item.approval_request_id, item.approve, item.reason)
        case WireMcpCall():
            failed = item.error
            failure = None if failed is None else ToolFailure(failed.type, failed.message, failed.code)
            output = item.output if item.output is not None or failure is not None else ""
            return McpCall(item.id or "", item.server_label, item.name, item.arguments, output, failure)
        case WireMessage():
            content = tuple(
                _part(part, item.role, f"{path}.content[{index}]", max_bytes, profile)
                for index, part in enumerate(item.content)
            )
            return MessageItem(item.id or "", item.role, content)
    raise AssertionError(item)


def _check_call_id(call_id: str, path: str) -> None:
    if not _CALL_ID.fullmatch(call_id):
        raise InvalidRequest(
            f"Invalid '{path}.call_id': only letters, digits, '_' and '-' are allowed.",
            param=f"{path}.call_id",
        )


def _part(part: WirePart, role: str, path: str, max_bytes: int, profile: Profile) -> ContentPart:
    understood = _PART_TYPES[role] if profile.strict else _PART_TYPES[role] | _MORE_PART_TYPES[role]
    if part.type not in understood:
        supported = ", ".join(f"'{name}'" for name in sorted(understood))
        raise InvalidRequest(
            f"Invalid value: '{part.type}'. Supported values for role '{role}' are: {supported}.",
            param=f"{path}.type",
        )
    match part.type:
        case "input_audio":
            if part.audio is None and part.transcript is None:
                raise missing(f"{path}.audio")
            data = decode_audio(part.audio or "", f"{path}.audio", max_bytes)
            return InputAudio(part.transcript, data=data)
        case "input_image":
            return InputImage(_image(part.image_url, f"{path}.image_url", max_bytes), part.detail or "auto")
        case "output_audio" | "audio":
            # History that a client replays: only the words matter to the model.
            if part.transcript is None:
                raise missing(f"{path}.transcript")
            return OutputText(part.transcript)
        case _:
            if part.text is None:
                raise missing(f"{path}.text")
            return OutputText(part.text) if role == "assistant" else InputText(part.text)


def _image(url: str | None, param: str, max_bytes: int) -> str:
    """The data URI itself, which is what models are sent, once it is known to hold an image."""
    if url is None:
        raise missing(param)
    head = _IMAGE_URI.match(url)
    data = _decode(url[head.end() :], param, max_bytes, "image") if head else b""
    if not data.startswith(_IMAGE_STARTS):
        raise InvalidRequest(
            f"Invalid '{param}': expected a base64 data URI of a PNG or JPEG image, such as "
            "'data:image/png;base64,...'.",
            param=param,
        )
    return url


def decode_audio(text: Any, param: str, max_bytes: int) -> bytes:
    """The bytes behind base64; raises `InvalidRequest` for anything else. Their format is the session's."""
    if not isinstance(text, str):
        raise InvalidRequest(
            f"Invalid type for '{param}': expected a base64 string.", code="invalid_type", param=param
        )
    return _decode(text, param, max_bytes, "audio")


def _decode(text: str, param: str, max_bytes: int, what: str) -> bytes:
    too_large = InvalidRequest(
        f"Invalid '{param}': the {what} is larger than {max_bytes} bytes. Send less at once.",
        code="string_above_max_length",
        param=param,
    )
    if len(text) // 4 * 3 > max_bytes + 3:  # not worth decoding
        raise too_large
    try:
        data = pybase64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidRequest(f"Invalid '{param}': not valid base64.", param=param) from None
    if len(data) > max_bytes:
        raise too_large
    return data
