"""An MCP server for tests, a program of its own: tools of every temper, and paths that misbehave over HTTP.

It is built of the `mcp` package's server, prints its port once it listens, and ends when its standard input
does. `mcp_process.py` starts it.
"""

import gzip
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

AUTHORIZATION = "Bearer letmein"
MODERN = "2026-"  # versions of the protocol without a handshake

tools = MCPServer("openparley-tests")


class Chatter:
    """Messages without end that nobody has asked for."""

    streams = sent = open = 0

    async def body(self) -> AsyncIterator[bytes]:
        params = b'{"level": "info", "data": "x"}'
        message = b'data: {"jsonrpc": "2.0", "method": "notifications/message", "params": %b}' % params
        self.streams += 1
        self.open += 1
        try:
            yield b"retry: 0\n\n"
            while True:
                yield (message + b"\n\n") * 100
                self.sent += (len(message) + 2) * 100
                await anyio.lowlevel.checkpoint()  # once the client is gone, sending no longer waits
        finally:
            self.open -= 1


chatter = Chatter()
hanging = 0  # calls of `hang` that go on


@tools.tool(description="Adds two numbers.", annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    return a + b


@tools.tool(description="Says what it is told.", structured_output=False)
def echo(text: str) -> str:
    return text


@tools.tool(description="Always fails.")
def fail() -> str:
    raise ToolError("the disk is full")


@tools.tool(description="Never ends.")
async def hang() -> str:
    global hanging
    hanging += 1
    try:
        await anyio.sleep_forever()
    finally:
        hanging -= 1
    return ""


@tools.tool(description="Tells how many calls of hang go on.", structured_output=False)
def count_hanging() -> str:
    return str(hanging)


@tools.tool(
    description="Tells what /chatty has sent: streams, bytes, streams that go on.", structured_output=False
)
def count_chatter() -> str:
    return f"{chatter.streams} {chatter.sent} {chatter.open}"


@tools.tool(description="Answers with many characters.", structured_output=False)
def huge(characters: int = 200_000) -> str:
    return "x" * characters


@tools.tool(description="Tells a secret to those who may hear it.", structured_output=False)
def secret(ctx: Context) -> str:
    if (ctx.headers or {}).get("authorization") != AUTHORIZATION:
        raise ToolError("you may not hear it")
    return "the cake is a lie"


@tools.tool(description="Complains about the token that it was given.", structured_output=False)
def blab(ctx: Context) -> str:
    raise ToolError(f"the token of {(ctx.headers or {}).get('authorization')} is no good")


@tools.tool(
    description="Renames a file.", annotations=ToolAnnotations(read_only_hint=False), structured_output=False
)
def rename_file(old: str, new: str) -> str:
    return f"{old} is now {new}"


@tools.tool(description="The headers of the request.", structured_output=False)
def header(name: str, ctx: Context) -> str:
    return (ctx.headers or {}).get(name.lower(), "none")


@tools.tool(description="An object, and no text.")
def structured() -> CallToolResult:
    return CallToolResult(content=[], structured_content={"temperature": 21.5, "sky": "grün"})


@tools.tool(description="Everything but text.")
def media() -> CallToolResult:
    return CallToolResult(
        content=[
            TextContent(text="Two views:"),
            ImageContent(data="aGk=", mime_type="image/png"),
            AudioContent(data="aGk=", mime_type="audio/wav"),
            EmbeddedResource(resource=TextResourceContents(uri="file:///notes.txt", text="milk, eggs")),
            ResourceLink(name="plan", uri="file:///plan.pdf"),
        ]
    )


@tools.tool(description="Breaks its promise about its output.", structured_output=False)
def nothing() -> CallToolResult:
    return CallToolResult(content=[])


@tools.tool(description="Tells of its progress and logs.", structured_output=False)
async def noisy(ctx: Context) -> str:
    for step in range(20):
        await ctx.report_progress(step, 20)
        await ctx.info(f"step {step}")
    await ctx.notify_tools_changed()
    return "done"


@tools.tool(description="Asks the client for its folders.", structured_output=False)
async def curious(ctx: Context) -> str:
    try:
        roots = await ctx.session.list_roots()
    except MCPError as error:
        return f"refused: {error}"
    return f"roots: {roots}"


@tools.tool(description="Ends the whole server in the middle of the call.", structured_output=False)
def die() -> str:
    os._exit(1)


class Listing:
    """A server whose tools come in pages; `page(n)` is the nth, and whether there is another."""

    def __init__(self, page: Callable[[int], Awaitable[tuple[list[Tool], bool]]]) -> None:
        self._page = page
        self.server: Server[Any] = Server("pages", on_list_tools=self._list)

    async def _list(self, context: Any, params: Any) -> ListToolsResult:
        number = int(params.cursor) if params is not None and params.cursor else 0
        listed, more = await self._page(number)
        return ListToolsResult(tools=listed, next_cursor=str(number + 1) if more else None)


def _tool(name: str, padding: int = 0) -> Tool:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    if padding:
        schema["description"] = "x" * padding
    return Tool(name=name, description=f"Number {name}", input_schema=schema)


async def _three_pages(number: int) -> tuple[list[Tool], bool]:
    return [_tool(f"tool_{number}_{place}") for place in range(2)], number < 2


async def _endless_pages(number: int) -> tuple[list[Tool], bool]:
    return [_tool(f"tool_{number}_{place}") for place in range(10)], True


async def _empty_pages(number: int) -> tuple[list[Tool], bool]:
    return [], True


async def _bulky_page(number: int) -> tuple[list[Tool], bool]:
    return [_tool(f"bulky_{place}", 100_000) for place in range(8)], False


async def _never(number: int) -> tuple[list[Tool], bool]:
    await anyio.sleep_forever()
    return [], False


LISTINGS = {
    "/paged": _three_pages,
    "/endless": _endless_pages,
    "/empty": _empty_pages,
    "/bulky": _bulky_page,
    "/slow": _never,
}


class Mcp:
    """An ASGI application for one path."""

    def __init__(
        self,
        server: Server[Any],
        *,
        locked: bool = False,
        old: bool = False,
        clingy: bool = False,
        chatty: bool = False,
    ) -> None:
        self.manager = StreamableHTTPSessionManager(app=server)
        self._locked = locked
        self._old = old  # speaks the versions with a handshake only
        self._chatty = chatty
        self._clingy = clingy  # does not answer those who take their leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if self._locked and request.headers.get("authorization") != AUTHORIZATION:
            refusal = PlainTextResponse(f"not {request.headers.get('authorization')}", 401)
            await refusal(scope, receive, send)
        elif self._chatty and request.method == "GET":
            await StreamingResponse(chatter.body(), media_type="text/event-stream")(scope, receive, send)
        elif self._clingy and request.method == "DELETE":
            await anyio.sleep_forever()
        elif self._old and request.headers.get("mcp-protocol-version", "").startswith(MODERN):
            await PlainTextResponse("Bad Request: unsupported protocol version", 400)(scope, receive, send)
        else:
            await self.manager.handle_request(scope, receive, send)


async def _status(request: Request) -> Response:
    return PlainTextResponse("an odd page", int(request.path_params["code"]))


async def _moved(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], 307)


async def _silent(request: Request) -> Response:
    await anyio.sleep_forever()
    return Response()


async def _garbage(request: Request) -> Response:
    return Response(b"{not json", media_type=request.query_params.get("type", "application/json"))


async def _flood(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc": "2.0", "id": 1, "result": "'
        while True:
            yield b"x" * 65536
            await anyio.lowlevel.checkpoint()

    return StreamingResponse(body(), media_type=request.query_params.get("type", "application/json"))


async def _bomb(request: Request) -> Response:
    packed = gzip.compress(b" " * (64 << 20))
    return Response(packed, media_type="application/json", headers={"content-encoding": "gzip"})


def application() -> Starlette:
    plain = tools._lowlevel_server
    served = {
        "/mcp": Mcp(plain),
        "/locked": Mcp(plain, locked=True),
        "/old": Mcp(plain, old=True),
        "/clingy": Mcp(plain, old=True, clingy=True),
        "/chatty": Mcp(plain, old=True, chatty=True),
        **{path: Mcp(Listing(page).server) for path, page in LISTINGS.items()},
    }

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in served.values():
                await stack.enter_async_context(each.manager.run())
            yield

    every = partial(Route, methods=["GET", "POST", "DELETE"])
    return Starlette(
        routes=[
            *(Route(path, endpoint=each) for path, each in served.items()),
            every("/status/{code}", _status),
            every("/moved", _moved),
            every("/silent", _silent),
            every("/garbage", _garbage),
            every("/flood", _flood),
            every("/bomb", _bomb),
        ],
        lifespan=lifespan,
    )


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """The port is the first argument, or 0 for a free one."""
    logging.disable(logging.ERROR)
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    threading.Thread(target=_end_with_input, daemon=True).start()
    config = uvicorn.Config(application(), log_config=None, access_log=False, ws="none")
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
