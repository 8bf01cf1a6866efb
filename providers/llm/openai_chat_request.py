"""The request of a chat completion: a conversation in the shape of OpenAI's messages."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from providers.contracts import (
    AssistantMessage,
    FunctionTool,
    ImagePart,
    LlmRequest,
    Message,
    NamedToolChoice,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)

__all__ = ["GO_ON", "STATE", "chat_body"]

GO_ON = "(Go on.)"  # said for the user where a model must not be the last to have spoken

STATE = "openai-compatible"  # the member of `ToolCall.state` that is ours

# Settings that go out under their own names, unless a server has another one.
_SETTINGS = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "reasoning_effort",
)


def chat_body(
    request: LlmRequest,
    model: str,
    max_tokens_field: str = "max_tokens",
    system_role: str = "system",
    setting_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON body of one request. `setting_names`: what a server calls settings, "" where it has none."""
    names = setting_names or {}
    messages = [wire for message in request.messages for wire in _message(message, system_role)]
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for name in _SETTINGS:
        if (value := getattr(request, name)) is not None and (own := names.get(name, name)):
            body[own] = value
    if request.logit_bias and (own := names.get("logit_bias", "logit_bias")):
        body[own] = dict(request.logit_bias)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.max_output_tokens is not None:
        body[max_tokens_field] = request.max_output_tokens
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice = request.tool_choice
        if isinstance(choice, NamedToolChoice):
            body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        elif choice != "auto":  # the default; some servers refuse to hear it
            body["tool_choice"] = choice
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _message(message: Message, system_role: str) -> Iterator[dict[str, Any]]:
    """The message on the wire, or nothing for one that says nothing."""
    match message:
        case SystemMessage():
            if message.text:
                yield {"role": system_role, "content": message.text}
        case UserMessage():
            if any(isinstance(part, ImagePart) for part in message.parts):
                yield {"role": "user", "content": [_part(part) for part in message.parts]}
            else:  # servers without vision often take strings only
                yield {"role": "user", "content": message.text}
        case AssistantMessage():
            wire: dict[str, Any] = {"role": "assistant", "content": message.text or None}
            if message.tool_calls:
                wire["tool_calls"] = [_call(call) for call in message.tool_calls]
                for call in message.tool_calls:
                    if reasoning := _state(call).get("reasoning_content"):
                        wire["reasoning_content"] = reasoning
                        break
            if message.text or message.tool_calls:
                yield wire
        case ToolMessage():
            yield {"role": "tool", "tool_call_id": message.call_id, "content": message.output}


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}}
    return {"type": "text", "text": part.text}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = dict(tool.parameters or {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    wire = {"id": call.id, "type": "function", "function": function}
    extra = _state(call).get("extra_content")
    return wire | ({"extra_content": extra} if extra else {})


def _state(call: ToolCall) -> Mapping[str, Any]:
    """What a server of our kind wanted back with its call; nothing for a call that another model made."""
    try:
        state = orjson.loads(call.state or "{}")
    except orjson.JSONDecodeError:
        return {}
    own = state.get(STATE) if isinstance(state, dict) else None
    return own if isinstance(own, dict) else {}
