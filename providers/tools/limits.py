"""What tools may take of the server: time, and room in its memory and in the model's context."""

from dataclasses import dataclass

__all__ = ["ToolLimits"]


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Times are seconds."""

    connect_timeout: float = 10.0  # to agree with an MCP server on the protocol, and again to list its tools
    call_timeout: float = 60.0  # of one call, with a new connection where it needs one
    max_tools: int = 128  # of one MCP server
    max_schema_bytes: int = 256 * 1024  # of the names, descriptions and schemas of all tools of one server
    max_result_chars: int = 64 * 1024  # that reach the model; the rest is cut off
    # Of one answer over HTTP. It is decoded on the event loop, which this much of it holds up for about 4 ms.
    max_response_bytes: int = 1024 * 1024
