"""Tools behind a whole session: who is connected, what is cancelled, and that nothing is left of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pipeline.commands import CancelResponse, CreateItem, CreateResponse, UpdateSession
from pipeline.events import ItemDone, McpListingProgress, ResponseDone
from pipeline.items import McpListTools, MessageItem, OutputText
from pipeline.session import Session
from pipeline.tools import McpTools, Tool, WebSearch
from providers.contracts import (
    LlmEvent,
    LlmFinished,
    LlmRequest,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolMessage,
)
from providers.tools.contracts import McpServer, RemoteTool, ToolConnection, ToolFailedError
from tests.pipeline.playbook import user
from tests.pipeline.scripted import Engines, Heard
from tests.pipeline.sessions import opened

LAB = McpTools("lab", "https://lab/mcp", always=None)


class Toolbox:
    """One server that does what a test tells it to."""

    has_mcp = True
    search_engines = ("exa", "google")

    def __init__(self) -> None:
        self.connected: list[McpServer] = []
        self.left = 0
        self.searched: list[tuple[str, str, int]] = []
        self.refusing: Exception | None = None
        self.crashing: Exception | None = None
        self.working = asyncio.Event()
        self.stopped = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @asynccontextmanager
    async def connect(self, server: McpServer) -> AsyncGenerator[ToolConnection, None]:
        self.connected.append(server)
        if self.refusing is not None:
            raise self.refusing
        try:
            yield self
        finally:
            self.left += 1

    async def tools(self) -> tuple[RemoteTool, ...]:
        return (RemoteTool("find"),)

    async def call(self, name: str, arguments: str) -> str:
        self.working.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        if self.crashing is not None:
            raise self.crashing
        return f"{name} {arguments}"

    async def search(self, engine: str, arguments: str, max_results: int) -> str:
        self.searched.append((engine, arguments, max_results))
        return "1. Rain"


class Caller:
    """A model that calls one tool first, and then says what came of it."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        outputs = [message for message in request.messages if isinstance(message, ToolMessage)]
        if outputs:
            yield TextDelta(outputs[-1].output)
            yield LlmFinished("stop")
        else:
            yield ToolCallStarted(0, "call_1", self._tool)
            yield ToolCallDelta(0, "{}")
            yield LlmFinished("tool_calls")


@asynccontextmanager
async def session_with(
    toolbox: Toolbox, *tools: Tool, calls: str = "find"
) -> AsyncGenerator[tuple[Session, Heard], None]:
    """A session that writes, and has been given those tools."""
    engines = Engines(llm_engine=Caller(calls))
    async with opened(engines, {"output_modalities": ("text",)}, toolbox=toolbox) as (session, client):
        session.dispatch(UpdateSession({"tools": tools}))
        yield session, client


def answer(client: Heard) -> str:
    """What the model said in the end."""
    (message,) = client.of(ResponseDone)[-1].response.output[-1:]
    assert isinstance(message, MessageItem)
    part = message.content[0]
    assert isinstance(part, OutputText)
    return part.text


async def test_one_connection_serves_the_list_and_the_calls_and_ends_with_the_session() -> None:
    toolbox = Toolbox()
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        for count in (1, 2):
            session.dispatch(CreateItem(user("Find it")))
            session.dispatch(CreateResponse())
            await client.wait(ResponseDone, count)
        assert answer(client) == "find {}"
        assert (len(toolbox.connected), toolbox.left) == (1, 0)
    assert toolbox.left == 1


async def test_fresh_credentials_open_another_connection() -> None:
    toolbox = Toolbox()
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        fresh = McpTools("lab", "https://lab/mcp", {"Authorization": "Bearer new"}, always=None)
        session.dispatch(UpdateSession({"tools": (fresh,)}))
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        assert [server.headers for server in toolbox.connected] == [{}, {"Authorization": "Bearer new"}]
        assert toolbox.left == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ToolFailedError("no such host", "http_error"), "no such host"),
        (RuntimeError("a secret"), "The server had an unexpected error while it ran this tool."),
    ],
)
async def test_a_server_that_cannot_be_reached_is_tried_again_when_it_is_named_anew(
    fault: Exception, told: str
) -> None:
    toolbox = Toolbox()
    toolbox.refusing = fault
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        failed = client.of(ItemDone)[0].item
        assert isinstance(failed, McpListTools)
        assert failed.error == told
        toolbox.refusing = None
        session.dispatch(UpdateSession({"tools": ()}))
        session.dispatch(UpdateSession({"tools": (LAB,)}))
        assert (await client.wait(McpListingProgress, 4)).stage == "completed"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ToolFailedError("gone", "protocol_error", -32000), "The tool failed: gone"),
        (
            RuntimeError("a secret"),
            "The tool failed: The server had an unexpected error while it ran this ...",
        ),
    ],
)
async def test_a_tool_that_breaks_ends_one_call(fault: Exception, told: str) -> None:
    toolbox = Toolbox()
    toolbox.crashing = fault
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        assert answer(client).startswith(told.removesuffix("..."))


async def test_a_cancelled_response_stops_its_tools() -> None:
    toolbox = Toolbox()
    toolbox.may_answer.clear()
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        session.dispatch(CreateResponse())
        await toolbox.working.wait()
        session.dispatch(CancelResponse())
        assert (await client.wait(ResponseDone)).response.status == "cancelled"
        await toolbox.stopped.wait()


async def test_a_session_that_ends_takes_its_tools_with_it() -> None:
    toolbox = Toolbox()
    toolbox.may_answer.clear()
    async with session_with(toolbox, LAB) as (session, client):
        await client.wait(McpListingProgress, 2)
        session.dispatch(CreateResponse())
        await toolbox.working.wait()
    assert toolbox.stopped.is_set()
    assert toolbox.left == 1


async def test_a_search_goes_to_the_engine_that_was_named_or_the_first() -> None:
    toolbox = Toolbox()
    for search in (WebSearch(), WebSearch("google", max_results=7)):
        async with session_with(toolbox, search, calls="web_search") as (session, client):
            session.dispatch(CreateResponse())
            await client.wait(ResponseDone)
            assert answer(client) == "1. Rain"
    assert toolbox.searched == [("exa", "{}", 3), ("google", "{}", 7)]
