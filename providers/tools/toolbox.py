"""The tools that the settings allow: MCP servers at addresses that may be reached, and search engines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from providers.tools.contracts import McpServer, ToolConnection, ToolFailedError
from providers.tools.headers import check_headers
from providers.tools.limits import ToolLimits
from providers.tools.outbound import AllowList, OutboundGuard, Resolver, parse_endpoint, resolve
from providers.tools.search import SearchApi, SearchEngine

if TYPE_CHECKING:
    from providers.tools.mcp_connection import McpConnection

__all__ = ["ConfiguredToolbox"]


class ConfiguredToolbox:
    """Implements `contracts.Toolbox`; one per process, closed by whoever made it."""

    def __init__(
        self,
        *,
        mcp: bool = True,
        allowed_hosts: Sequence[str] = (),
        search: Sequence[SearchApi] = (),
        limits: ToolLimits | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        """`allowed_hosts` are as `AllowList.parse` reads them; raises its `ValueError`."""
        self.has_mcp = mcp
        self._limits = limits or ToolLimits()
        self._guard = OutboundGuard(AllowList.parse(allowed_hosts), resolver)
        self._engines = {api.name: SearchEngine(api) for api in search}

    @property
    def search_engines(self) -> tuple[str, ...]:
        return tuple(self._engines)

    async def warm(self) -> None:
        """Load what connections need, which otherwise the first one waits for, and other sessions feel."""
        await asyncio.to_thread(_load)

    @asynccontextmanager
    async def connect(self, server: McpServer) -> AsyncGenerator[ToolConnection, None]:
        """An open connection; raises `ToolFailedError` on entering."""
        if not self.has_mcp:
            raise ToolFailedError("this server does not connect to MCP servers (tools.mcp)", "http_error")
        # Before the package is loaded, so that a slip of the pen is told at once.
        parse_endpoint(server.url)
        check_headers(server.headers)
        connection = (await asyncio.to_thread(_load))(server, self._guard, self._limits)
        try:
            await connection.open()
            yield connection
        finally:
            await connection.aclose()

    async def search(self, engine: str, arguments: str, max_results: int) -> str:
        """What an engine finds; raises `ToolFailedError`."""
        chosen = self._engines.get(engine)
        if chosen is None:
            known = ", ".join(self._engines) or "none"
            raise ToolFailedError(f"there is no search engine of that name; configured are: {known}")
        return await chosen.search(arguments, max_results)

    async def aclose(self) -> None:
        for engine in self._engines.values():
            await engine.aclose()


@cache
def _load() -> "type[McpConnection]":
    """The `mcp` package and the certificates that are trusted: more than a second of work, once."""
    from providers.tools.mcp_connection import McpConnection
    from providers.tools.mcp_link import rehearse

    rehearse()
    return McpConnection
