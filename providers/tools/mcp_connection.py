"""A connection to one MCP server over streamable HTTP, by the `mcp` package.

Importing that package takes more than a second: `toolbox` does it in a thread, with the first connection.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
import httpx2
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
)
from pydantic import TypeAdapter, ValidationError

from providers.tools.contracts import McpServer, RemoteTool, ToolFailedError
from providers.tools.guarded_http import Exchange, exchange
from providers.tools.limits import ToolLimits
from providers.tools.mcp_link import Link, LinkFailedError
from providers.tools.outbound import OutboundGuard, parse_endpoint
from providers.tools.texts import hide, read_arguments, result_text, secrets_of

__all__ = ["McpConnection"]

_Result = TypeVar("_Result")

# The package's own `call_tool` checks results against the tool's schema, on the event loop: a server may send
# a pattern that takes for ever to match. So the request is made without it.
_RESULT: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(CallToolResult | InputRequiredResult)

# What the package raises where a request or its answer is not what it should be.
FAULTS = (
    MCPError,
    ValidationError,
    RuntimeError,
    ValueError,
    OSError,
    httpx2.HTTPError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)


class McpConnection:
    """Implements `contracts.ToolConnection`. Opens anew for a request that finds it dead."""

    def __init__(self, server: McpServer, guard: OutboundGuard, limits: ToolLimits) -> None:
        """Raises `ToolFailedError` for what is no URL of a server."""
        self._name = str(parse_endpoint(server.url))
        self._server = server
        self._guard = guard
        self._limits = limits
        self._secrets = secrets_of(server)
        self._opening = asyncio.Lock()
        self._link: Link | None = None
        self._users: Counter[Link] = Counter()  # requests under way, also over links that were replaced

    async def open(self) -> None:
        """Agree with the server on the protocol; raises `ToolFailedError`."""
        async with self._request("agree on the protocol", self._limits.connect_timeout):
            await self._linked()

    async def aclose(self) -> None:
        """Take leave of the server, which never takes long."""
        for link in {self._link, *self._users}:
            if link is not None:
                await link.aclose()

    async def tools(self) -> tuple[RemoteTool, ...]:
        async def ask(link: Link) -> tuple[RemoteTool, ...]:
            return await link.tools(self._limits)

        async with self._request("list its tools", self._limits.connect_timeout) as noted:
            return await self._asked(ask, noted)

    async def call(self, name: str, arguments: str) -> str:
        request = CallToolRequest(
            params=CallToolRequestParams(name=name, arguments=read_arguments(arguments))
        )

        async def ask(link: Link) -> CallToolResult | InputRequiredResult:
            try:
                return await link.client.session.send_request(request, _RESULT)
            except MCPError as error:
                if error.code != HEADER_MISMATCH:
                    raise
                # The server wants some arguments as headers, and its list of tools says which.
                await link.tools(self._limits)
                return await link.client.session.send_request(request, _RESULT)

        async with self._request("answer the call", self._limits.call_timeout) as noted:
            return self._text(await self._asked(ask, noted))

    def _text(self, result: CallToolResult | InputRequiredResult) -> str:
        if isinstance(result, InputRequiredResult):
            raise ToolFailedError(
                "the tool asks for more input, which nobody here can give", "protocol_error"
            )
        blocks = [block.model_dump(by_alias=True, mode="json") for block in result.content]
        text = result_text(blocks, result.structured_content, self._limits.max_result_chars)
        if result.is_error:
            raise ToolFailedError(hide(text, self._secrets) or "the tool failed and does not say why")
        return text

    async def _asked(self, ask: Callable[[Link], Awaitable[_Result]], noted: Exchange) -> _Result:
        """What the server answers, over a new connection where the one at hand is of no use."""
        link = await self._linked()
        try:
            async with self._using(link):
                return await ask(link)
        except MCPError as error:
            # Whatever a tool does, it shall not do it twice.
            was_over = error.code == CONNECTION_CLOSED and not noted.was_sent
            if not was_over and not noted.is_session_lost:
                raise
        link = await self._linked(instead_of=link)
        async with self._using(link):
            return await ask(link)

    @asynccontextmanager
    async def _using(self, link: Link) -> AsyncGenerator[None, None]:
        """A link that was replaced is left to the requests that are under way over it; the last ends it."""
        self._users[link] += 1
        try:
            yield
        finally:
            self._users[link] -= 1
            if not self._users[link]:
                del self._users[link]
                if link is not self._link:
                    await link.aclose()

    async def _linked(self, instead_of: Link | None = None) -> Link:
        async with self._opening:
            link = self._link
            if link is not None and link is not instead_of and not link.is_over:
                return link
            self._link = None
            if link is not None and not self._users[link]:
                await link.aclose()
            link = Link(self._server, self._guard, self._limits)
            try:
                async with asyncio.timeout(self._limits.connect_timeout):
                    await link.open()
            except BaseException:
                await link.aclose()
                raise
            self._link = link
            return link

    @asynccontextmanager
    async def _request(self, what: str, seconds: float) -> AsyncGenerator[Exchange, None]:
        """Turn everything that may go wrong, and taking too long, into `ToolFailedError`."""
        noted = Exchange()
        try:
            with _noting(noted):
                async with asyncio.timeout(seconds):
                    yield noted
        except TimeoutError:
            text = f"{self._name} does not {what} within {seconds:g} s"
            raise ToolFailedError(text, "http_error") from None
        except (LinkFailedError, *FAULTS) as error:
            raise self._failure(error, noted) from None

    def _failure(self, error: Exception, noted: Exchange) -> ToolFailedError:
        if isinstance(error, LinkFailedError):
            noted = error.noted
            error = error.cause
        if isinstance(error, ToolFailedError):
            return error
        if noted.failure is not None:
            return noted.failure
        if 300 <= noted.status < 400:
            text = f"{self._name} sends its clients to another address, which they do not follow"
            return ToolFailedError(text, "http_error", noted.status)
        if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
            return ToolFailedError(f"{self._name} broke off the connection", "http_error")
        if isinstance(error, MCPError) and error.code != PARSE_ERROR:
            return ToolFailedError(hide(error.message, self._secrets), "protocol_error", error.code)
        return ToolFailedError(
            f"{self._name} does not answer as an MCP server", "protocol_error", PARSE_ERROR
        )


@contextmanager
def _noting(noted: Exchange) -> Iterator[None]:
    token = exchange.set(noted)
    try:
        yield
    finally:
        exchange.reset(token)
