"""What goes between a model and its tools, as text: arguments, results, and errors without secrets."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from providers.tools.contracts import McpServer, ToolFailedError

__all__ = ["MAX_ERROR_CHARS", "cut", "hide", "read_arguments", "result_text", "secrets_of"]

MAX_ERROR_CHARS = 2000  # of what a tool says about its failure
_MIN_SECRET = 4  # characters; shorter ones occur in ordinary words


def read_arguments(text: str) -> dict[str, Any]:
    """The object that a model wrote, where nothing at all means an empty one; raises `ToolFailedError`."""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ToolFailedError("the arguments are not valid JSON") from None
    if not isinstance(value, dict):
        raise ToolFailedError("the arguments must be a JSON object")
    return value


def cut(text: str, limit: int) -> str:
    """At most `limit` characters and a note that says how many there were."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut off: only the first {limit} of {len(text)} characters are here]"


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, bounded; servers like to repeat the credentials that they refuse."""
    for secret in secrets:
        text = text.replace(secret, "[hidden]")
    return cut(text.strip(), MAX_ERROR_CHARS)


def secrets_of(server: McpServer) -> tuple[str, ...]:
    """What may be a credential in the address and in the headers, the longest first."""
    found: set[str] = set()
    for value in server.headers.values():
        found.update((value, value.partition(" ")[2]))
    parts = urlsplit(server.url)
    if parts.username or parts.password:
        name, password = unquote(parts.username or ""), unquote(parts.password or "")
        found.update((name, password, b64encode(f"{name}:{password}".encode()).decode()))
    found.update(value for _, value in parse_qsl(parts.query))
    return tuple(sorted((each for each in found if len(each) >= _MIN_SECRET), key=len, reverse=True))


def _describe(block: Mapping[str, Any]) -> str:
    """One block of an MCP result in words, as far as it has any."""
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image", "mimeType": kind}:
            return f"[an image, {kind}, which cannot be shown here]"
        case {"type": "audio", "mimeType": kind}:
            return f"[a recording, {kind}, which cannot be played here]"
        case {"type": "resource", "resource": {"text": str(text)}}:
            return text
        case {"type": "resource", "resource": {"uri": uri}}:
            return f"[a file that is not text: {uri}]"
        case {"type": "resource_link", "uri": uri}:
            return f"[a link to {block.get('title') or block.get('name')}: {uri}]"
    return f"[{block.get('type')}, which cannot be shown here]"


def result_text(blocks: Iterable[Mapping[str, Any]], structured: Any, limit: int) -> str:
    """The result of an MCP tool: its blocks line by line; without text, its structured content as JSON."""
    parts = list(blocks)
    if structured is not None and not any(block.get("type") in ("text", "resource") for block in parts):
        parts.append({"type": "text", "text": _as_json(structured)})
    return cut("\n".join(_describe(block) for block in parts), limit)


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):
        return "[a structured result that is nested too deeply]"
