"""The tools that a session's model may use beside the client's functions: the server runs them itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.contracts import FunctionTool
from providers.tools.contracts import RemoteTool

__all__ = [
    "MCP_APPROVAL_DEFAULT",
    "McpToolChoice",
    "McpTools",
    "ServerTools",
    "Tool",
    "ToolFilter",
    "WebSearch",
    "safe_name",
]


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """Some tools of a server; where both members are given, a tool has to fit both."""

    names: tuple[str, ...] | None = None
    read_only: bool | None = None

    def matches(self, tool: RemoteTool) -> bool:
        return (self.names is None or tool.name in self.names) and (
            self.read_only is None or tool.read_only == self.read_only
        )


MCP_APPROVAL_DEFAULT = ToolFilter()  # every call is asked for


@dataclass(frozen=True, slots=True)
class McpTools:
    """The tools of one MCP server."""

    label: str
    url: str | None  # None: that of an entry with the same label, earlier in the session
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the credentials among them
    allowed: ToolFilter | None = None  # None: all of them
    always: ToolFilter | None = MCP_APPROVAL_DEFAULT  # which wait for the client's approval; None: no tools
    never: ToolFilter | None = None  # which do not, whatever `always` says
    shown: Mapping[str, Any] = field(default_factory=dict)  # the entry as clients see it: without credentials

    def allows(self, tool: RemoteTool) -> bool:
        return self.allowed is None or self.allowed.matches(tool)

    def needs_approval(self, tool: RemoteTool) -> bool:
        """Whether the client has to agree to each call."""
        if self.never is not None and self.never.matches(tool):
            return False
        return self.always is not None and self.always.matches(tool)


@dataclass(frozen=True, slots=True)
class WebSearch:
    """Searches of the web by an endpoint of the server's settings."""

    engine: str | None = None  # None: the server's first
    max_results: int = 3
    max_steps: int = 1  # searches of one response
    shown: Mapping[str, Any] = field(default_factory=dict)  # the entry as clients see it


Tool = FunctionTool | McpTools | WebSearch


@dataclass(frozen=True, slots=True)
class ServerTools:
    """Which tools beside functions the server can run."""

    mcp: bool = False
    search_engines: tuple[str, ...] = ()  # the default first


@dataclass(frozen=True, slots=True)
class McpToolChoice:
    """The model has to use that server, or just that tool of it."""

    label: str
    name: str | None = None


def safe_name(name: str) -> str:
    """The name of a tool as every language model accepts it: MCP servers may use other signs, and more."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
