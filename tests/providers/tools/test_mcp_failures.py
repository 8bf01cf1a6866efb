"""What a session hears of MCP servers that fail, lie, flood, hang or die: never more than one clear error."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from providers.tools.contracts import McpServer, ToolConnection, ToolFailedError
from providers.tools.limits import ToolLimits
from providers.tools.toolbox import ConfiguredToolbox
from tests.fakes.mcp_process import McpProcess, start_mcp_server

VERSIONS = pytest.mark.parametrize("path", ["/mcp", "/old"])
QUICK = ToolLimits(connect_timeout=1.0, call_timeout=1.0)


async def call(connection: ToolConnection, name: str, **arguments: object) -> str:
    return await connection.call(name, json.dumps(arguments))


async def failure_of_listing(toolbox: ConfiguredToolbox, server: McpServer) -> ToolFailedError:
    with pytest.raises(ToolFailedError) as caught:
        async with toolbox.connect(server) as connection:
            await connection.tools()
    return caught.value


async def failure_of_call(connection: ToolConnection, name: str, arguments: str = "{}") -> ToolFailedError:
    with pytest.raises(ToolFailedError) as caught:
        await connection.call(name, arguments)
    return caught.value


@VERSIONS
async def test_tools_that_fail_say_why(mcp: McpProcess, toolbox: ConfiguredToolbox, path: str) -> None:
    async with toolbox.connect(McpServer("tests", mcp.at(path))) as connection:
        failed = await failure_of_call(connection, "fail")
        unknown = await failure_of_call(connection, "no_such_tool")
        wrong = await failure_of_call(connection, "add", '{"a": "x"}')
        assert await call(connection, "add", a=1, b=2) == "3"

    assert (failed.kind, failed.code) == ("tool_execution_error", 0)
    assert failed.message == "Error executing tool fail: the disk is full"
    assert "no_such_tool" in unknown.message
    assert "Field required" in wrong.message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ("null", "object"),
        ('"x"', "object"),
        ("NaN", "JSON"),
    ],
)
async def test_arguments_that_are_no_object_are_not_sent(
    mcp: McpProcess, toolbox: ConfiguredToolbox, arguments: str, said: str
) -> None:
    async with toolbox.connect(McpServer("tests", mcp.url)) as connection:
        failed = await failure_of_call(connection, "echo", arguments)

    assert failed.kind == "tool_execution_error"
    assert said in failed.message


async def test_servers_without_tools_are_told(mcp: McpProcess, toolbox: ConfiguredToolbox) -> None:
    async with toolbox.connect(
        McpServer("tests", mcp.at("/paged"))
    ) as connection:  # it lists and cannot call
        failed = await failure_of_call(connection, "tool_0_0")

    assert (failed.kind, failed.code) == ("protocol_error", -32601)


@pytest.mark.parametrize(
    ("path", "kind", "code", "said"),
    [
        ("/locked", "http_error", 401, "does not accept the authorization"),
        ("/status/403", "http_error", 403, "does not accept the authorization"),
        ("/status/404", "http_error", 404, "no MCP server at this address"),
        ("/status/429", "http_error", 429, "answers 429"),
        ("/status/500", "http_error", 500, "answers 500"),
        ("/status/202", "protocol_error", -32600, "202"),
        ("/garbage", "protocol_error", -32700, "does not answer as an MCP server"),
        ("/garbage?type=text/html", "protocol_error", -32600, "content type"),
        ("/flood", "http_error", 200, "more than 1048576 bytes"),
        ("/flood?type=text/event-stream", "http_error", 200, "more than 1048576 bytes"),
        ("/bomb", "http_error", 200, "compressed"),
        ("/moved?to=/elsewhere", "http_error", 404, "no MCP server at this address"),
        ("/endless", "protocol_error", 0, "more than 128 tools"),
        ("/empty", "protocol_error", 0, "more than 100 pages"),
        ("/bulky", "protocol_error", 0, "more than 262144 bytes"),
    ],
)
async def test_servers_that_misbehave_are_told_apart(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str, kind: str, code: int, said: str
) -> None:
    failed = await failure_of_listing(toolbox, McpServer("tests", mcp.at(path)))

    assert (failed.kind, failed.code) == (kind, code)
    assert said in failed.message


@pytest.mark.parametrize("path", ["/silent", "/slow"])
async def test_servers_that_never_answer_are_given_up(mcp: McpProcess, path: str) -> None:
    toolbox = ConfiguredToolbox(allowed_hosts=[mcp.host], limits=QUICK)

    failed = await failure_of_listing(toolbox, McpServer("tests", mcp.at(path)))

    assert (failed.kind, failed.code) == ("http_error", 0)
    assert failed.message.endswith("within 1 s")


@VERSIONS
async def test_calls_that_never_end_are_given_up(mcp: McpProcess, path: str) -> None:
    toolbox = ConfiguredToolbox(allowed_hosts=[mcp.host], limits=QUICK)
    async with toolbox.connect(McpServer("tests", mcp.at(path))) as connection:
        failed = await failure_of_call(connection, "hang")
        assert await call(connection, "add", a=1, b=2) == "3"

    assert (failed.kind, failed.code) == ("http_error", 0)
    assert failed.message == f"{mcp.host} does not answer the call within 1 s"


@VERSIONS
async def test_answers_that_are_too_long_fail_their_call_alone(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str
) -> None:
    async with toolbox.connect(McpServer("tests", mcp.at(path))) as connection:
        failed = await failure_of_call(connection, "huge", '{"characters": 5000000}')
        assert await call(connection, "add", a=1, b=2) == "3"

    assert failed.message == f"{mcp.host} answers with more than 1048576 bytes"


async def test_a_server_that_talks_without_end_is_not_listened_to(
    mcp: McpProcess, toolbox: ConfiguredToolbox
) -> None:
    async with toolbox.connect(McpServer("tests", mcp.at("/chatty"))) as connection:
        async with asyncio.timeout(20):
            told = ""
            while not told.startswith("1 ") or not told.endswith(" 0"):  # one stream, and it is closed
                told = await call(connection, "count_chatter")
        assert await call(connection, "add", a=1, b=2) == "3"

    sent = int(told.split()[1])
    assert 1_000_000 < sent < 16_000_000  # much of it was still on its way when it was cut off


@VERSIONS
async def test_a_server_that_dies_in_a_call_is_found_again_once_it_is_back(path: str) -> None:
    with start_mcp_server() as mcp:
        toolbox = ConfiguredToolbox(allowed_hosts=[mcp.host])
        async with toolbox.connect(McpServer("tests", mcp.at(path))) as connection:
            # Sent a second time, it would find nobody and fail of that.
            died = await failure_of_call(connection, "die")
            mcp.wait()
            gone = await failure_of_call(connection, "add", '{"a": 1, "b": 2}')
            mcp.restart()
            # Both find that the server has forgotten them.
            total, tools = await asyncio.gather(call(connection, "add", a=1, b=2), connection.tools())

    assert total == "3"
    assert len(tools) > 10
    assert died.message == f"{mcp.host} broke off the connection"
    assert gone.message == f"{mcp.host} cannot be reached: the connection is refused"
    assert (died.kind, died.code) == (gone.kind, gone.code) == ("http_error", 0)


async def test_servers_that_are_not_there_are_told() -> None:
    async with _counting_server() as (port, _):
        pass
    toolbox = ConfiguredToolbox(allowed_hosts=["127.0.0.1"])

    failed = await failure_of_listing(toolbox, McpServer("tests", f"http://127.0.0.1:{port}/mcp"))

    assert failed.message == f"127.0.0.1:{port} cannot be reached: the connection is refused"


async def test_addresses_that_are_not_allowed_are_not_connected_to() -> None:
    async with _counting_server() as (port, count):
        for url in (f"http://127.0.0.1:{port}/", f"https://localhost:{port}/", f"http://[::1]:{port}/"):
            failed = await failure_of_listing(ConfiguredToolbox(), McpServer("tests", url))
            assert "not a public address" in failed.message
        assert count() == 0


async def test_redirects_lead_nowhere_else(mcp: McpProcess, toolbox: ConfiguredToolbox) -> None:
    async with _counting_server() as (port, count):
        for target in (
            f"http://127.0.0.1:{port}/mcp",
            f"http://localhost:{mcp.port}/mcp",
            "file:///etc/passwd",
        ):
            url = mcp.at(f"/moved?to={target}")
            failed = await failure_of_listing(toolbox, McpServer("tests", url))
            assert (failed.kind, failed.code) == ("http_error", 307)
            assert "another address" in failed.message
        assert count() == 0
    async with toolbox.connect(McpServer("tests", mcp.at("/moved?to=/mcp"))) as connection:
        assert await call(connection, "add", a=1, b=2) == "3"


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Proxy-Authorization", "Mcp-Session-Id"]
)
async def test_headers_of_http_itself_are_not_for_clients(toolbox: ConfiguredToolbox, name: str) -> None:
    failed = await failure_of_listing(toolbox, McpServer("tests", "https://x.example", {name: "1"}))

    assert failed.message == f"the header {name} may not be set"


@pytest.mark.parametrize(
    "headers", [{"a b": "1"}, {"": "1"}, {"a": "1\r\nb: 2"}, {"a": "é"}, {"a": "x" * 9000}]
)
async def test_headers_that_http_does_not_allow_are_refused(
    toolbox: ConfiguredToolbox, headers: dict[str, str]
) -> None:
    failed = await failure_of_listing(toolbox, McpServer("tests", "https://x.example", headers))

    assert "header" in failed.message
    assert not any(value in failed.message for value in headers.values() if len(value) > 1)


async def test_mcp_can_be_switched_off(mcp: McpProcess) -> None:
    toolbox = ConfiguredToolbox(mcp=False, allowed_hosts=[mcp.host])

    failed = await failure_of_listing(toolbox, McpServer("tests", mcp.url))

    assert "tools.mcp" in failed.message


async def test_credentials_are_told_to_nobody_else(
    mcp: McpProcess, toolbox: ConfiguredToolbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("open-sesame", "wonderland", "key-in-the-query")
    headers = {"Authorization": "Bearer open-sesame"}
    told = []
    for path in ("/mcp", "/old", "/locked", "/garbage", "/moved", "/flood", "/silent-not"):
        address = (
            mcp.at(path).replace("//", "//alice:wonderland@") + "?to=http://localhost/&key=key-in-the-query"
        )
        for url in (address, mcp.at(path)):
            server = McpServer("tests", url, headers)
            told.append(repr(server))
            try:
                async with toolbox.connect(server) as connection:
                    await connection.call("blab", "{}")
            except ToolFailedError as failed:
                told.append(f"{failed.message} {failed!r}")

    assert "the token of [hidden] is no good" in "".join(told)
    for secret in secrets:
        assert secret not in "".join(told)
        assert secret not in caplog.text
    assert not [
        record for record in caplog.records if record.name.partition(".")[0] in ("mcp", "httpx2", "httpcore2")
    ]


@asynccontextmanager
async def _counting_server() -> AsyncIterator[tuple[int, "_Count"]]:
    """A port, and how many connections it has seen."""
    count = _Count()
    listening = await asyncio.start_server(count.see, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], count


class _Count:
    def __init__(self) -> None:
        self._count = 0

    def see(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        writer.close()

    def __call__(self) -> int:
        return self._count
