"""Which headers a client may have sent to its MCP servers."""

import re
from collections.abc import Mapping

from providers.tools.contracts import ToolFailedError

__all__ = ["HEADER_NAME", "HEADER_VALUE", "MAX_HEADERS", "check_headers"]

MAX_HEADERS = 32
MAX_HEADER_CHARS = 8192  # of all names and values; what common servers accept

# Regular expressions, of the whole. Names are tokens (RFC 9110, section 5.6.2), and a line end in a value
# would let a client write headers of its own.
HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER_VALUE = r"[\t\x20-\x7e]*"
# Those that say how the request travels and what is in it. A host of its own would lead to another site.
_OURS = frozenset(
    {
        *(
            "accept",
            "accept-encoding",
            "content-encoding",
            "content-length",
            "content-type",
            "expect",
            "host",
        ),
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via"),
        *("last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id"),
    }
)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises `ToolFailedError`, which names the header and not its value."""
    if len(headers) > MAX_HEADERS or sum(map(len, (*headers, *headers.values()))) > MAX_HEADER_CHARS:
        raise ToolFailedError(
            f"more than {MAX_HEADERS} headers, or more than {MAX_HEADER_CHARS} characters in them",
            "http_error",
        )
    for name, value in headers.items():
        if not re.fullmatch(HEADER_NAME, name):
            raise ToolFailedError("a header has a name that HTTP does not allow", "http_error")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise ToolFailedError(f"the header {name} may not be set", "http_error")
        if not re.fullmatch(HEADER_VALUE, value):
            raise ToolFailedError(f"the value of the header {name} is not plain ASCII", "http_error")
