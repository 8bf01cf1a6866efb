"""Carries out the calls that a session makes itself: tools of MCP servers, and searches of the web."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.commands import Command, ListingFailed, ToolAnswered, ToolsListed
from pipeline.effects import ListTools, RunTool
from pipeline.items import ToolFailure
from pipeline.tools import WebSearch
from providers.tools.contracts import McpServer, Toolbox, ToolConnection, ToolFailedError

__all__ = ["ToolRunner"]

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_CRASHED = "The server had an unexpected error while it ran this tool."


class ToolRunner:
    """Belongs to one session. Its tasks end with that; connections stay open from the first use on."""

    def __init__(self, toolbox: Toolbox | None, dispatch: Callable[[Command], None], spawn: Spawn) -> None:
        """`spawn` starts a task that ends with the session."""
        self._toolbox = toolbox
        self._dispatch = dispatch
        self._spawn = spawn
        self._links: dict[str, _Link] = {}  # by label
        self._running: dict[str, set[asyncio.Task[None]]] = {}  # by response id

    def list_tools(self, order: ListTools) -> None:
        """Answer with `ToolsListed` or `ListingFailed`."""
        self._spawn(self._list(order), f"tools of {order.server.label}")

    def run(self, order: RunTool) -> None:
        """Answer with `ToolAnswered`, unless it is stopped."""
        task = self._spawn(self._run(order), f"tool call {order.call_id}")
        running = self._running.setdefault(order.response_id, set())
        running.add(task)
        task.add_done_callback(lambda _: self._ran(order.response_id, task))

    def stop(self, response_id: str) -> None:
        """Nobody waits for the calls of that response any more."""
        for task in self._running.pop(response_id, ()):
            task.cancel()

    def _ran(self, response_id: str, task: asyncio.Task[None]) -> None:
        running = self._running.get(response_id, set())
        running.discard(task)
        if not running:
            self._running.pop(response_id, None)

    async def _list(self, order: ListTools) -> None:
        try:
            tools = await (await self._connection(order.server)).tools()
        except ToolFailedError as error:
            log.warning("the tools of %s could not be listed: %s", order.server.label, error.message)
            self._dispatch(ListingFailed(order.item_id, error.message))
        except Exception:
            log.exception("the tools of %s could not be listed", order.server.label)
            self._dispatch(ListingFailed(order.item_id, _CRASHED))
        else:
            self._dispatch(ToolsListed(order.item_id, tools))

    async def _run(self, order: RunTool) -> None:
        output, failure = None, None
        try:
            output = await self._result(order)
        except ToolFailedError as error:
            failure = ToolFailure(error.kind, error.message, error.code)
        except Exception:
            log.exception("tool %s crashed", order.name)
            failure = ToolFailure("tool_execution_error", _CRASHED)
        self._dispatch(ToolAnswered(order.response_id, order.call_id, output, failure))

    async def _result(self, order: RunTool) -> str:
        if isinstance(order.target, WebSearch):
            assert self._toolbox is not None
            search = order.target
            engine = search.engine or self._toolbox.search_engines[0]
            return await self._toolbox.search(engine, order.arguments, search.max_results)
        connection = await self._connection(order.target)
        return await connection.call(order.name, order.arguments)

    async def _connection(self, server: McpServer) -> ToolConnection:
        """The open connection to that server; raises `ToolFailedError`."""
        assert self._toolbox is not None
        link = self._links.get(server.label)
        if link is None or link.server != server or link.is_over:
            if link is not None:
                link.close()
            link = self._links[server.label] = _Link(self._toolbox, server)
            link.task = self._spawn(link.keep(), f"connection to {server.label}")
        return await link.connection()


class _Link:
    """A connection, kept by a task of its own: it must be left by the task that entered it."""

    def __init__(self, toolbox: Toolbox, server: McpServer) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None
        self._toolbox = toolbox
        self._opened: asyncio.Future[ToolConnection] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()

    def close(self) -> None:
        self._closing.set()

    async def connection(self) -> ToolConnection:
        # Several may wait for it, and one that is cancelled must not take it from the others.
        return await asyncio.shield(self._opened)

    async def keep(self) -> None:
        try:
            async with self._toolbox.connect(self.server) as connection:
                self._opened.set_result(connection)
                await self._closing.wait()
        except ToolFailedError as error:
            self._fail(error)
        except Exception:
            log.exception("the connection to %s crashed", self.server.label)
            self._fail(ToolFailedError(_CRASHED, "protocol_error"))
        finally:
            self._opened.cancel()

    def _fail(self, error: ToolFailedError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # whoever waited may be gone by now
