"""The request of Anthropic's Messages: a conversation in the shape that the service insists on.

Turns alternate and begin and end with the user; the results of calls directly follow them, before any text;
texts are never blank. What was thought before a call goes back with its result, as it came, and not later:
newer models refuse thoughts about a conversation that has changed since, as one does with each barge-in.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
from providers.llm.claude_models import ClaudeModel
from providers.llm.data_uris import read_data_uri
from providers.llm.json_objects import read_object
from providers.llm.openai_chat_request import GO_ON

__all__ = ["STATE", "Shape", "messages_body"]

STATE = "anthropic"  # the member of `ToolCall.state` that is ours

BEGIN = "(The conversation begins.)"  # where there is nothing that the model could answer to

MIN_BUDGET = 1_024  # tokens; the service refuses less
_BUDGETS = {"low": 1_024, "medium": 4_096, "high": 8_192, "xhigh": 16_384}
_LEVELS = ("minimal", "low", "medium", "high", "xhigh")

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What may have to change for one request alone, after a refusal."""

    echoes: bool = True  # whether thoughts go back
    max_tokens: int | None = None  # room that is left beside a long conversation


def messages_body(
    request: LlmRequest, name: str, model: ClaudeModel, shape: Shape | None = None, *, caches: bool = False
) -> dict[str, Any]:
    """The JSON body of one request to the model of that name."""
    shape = shape or Shape()
    system, turns = _conversation(request, name, model, echoes=shape.echoes)
    limits = [request.max_output_tokens or model.max_tokens, model.max_tokens, shape.max_tokens]
    max_tokens = min(limit for limit in limits if limit is not None)
    body: dict[str, Any] = {"model": name, "max_tokens": max_tokens, "messages": turns, "stream": True}
    if system:
        body["system"] = system
    body |= _tools(request, model)
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    may_think = shape.echoes and not _lacks_thoughts(request.messages, name)
    body |= _thinking(request, model, max_tokens, forced=forced, may_think=may_think)
    if model.samples and body.get("thinking", {}).get("type") not in ("enabled", "adaptive"):
        if request.temperature is not None:
            body["temperature"] = min(request.temperature, 1.0)  # its scale ends there
        if request.top_p is not None and (model.samples_both or request.temperature is None):
            body["top_p"] = request.top_p
    if stop := [text for text in request.stop if text.strip()]:
        body["stop_sequences"] = stop
    if caches:
        body["cache_control"] = {"type": "ephemeral"}
    return body


# --- The conversation --------------------------------------------------------------------------------


def _conversation(
    request: LlmRequest, name: str, model: ClaudeModel, *, echoes: bool
) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt, and the turns."""
    messages = list(request.messages)
    leading = 0
    while leading < len(messages) and isinstance(messages[leading], SystemMessage):
        leading += 1
    texts = [message.text for message in messages[:leading] if isinstance(message, SystemMessage)]
    system = "\n\n".join(text for text in texts if text.strip())
    turns: list[tuple[str, list[Block]]] = []
    awaited = _awaited(request.messages) if echoes else len(messages)
    for at, message in enumerate(messages[leading:], leading):
        role, blocks = _turn(message, name, echoes=at >= awaited)
        if (
            turns
            and turns[-1][0] == role == "assistant"
            and any("thinking" in block["type"] for block in blocks)
        ):
            turns.append(("user", [_text(GO_ON)]))  # as it was when this was thought
        _add(turns, role, blocks)
    if request.tools and not model.forces_tools and (demand := _demand(request)):
        _add(turns, "system", [_text(demand)])
    turns = _place_system_turns(turns, allowed=model.system_turns)
    if not turns or turns[0][0] != "user":
        turns.insert(0, ("user", [_text(BEGIN)]))
    if turns[-1][0] == "assistant":
        turns.append(("user", [_text(GO_ON)]))
    return system, [{"role": role, "content": blocks} for role, blocks in turns]


def _add(turns: list[tuple[str, list[Block]]], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, blocks))


def _turn(message: Message, name: str, *, echoes: bool) -> tuple[str, list[Block]]:
    match message:
        case SystemMessage(text):
            return "system", _texts(text)
        case UserMessage(parts):
            return "user", [block for part in parts for block in _part(part)]
        case AssistantMessage():
            return "assistant", list(_said(message, name, echoes=echoes))
        case ToolMessage():
            result: Block = {"type": "tool_result", "tool_use_id": _id(message.call_id)}
            if message.output.strip():
                result["content"] = message.output
            return "user", [result]


def _said(message: AssistantMessage, name: str, *, echoes: bool) -> Iterator[Block]:
    text = _texts(message.text)
    for call in message.tool_calls:
        state = _state(call, name) if echoes else {}
        if state.get("after_text") and text:
            yield text.pop()
        thoughts = state.get("thinking")
        yield from thoughts if isinstance(thoughts, list) else ()
        if text:
            yield text.pop()
        yield {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": _input(call.arguments)}
    yield from text


def _place_system_turns(
    turns: list[tuple[str, list[Block]]], *, allowed: bool
) -> list[tuple[str, list[Block]]]:
    """The same turns with system messages only where they may be: behind a user, and not before another."""
    placed: list[tuple[str, list[Block]]] = []
    for at, (role, blocks) in enumerate(turns):
        follows = turns[at + 1][0] if at + 1 < len(turns) else ""
        if role == "system" and not (allowed and placed and placed[-1][0] == "user" and follows != "user"):
            role, blocks = "user", [_text(f"<system>\n{block['text']}\n</system>") for block in blocks]
        _add(placed, role, blocks)
    return placed


def _part(part: TextPart | ImagePart) -> Iterator[Block]:
    if isinstance(part, TextPart):
        yield from _texts(part.text)
    elif inline := read_data_uri(part.url):
        media_type, data = inline
        yield {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    else:
        yield {"type": "image", "source": {"type": "url", "url": part.url}}


def _texts(text: str) -> list[Block]:
    """The service refuses blank texts."""
    return [_text(text)] if text.strip() else []


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _id(given: str) -> str:
    """The id of a call in the letters that the service allows; the same for call and result."""
    own = re.sub(r"[^a-zA-Z0-9_-]", "_", given)
    return own if own == given and own else f"{own}_{zlib.crc32(given.encode()):08x}"


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object, whatever a model wrote."""
    value = read_object(arguments or "{}")
    return {"arguments": arguments} if value is None else value


def _state(call: ToolCall, name: str) -> Mapping[str, Any]:
    """What this very model wants back with its call; nothing for a call that another made."""
    own = (read_object(call.state) or {}).get(STATE)
    return own if isinstance(own, dict) and own.get("model") == name else {}


def _awaited(messages: tuple[Message, ...]) -> int:
    """Where the round begins that ends with calls whose results the model has yet to answer to."""
    last = _last_said(messages)
    said = messages[last] if last >= 0 else None
    if not isinstance(said, AssistantMessage) or not said.tool_calls:
        return len(messages)
    return next((at + 1 for at in range(last, -1, -1) if isinstance(messages[at], UserMessage)), 0)


def _lacks_thoughts(messages: tuple[Message, ...], name: str) -> bool:
    """Whether the last of those calls were made without thinking, or by another model."""
    last = _last_said(messages)
    said = messages[last] if last >= 0 else None
    if not isinstance(said, AssistantMessage) or not said.tool_calls:
        return False
    return not _state(said.tool_calls[0], name).get("thinking")


def _last_said(messages: tuple[Message, ...]) -> int:
    """The place of the last message of the model; -1 where there is none."""
    places = range(len(messages) - 1, -1, -1)
    return next((at for at in places if isinstance(messages[at], AssistantMessage)), -1)


# --- Tools, and thinking -----------------------------------------------------------------------------


def _tools(request: LlmRequest, model: ClaudeModel) -> dict[str, Any]:
    if not request.tools:
        # Calls in the conversation need their tools to be known, even where none may be called now.
        made = {
            call.name: None
            for message in request.messages
            if isinstance(message, AssistantMessage)
            for call in message.tool_calls
        }
        if not made:
            return {}
        return {"tools": [_tool(FunctionTool(name)) for name in made], "tool_choice": {"type": "none"}}
    choice: dict[str, Any]
    match request.tool_choice:
        case "none":
            choice = {"type": "none"}
        case "required" if model.forces_tools:
            choice = {"type": "any"}
        case NamedToolChoice(name) if model.forces_tools:
            choice = {"type": "tool", "name": name}
        case _:
            choice = {"type": "auto"}
    if request.parallel_tool_calls is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    tools = {"tools": [_tool(tool) for tool in request.tools]}
    return tools if choice == {"type": "auto"} else {**tools, "tool_choice": choice}


def _demand(request: LlmRequest) -> str:
    """In words what a model cannot be made to do."""
    match request.tool_choice:
        case "required":
            return "Answer with a call of one of your tools."
        case NamedToolChoice(name):
            return f"Answer with a call of the tool {name}."
        case _:
            return ""


def _tool(tool: FunctionTool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    schema = dict(tool.parameters or {"properties": {}})
    wire["input_schema"] = {"type": "object", **schema}
    return wire


def _thinking(
    request: LlmRequest, model: ClaudeModel, max_tokens: int, *, forced: bool, may_think: bool
) -> dict[str, Any]:
    """`thinking` and `output_config` for an effort in the protocol's words, and a number of tokens."""
    effort, tokens = request.reasoning_effort, request.reasoning_tokens
    if forced:  # a model that thinks cannot be made to call
        effort = "none"
    if effort == "none":
        if not model.thinks_unasked:
            return {}
        return {"thinking": {"type": model.off[0]}} if model.off else _effort("minimal", model)
    if effort is None:
        if tokens is None or model.thinking != "budget":
            return {}
        effort = "low"
    settings = _effort(effort, model)
    if effort == "minimal" or model.thinks_unasked:
        return settings
    if model.thinking == "adaptive":
        return settings | {"thinking": {"type": "adaptive"}}
    budget = min(tokens or _BUDGETS.get(effort, MIN_BUDGET), max_tokens // 2)
    if model.thinking == "budget" and budget >= MIN_BUDGET and may_think:
        settings["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return settings


def _effort(wanted: str, model: ClaudeModel) -> dict[str, Any]:
    """The level asked for, or the next lower one that the model knows, or its lowest."""
    if not model.efforts or wanted not in _LEVELS:
        return {}
    upto = _LEVELS[: _LEVELS.index(wanted) + 1]
    known = [level for level in model.efforts if level in upto]
    return {"output_config": {"effort": known[-1] if known else model.efforts[0]}}
