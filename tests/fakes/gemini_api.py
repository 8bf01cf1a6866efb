"""A fake of Gemini's own API on a free loopback port.

    async with FakeGemini() as fake:
        fake.contents.script(exhausted(), ContentReply(text="Hello."))   # the next two answers
        ... use fake.base_url + "/v1beta" and fake.api_key ...
        fake.contents.requests[0].body["contents"]

It refuses what the real API refuses, in the same shape and words: a wrong key, fields that it does not know,
turns and results of calls out of order, calls without the signature that they came with, settings that a
model does not have. Free of any test framework.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.gemini_replies import (
    ContentReply,
    FakeGeminiModel,
    error_reply,
    exhausted,
    plain_error,
    signed,
)
from tests.fakes.http_service import Exchange, HttpService
from tests.fakes.openai_api import Reply

__all__ = [
    "FLASH_25",
    "FLASH_38",
    "PRO_25",
    "ContentReply",
    "FakeGemini",
    "FakeGeminiModel",
    "body_problem",
    "exhausted",
    "plain_error",
    "signed",
]

SENTINEL = "skip_thought_signature_validator"  # documented for calls that the model did not make
FLASH_25 = FakeGeminiModel((), (0, 24_576), penalties=True, signs=False, ids=False)
PRO_25 = FakeGeminiModel((), (128, 32_768), penalties=True, signs=False, ids=False)
FLASH_38 = FakeGeminiModel(("LOW", "MEDIUM", "HIGH"), None, penalties=False, signs=True)

_MEMBERS: Mapping[str, frozenset[str]] = {
    "": frozenset(
        {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
    ),
    "generation_config": frozenset(
        {
            "temperature",
            "topP",
            "topK",
            "maxOutputTokens",
            "stopSequences",
            "frequencyPenalty",
            "presencePenalty",
            "thinkingConfig",
            "candidateCount",
            "seed",
        }
    ),
    "generation_config.thinking_config": frozenset({"thinkingLevel", "thinkingBudget", "includeThoughts"}),
    "contents": frozenset({"role", "parts"}),
    "contents.parts": frozenset(
        {"text", "inlineData", "fileData", "functionCall", "functionResponse", "thought", "thoughtSignature"}
    ),
    "tools": frozenset({"functionDeclarations"}),
    "tools.function_declarations": frozenset({"name", "description", "parameters", "parametersJsonSchema"}),
    "tool_config": frozenset({"functionCallingConfig"}),
    "tool_config.function_calling_config": frozenset({"mode", "allowedFunctionNames"}),
}


class FakeGemini(HttpService):
    """The server; `models` are those that it has, and what each can do."""

    def __init__(
        self,
        *,
        api_key: str = "AIzaFakeGeminiKey0123456789",
        models: Mapping[str, FakeGeminiModel] | None = None,
    ) -> None:
        super().__init__(api_key)
        known = {"gemini-2.5-flash": FLASH_25, "gemini-2.5-pro": PRO_25, "gemini-3.8-flash": FLASH_38}
        self.models = known if models is None else models
        self.contents = Exchange(ContentReply(text="Hello from the fake model."))

    def routes(self) -> list[web.RouteDef]:
        path = "/{version:v1|v1alpha|v1beta}/{kind:models|tunedModels}/{model}:streamGenerateContent"
        return [web.post(path, self._stream), web.route("*", "/{any:.*}", self._unknown_url)]

    async def _stream(self, http: web.Request) -> web.StreamResponse:
        try:
            request = await self.record(http)
        except ValueError:
            return await self.send(http, _invalid("Invalid JSON payload received."))
        request.body = _in_camel_case(request.body)
        refusal = self._unauthorized(request.headers) or self._refused(http, request.body)
        request.body["alt"] = http.query.get("alt")
        async with self.contents.answering(request, refusal) as reply:
            return await self.send(http, reply)

    async def _unknown_url(self, http: web.Request) -> web.StreamResponse:
        return await self.send(http, Reply((b"<html>Not Found</html>",), 404, "text/html"))

    def _unauthorized(self, headers: Mapping[str, str]) -> Reply | None:
        key = headers.get("x-goog-api-key")
        if key is None:
            return error_reply(403, "Method doesn't allow unregistered callers.", "PERMISSION_DENIED")
        if key != self.api_key:
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
            text = "API key not valid. Please pass a valid API key."
            return error_reply(400, text, "INVALID_ARGUMENT", details)
        return None

    def _refused(self, http: web.Request, body: dict[str, Any]) -> Reply | None:
        name, version = http.match_info["model"], http.match_info["version"]
        model = self.models.get(name)
        if model is None:
            text = f"models/{name} is not found for API version {version}, or is not supported for"
            return error_reply(404, f"{text} generateContent.", "NOT_FOUND")
        problem = body_problem(body, model)
        return _invalid(problem) if problem else None


def _invalid(message: str) -> Reply:
    return error_reply(400, message, "INVALID_ARGUMENT")


def body_problem(body: Mapping[str, Any], model: FakeGeminiModel) -> str | None:
    """What the service would say against a body; None: nothing."""
    return _unknown_member(body) or _settings_problem(body, model) or _contents_problem(body, model)


def _in_camel_case(value: Any, path: str = "") -> Any:
    """The same with the names of members as they are documented; the service reads snake case as well."""
    if isinstance(value, list):
        return [_in_camel_case(entry, path) for entry in value]
    if not isinstance(value, dict) or path not in _MEMBERS:
        return value
    members = {_camel(name): entry for name, entry in value.items()}
    return {
        name: _in_camel_case(entry, f"{path}.{_snake(name)}".lstrip(".")) for name, entry in members.items()
    }


def _unknown_member(value: Any, path: str = "") -> str | None:
    if isinstance(value, list):
        found = (_unknown_member(entry, path) for entry in value)
        return next((problem for problem in found if problem), None)
    if not isinstance(value, dict) or path not in _MEMBERS:
        return None
    for name, entry in value.items():
        if name not in _MEMBERS[path]:
            place = f" at '{path}'" if path else ""
            return f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
        if problem := _unknown_member(entry, f"{path}.{_snake(name)}".lstrip(".")):
            return problem
    return None


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _settings_problem(body: Mapping[str, Any], model: FakeGeminiModel) -> str | None:
    if "systemInstruction" in body and not model.system:
        return "Developer instruction is not enabled for this model"
    config = body.get("generationConfig", {})
    if {"frequencyPenalty", "presencePenalty"} & config.keys() and not model.penalties:
        return "Penalty is not enabled for this model"
    if len(config.get("stopSequences", ())) > 5:
        return "The number of stop sequences must not be greater than 5."
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        return "You can only set only one of thinking budget and thinking level."
    level = thinking.get("thinkingLevel")
    if level is not None and level not in model.levels:
        return f"Thinking level{f' {level}' if model.levels else ''} is not supported for this model."
    budget = thinking.get("thinkingBudget")
    if budget is not None and model.budgets is None:
        return "Thinking budget is not supported for this model."
    if budget is not None and model.budgets is not None:
        low, high = model.budgets
        if budget == 0 < low:
            return "Budget 0 is invalid. This model only works in thinking mode."
        if not low <= budget <= high:
            return f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
    declared = [tool for group in body.get("tools", ()) for tool in group["functionDeclarations"]]
    for tool in declared:
        if "parameters" in tool and "parametersJsonSchema" in tool:
            return "parameters and parametersJsonSchema are mutually exclusive"
    mode = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if mode.get("mode", "AUTO") not in ("AUTO", "ANY", "NONE"):
        return "Invalid value at 'tool_config.function_calling_config.mode'"
    allowed = mode.get("allowedFunctionNames", [])
    if allowed and mode.get("mode") != "ANY":
        return "allowed_function_names should only be set when the mode is ANY"
    if not set(allowed) <= {tool["name"] for tool in declared}:
        return "allowed_function_names must be among the declared functions"
    return None


def _contents_problem(body: Mapping[str, Any], model: FakeGeminiModel) -> str | None:
    contents = body.get("contents", [])
    if not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    awaited: list[Mapping[str, Any]] = []
    before = ""
    for content in contents:
        role, parts = content.get("role"), content.get("parts", [])
        if role not in ("user", "model"):
            return "Please use a valid role: user, model."
        if not parts:
            return "* GenerateContentRequest.contents: parts must not be empty"
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if awaited or results:
            if role != "user" or len(results) != len(awaited) or len(results) != len(parts):
                return (
                    "Please ensure that the number of function response parts is equal to the number of"
                    " function call parts of the function call turn."
                )
            names = [(call["name"], call.get("id")) for call in awaited]
            if names != [(result["name"], result.get("id")) for result in results]:
                return "Please ensure that function responses carry the name and id of their calls."
            if not all(isinstance(result.get("response"), dict) for result in results):
                return "Invalid value at 'function_response.response'"
        awaited = [part["functionCall"] for part in parts if "functionCall" in part]
        if awaited and before != "user":
            return (
                "Please ensure that function call turn comes immediately after a user turn or after a"
                " function response turn."
            )
        if problem := _calls_problem(parts, awaited, model):
            return problem
        if any(not part["text"] for part in parts if "text" in part and "thoughtSignature" not in part):
            return "Unable to submit request because it must have a text parameter."
        before = role
    if model.signs and before == "model":
        return "The last content must not have the role model."
    return "A function call turn must be answered." if awaited else None


def _calls_problem(
    parts: list[Mapping[str, Any]], calls: list[Mapping[str, Any]], model: FakeGeminiModel
) -> str | None:
    signatures = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
    if calls and model.signs and (signatures[0] is None or not all("id" in call for call in calls)):
        name = calls[0]["name"]
        return f"Function call is missing a thought_signature in functionCall parts. Additional data: {name}"
    for signature in signatures:
        if signature in (None, SENTINEL):
            continue
        try:
            valid = base64.b64decode(signature, validate=True).startswith(b"signed:")
        except (binascii.Error, TypeError):
            valid = False
        if not valid:
            return "Thought signature is not valid."
    return None
