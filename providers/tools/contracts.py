"""What the tools look like that the server runs for a session: those of MCP servers, and web searches."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = ["FailureKind", "McpServer", "RemoteTool", "ToolConnection", "ToolFailedError", "Toolbox"]

# Whose fault it was: the tool's own, that of the MCP exchange, or that of HTTP below it. As on the wire.
FailureKind = Literal["tool_execution_error", "protocol_error", "http_error"]


class ToolFailedError(Exception):
    """A tool, or the list of tools, could not be had. The message names no credentials."""

    def __init__(self, message: str, kind: FailureKind = "tool_execution_error", code: int = 0) -> None:
        """`code` is the JSON-RPC code of a protocol error, or the HTTP status (0: there was no answer)."""
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.code = code


@dataclass(frozen=True, slots=True)
class McpServer:
    """Where the tools are, and what is shown there to be let in."""

    label: str
    url: str = field(repr=False)  # some carry a key as well
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the credentials among them


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """One tool, as its server describes it."""

    name: str
    description: str | None = None
    input_schema: Mapping[str, Any] = field(default_factory=dict)  # a JSON Schema object
    annotations: Mapping[str, Any] | None = None

    @property
    def read_only(self) -> bool:
        """Whether its server says that it changes nothing."""
        return (self.annotations or {}).get("readOnlyHint") is True


class ToolConnection(Protocol):
    """An open connection to one MCP server; its methods may be called from any task, several at once."""

    async def tools(self) -> tuple[RemoteTool, ...]:
        """What the server offers, bounded in number and size; raises `ToolFailedError`."""

    async def call(self, name: str, arguments: str) -> str:
        """The result as text, bounded in length and time; raises `ToolFailedError`.

        `arguments` are a JSON object as a model wrote it, so they may be anything.
        """


class Toolbox(Protocol):
    """What a server's settings allow its sessions to use. Shared by all of them."""

    has_mcp: bool  # whether MCP servers may be used at all

    @property
    def search_engines(self) -> tuple[str, ...]:
        """The names of the search endpoints that are configured, the default first; empty: there are none."""

    def connect(self, server: McpServer) -> AbstractAsyncContextManager[ToolConnection]:
        """A connection, open inside the context; raises `ToolFailedError` on entering.

        Must be entered and left by the same task. An address that the settings do not allow is refused.
        """

    async def search(self, engine: str, arguments: str, max_results: int) -> str:
        """What an endpoint finds, as text for a model; raises `ToolFailedError`.

        `arguments` are `{"query": ...}` as a model wrote it.
        """
