"""One client of the `mcp` package, open until it is closed or its transport fails."""

import asyncio
import contextlib
import importlib.metadata
import logging
import ssl
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from typing import Any

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp_types import Implementation, ListToolsResult

from providers.tools.contracts import McpServer, RemoteTool, ToolFailedError
from providers.tools.guarded_http import Exchange, GuardedTransport, exchange, open_client
from providers.tools.limits import ToolLimits
from providers.tools.listing import collect
from providers.tools.outbound import OutboundGuard

__all__ = ["Link", "LinkFailedError", "rehearse"]

CLOSE_PATIENCE = 1.0  # seconds for taking leave of a server

# At info and below, they tell addresses, session ids and everything that is said.
for _chatty in ("mcp", "client", "httpx2", "httpcore2"):
    logging.getLogger(_chatty).setLevel(logging.CRITICAL)


class LinkFailedError(Exception):
    """A connection could not be opened."""

    def __init__(self, cause: Exception, noted: Exchange) -> None:
        super().__init__()
        self.cause = cause
        self.noted = noted


class Link:
    """Held by a task of its own, since the package's cancel scopes belong to the task that opened them."""

    def __init__(self, server: McpServer, guard: OutboundGuard, limits: ToolLimits) -> None:
        self._noted = Exchange()
        self._client: Client | None = None
        self._ready = asyncio.Event()  # it is open, or has failed
        self._closing = asyncio.Event()
        self._failure: Exception | None = None
        self._task = asyncio.create_task(self._hold(server, guard, limits), name=f"mcp {server.label}")

    @property
    def client(self) -> Client:
        assert self._client is not None, "the connection is open"
        return self._client

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def open(self) -> None:
        await self._ready.wait()
        if self._failure is not None:
            raise LinkFailedError(self._failure, self._noted)

    async def tools(self, limits: ToolLimits) -> tuple[RemoteTool, ...]:
        """All tools; raises `ToolFailedError`, and what the package raises."""
        async with contextlib.aclosing(_pages(self.client)) as pages:
            return await collect(pages, limits)

    async def aclose(self) -> None:
        if self._client is None:
            self._task.cancel()
        self._closing.set()
        try:
            await asyncio.wait({self._task}, timeout=CLOSE_PATIENCE)
        finally:
            self._task.cancel()
            await _end_of(self._task)

    async def _hold(self, server: McpServer, guard: OutboundGuard, limits: ToolLimits) -> None:
        exchange.set(self._noted)
        transport = GuardedTransport(guard, limits, tls_context())
        try:
            async with (
                open_client(transport, dict(server.headers), limits) as http,
                Client(
                    streamable_http_client(
                        server.url, http_client=http, max_sse_event_size=limits.max_response_bytes
                    ),
                    client_info=_client_info(),
                    cache=None,
                ) as client,
            ):
                self._client = client
                transport.is_open = True
                self._ready.set()
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - told where the connection is used
            self._failure = _innermost(error)
        finally:
            self._ready.set()


async def _end_of(task: asyncio.Task[None]) -> None:
    """Wait for a task that was cancelled, even where the one who waits is cancelled again meanwhile.

    Left to itself it would outlive its session, and perhaps the event loop.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _pages(client: Client) -> AsyncGenerator[list[Mapping[str, Any]], None]:
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        yield [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in page.tools]
        cursor = page.next_cursor
        if not cursor:
            return


def rehearse() -> None:
    """Do all that is done once, and takes longer than the event loop may be held up; for another thread."""
    _client_info()
    tls_context()
    anyio.run(_talk_to_itself)


async def _talk_to_itself() -> None:
    """Half of what the package and anyio need, they load and build when it is first used."""

    async def no_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[])

    async with Client(Server("rehearsal", on_list_tools=no_tools), mode="legacy", cache=None) as client:
        await client.list_tools()
    with contextlib.suppress(OSError):
        await anyio.connect_tcp("127.0.0.1", 0)  # which is no port


@cache
def tls_context() -> ssl.SSLContext:
    """What all connections trust. Reading the certificates takes tens of milliseconds."""
    return httpx2.create_ssl_context()


@cache
def _client_info() -> Implementation:
    return Implementation(name="openparley", version=importlib.metadata.version("openparley"))


def _innermost(error: Exception) -> Exception:
    """What a task group failed of: our own word on it, or else the first."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_innermost(each) for each in error.exceptions]
    return next((each for each in causes if isinstance(each, ToolFailedError)), causes[0])
