"""The request of Gemini's generateContent: a conversation as contents of alternating roles.

The calls of a turn directly follow a user's turn, and their results directly follow them, in a turn of their
own; what Google signed goes back on the part that it came with.
"""

import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

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
from providers.llm.data_uris import read_data_uri
from providers.llm.gemini_models import LEVELS, GeminiModel
from providers.llm.json_objects import read_object
from providers.llm.openai_chat_request import GO_ON

__all__ = ["STATE", "UNSIGNED", "content_body"]

STATE = "gemini"  # the member of `ToolCall.state` that is ours

BEGIN = "(The conversation begins.)"  # where there is nothing that the model could answer to

# What Google documents for calls that its model did not make, or whose signature is lost.
UNSIGNED = "skip_thought_signature_validator"

MAX_STOPS = 5  # the service refuses more
_SEEDS = 2**31  # they have 32 bits, and a sign
_MAX_BUDGET = 24_576  # tokens that Flash may think; Pro may a few more
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576}
_LEVELS: Mapping[str, str] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
}

Part = dict[str, Any]
Content = dict[str, Any]


def content_body(request: LlmRequest, name: str, model: GeminiModel) -> dict[str, Any]:
    """The JSON body of one request to the model of that name."""
    messages = list(request.messages)
    leading = 0
    while model.system and leading < len(messages) and isinstance(messages[leading], SystemMessage):
        leading += 1
    texts = [message.text for message in messages[:leading] if isinstance(message, SystemMessage)]
    body: dict[str, Any] = {"contents": _contents(messages[leading:], name, model)}
    if system := "\n\n".join(text for text in texts if text.strip()):
        body["systemInstruction"] = {"parts": [{"text": system}]}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        if (mode := _mode(request)) is not None:
            body["toolConfig"] = {"functionCallingConfig": mode}
    if config := _config(request, model):
        body["generationConfig"] = config
    return body


# --- The conversation --------------------------------------------------------------------------------


def _contents(messages: list[Message], name: str, model: GeminiModel) -> list[Content]:
    turns = _Turns()
    ids: dict[str, str] = {}  # of calls, as the service knows them
    for message in messages:
        match message:
            case SystemMessage(text):
                turns.add("user", [{"text": f"<system>\n{text}\n</system>"}] if text.strip() else [])
            case UserMessage(parts):
                turns.add("user", [wire for part in parts if (wire := _part(part))])
            case AssistantMessage():
                turns.add("model", _said(message, name, model, ids))
            case ToolMessage():
                response: Part = {"name": message.name, "response": _output(message.output)}
                if own_id := ids.get(message.call_id):
                    response["id"] = own_id
                turns.add("user", [{"functionResponse": response}], results=True)
    contents = turns.contents
    if not contents or contents[0]["role"] != "user":
        contents.insert(0, {"role": "user", "parts": [{"text": BEGIN}]})
    if contents[-1]["role"] == "model":
        contents.append({"role": "user", "parts": [{"text": GO_ON}]})
    return contents


class _Turns:
    """Collects contents; consecutive ones of a role become one, except that results stand alone."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self._results = False  # whether the last content holds the results of calls

    def add(self, role: str, parts: list[Part], *, results: bool = False) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role and self._results == results:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})
        self._results = results


def _said(message: AssistantMessage, name: str, model: GeminiModel, ids: dict[str, str]) -> list[Part]:
    parts: list[Part] = [{"text": message.text}] if message.text.strip() else []
    for at, call in enumerate(message.tool_calls):
        own = _state(call, name)
        wire: Part = {"name": call.name, "args": _arguments(call.arguments)}
        if own is None:
            given_id = call.id if model.signs else ""
            signature = UNSIGNED if model.signs and at == 0 else ""
        else:
            given_id, signature = _text(own.get("id")), _text(own.get("signature"))
        ids[call.id] = given_id  # an earlier call may have had the same of ours
        if given_id:
            wire["id"] = given_id
        parts.append({"functionCall": wire} | ({"thoughtSignature": signature} if signature else {}))
    return parts


def _state(call: ToolCall, name: str) -> Mapping[str, Any] | None:
    """What came with the call; None for one that another model made."""
    own = (read_object(call.state) or {}).get(STATE)
    return own if isinstance(own, dict) and own.get("model") == name else None


def _part(part: TextPart | ImagePart) -> Part | None:
    if isinstance(part, TextPart):
        return {"text": part.text} if part.text.strip() else None
    if inline := read_data_uri(part.url):
        media_type, data = inline
        return {"inlineData": {"mimeType": media_type, "data": data}}
    guessed, _ = mimetypes.guess_type(urlsplit(part.url).path)
    return {"fileData": {"fileUri": part.url, "mimeType": guessed or "image/jpeg"}}


def _arguments(arguments: str) -> dict[str, Any]:
    """The arguments as an object, whatever a model wrote."""
    value = read_object(arguments or "{}")
    return {"arguments": arguments} if value is None else value


def _output(output: str) -> dict[str, Any]:
    """The result as an object; `output` is the name that the service reads."""
    value = read_object(output)
    return {"output": output} if value is None else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# --- Tools and settings ------------------------------------------------------------------------------


def _declaration(tool: FunctionTool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "description": tool.description or tool.name}
    schema = dict(tool.parameters or {})
    if schema.get("properties") or not schema.keys() <= {
        "type",
        "properties",
        "required",
        "additionalProperties",
    }:
        wire["parametersJsonSchema"] = schema  # `parameters` would take a dialect of it only
    return wire


def _mode(request: LlmRequest) -> dict[str, Any] | None:
    match request.tool_choice:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case NamedToolChoice(name):
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case _:
            return None


def _config(request: LlmRequest, model: GeminiModel) -> dict[str, Any]:
    penalties = model.penalties
    settings = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "maxOutputTokens": request.max_output_tokens,
        "frequencyPenalty": request.frequency_penalty if penalties else None,
        "presencePenalty": request.presence_penalty if penalties else None,
        "seed": None if request.seed is None else request.seed % _SEEDS,
        "stopSequences": [text for text in request.stop if text][:MAX_STOPS] or None,
        "thinkingConfig": _thinking(request.reasoning_effort, request.reasoning_tokens, model),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _thinking(effort: str | None, tokens: int | None, model: GeminiModel) -> dict[str, Any] | None:
    """The effort as a level, or the next lower one that the model knows, or its lowest; or as a budget,
    for which a number of tokens goes first.
    """
    if model.thinking == "budget" and tokens is not None and effort != "none":
        return {"thinkingBudget": min(max(tokens, model.least_budget), _MAX_BUDGET)}
    if effort is None or effort not in _LEVELS:
        return None
    if model.thinking == "budget":
        return {"thinkingBudget": model.least_budget if effort == "none" else _BUDGETS[effort]}
    if model.thinking == "none" or not model.levels:
        return None
    upto = LEVELS[: LEVELS.index(_LEVELS[effort]) + 1]
    known = [level for level in model.levels if level in upto]
    return {"thinkingLevel": known[-1] if known else model.levels[0]}
