"""The tools of an MCP server, page by page, until there are too many or they are too large."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from providers.tools.contracts import RemoteTool, ToolFailedError
from providers.tools.limits import ToolLimits

__all__ = ["MAX_PAGES", "collect"]

MAX_PAGES = 100
MAX_NAME_CHARS = 128  # what the protocol recommends


async def collect(
    pages: AsyncIterator[list[Mapping[str, Any]]], limits: ToolLimits
) -> tuple[RemoteTool, ...]:
    """The tools of all pages, each as its server wrote it; raises `ToolFailedError`.

    A server with too many tools is refused as a whole: which of them to leave out is not for us to say.
    Tools that have no usable name or schema are left out, and so is a second one of the same name.
    """
    found: dict[str, RemoteTool] = {}
    size = count = 0
    async for page in pages:
        count += 1
        if count > MAX_PAGES:
            raise ToolFailedError(f"the list of tools has more than {MAX_PAGES} pages", "protocol_error")
        for raw in page:
            tool = _tool(raw)
            if tool is None or tool.name in found:
                continue
            found[tool.name] = tool
            size += _size(tool)
            if len(found) > limits.max_tools:
                raise ToolFailedError(
                    f"the server offers more than {limits.max_tools} tools (tools.max_tools)",
                    "protocol_error",
                )
            if size > limits.max_schema_bytes:
                raise ToolFailedError(
                    f"the server describes its tools in more than {limits.max_schema_bytes} bytes"
                    " (tools.max_schema_bytes)",
                    "protocol_error",
                )
    return tuple(found.values())


def _tool(raw: Mapping[str, Any]) -> RemoteTool | None:
    name, schema = raw.get("name"), raw.get("inputSchema")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        return None
    if not isinstance(schema, dict):
        return None
    try:
        orjson.dumps(schema)
    except TypeError:  # hundreds of levels deep
        return None
    return RemoteTool(name, raw.get("description"), schema, raw.get("annotations"))


def _size(tool: RemoteTool) -> int:
    described = len((tool.description or "").encode())
    return len(tool.name) + described + len(orjson.dumps([tool.input_schema, tool.annotations]))
