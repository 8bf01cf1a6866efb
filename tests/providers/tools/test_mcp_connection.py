"""What a session gets of an MCP server that behaves, a real one in a process of its own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from providers.tools.contracts import McpServer, ToolConnection, ToolFailedError
from providers.tools.limits import ToolLimits
from providers.tools.toolbox import ConfiguredToolbox
from tests.fakes.mcp_process import AUTHORIZATION, McpProcess

# /mcp speaks the newest version, which has no handshake; /old those before it, with sessions.
VERSIONS = pytest.mark.parametrize("path", ["/mcp", "/old"])


def server(mcp: McpProcess, path: str = "/mcp", **headers: str) -> McpServer:
    return McpServer(
        "tests", mcp.at(path), {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def call(connection: ToolConnection, tool: str, **arguments: object) -> str:
    return await connection.call(tool, json.dumps(arguments))


async def count_hanging(connection: ToolConnection, count: int) -> None:
    """Wait until the server runs so many calls that never end."""
    async with asyncio.timeout(10):
        while await call(connection, "count_hanging") != str(count):
            pass


@VERSIONS
async def test_tools_are_listed_as_their_server_describes_them(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str
) -> None:
    async with toolbox.connect(server(mcp, path)) as connection:
        tools = {tool.name: tool for tool in await connection.tools()}

    assert {"add", "echo", "fail", "hang", "huge", "secret", "rename_file"} <= tools.keys()
    assert tools["add"].description == "Adds two numbers."
    assert tools["add"].annotations == {"readOnlyHint": True}
    assert tools["add"].input_schema["required"] == ["a", "b"]
    assert [tools[name].read_only for name in ("add", "rename_file", "echo")] == [True, False, False]


async def test_lists_of_several_pages_are_put_together(mcp: McpProcess, toolbox: ConfiguredToolbox) -> None:
    async with toolbox.connect(server(mcp, "/paged")) as connection:
        tools = await connection.tools()

    assert [tool.name for tool in tools] == [
        f"tool_{page}_{place}" for page in range(3) for place in range(2)
    ]


@VERSIONS
async def test_results_become_text(mcp: McpProcess, toolbox: ConfiguredToolbox, path: str) -> None:
    async with toolbox.connect(server(mcp, path)) as connection:
        assert await call(connection, "add", a=2, b=3) == "5"
        assert await call(connection, "echo", text="héllo\n\N{SNOWMAN}") == "héllo\n\N{SNOWMAN}"
        assert await call(connection, "rename_file", old="a", new="b") == "a is now b"
        assert await connection.call("structured", "") == '{"temperature":21.5,"sky":"grün"}'
        assert await connection.call("nothing", " ") == ""
        assert (await call(connection, "media")).splitlines() == [
            "Two views:",
            "[an image, image/png, which cannot be shown here]",
            "[a recording, audio/wav, which cannot be played here]",
            "milk, eggs",
            "[a link to plan: file:///plan.pdf]",
        ]


@VERSIONS
async def test_long_results_are_cut_and_say_so(mcp: McpProcess, path: str) -> None:
    toolbox = ConfiguredToolbox(allowed_hosts=[mcp.host], limits=ToolLimits(max_result_chars=1000))
    async with toolbox.connect(server(mcp, path)) as connection:
        whole = await call(connection, "huge", characters=1000)
        cut = await call(connection, "huge", characters=1001)

    assert whole == "x" * 1000
    assert cut == "x" * 1000 + "\n[cut off: only the first 1000 of 1001 characters are here]"


@VERSIONS
async def test_credentials_and_headers_arrive(mcp: McpProcess, toolbox: ConfiguredToolbox, path: str) -> None:
    headers = {"Authorization": AUTHORIZATION, "X_Tenant": "blue"}
    async with toolbox.connect(server(mcp, path, **headers)) as connection:
        assert await call(connection, "secret") == "the cake is a lie"
        assert await call(connection, "header", name="X-Tenant") == "blue"
        assert await call(connection, "header", name="User-Agent") == "openparley"
        assert await call(connection, "header", name="Cookie") == "none"
    async with toolbox.connect(server(mcp, "/locked", Authorization=AUTHORIZATION)) as connection:
        assert await call(connection, "secret") == "the cake is a lie"


async def test_credentials_in_the_address_arrive(mcp: McpProcess, toolbox: ConfiguredToolbox) -> None:
    url = mcp.url.replace("//", "//ann:letmein@")
    async with toolbox.connect(McpServer("tests", url)) as connection:
        assert await call(connection, "header", name="Authorization") == "Basic YW5uOmxldG1laW4="


@VERSIONS
async def test_a_server_may_talk_and_ask_meanwhile(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str
) -> None:
    async with toolbox.connect(server(mcp, path)) as connection:
        assert await call(connection, "noisy") == "done"  # progress, log messages, a changed list of tools
        assert (await call(connection, "curious")).startswith("refused: ")
        assert await call(connection, "add", a=1, b=1) == "2"


@VERSIONS
async def test_many_calls_run_at_once(mcp: McpProcess, toolbox: ConfiguredToolbox, path: str) -> None:
    async with toolbox.connect(server(mcp, path)) as connection:
        sums = await asyncio.gather(*(call(connection, "add", a=number, b=1) for number in range(30)))

    assert sums == [str(number + 1) for number in range(30)]


@VERSIONS
async def test_a_cancelled_call_ends_at_the_server_and_holds_nobody_up(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str
) -> None:
    async with (
        toolbox.connect(server(mcp, path)) as connection,
        toolbox.connect(server(mcp, path)) as other,
    ):
        hanging = asyncio.create_task(call(connection, "hang"))
        await count_hanging(other, 1)
        assert await call(connection, "add", a=1, b=2) == "3"
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await count_hanging(other, 0)
        assert await call(connection, "add", a=1, b=2) == "3"


@VERSIONS
async def test_leaving_ends_calls_and_leaves_nothing_behind(
    mcp: McpProcess, toolbox: ConfiguredToolbox, path: str
) -> None:
    before = asyncio.all_tasks()
    async with toolbox.connect(server(mcp, path)) as watching:
        async with toolbox.connect(server(mcp, path)) as connection:
            hanging = asyncio.create_task(call(connection, "hang"))
            await count_hanging(watching, 1)
        async with asyncio.timeout(2):
            with pytest.raises(ToolFailedError):
                await hanging
        await count_hanging(watching, 0)

    assert asyncio.all_tasks() == before


async def test_an_opening_that_is_cancelled_leaves_nothing_behind() -> None:
    looking = asyncio.Event()

    async def look_up(host: str, port: int) -> Sequence[str]:
        looking.set()
        await asyncio.Event().wait()
        return []

    before = asyncio.all_tasks()
    context = ConfiguredToolbox(resolver=look_up).connect(McpServer("tests", "https://tools.example/mcp"))
    opening = asyncio.ensure_future(context.__aenter__())
    await looking.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert asyncio.all_tasks() == before


async def test_a_server_that_does_not_let_go_is_left_all_the_same(
    mcp: McpProcess, toolbox: ConfiguredToolbox
) -> None:
    async with toolbox.connect(server(mcp, "/clingy")) as connection:
        assert await call(connection, "add", a=1, b=2) == "3"
        began = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - began < 5


async def test_the_address_that_was_judged_is_connected_to(mcp: McpProcess) -> None:
    """A name that only our own lookup knows, so that nobody can have asked again."""
    asked = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    toolbox = ConfiguredToolbox(allowed_hosts=["127.0.0.1"], resolver=look_up)
    url = mcp.url.replace("127.0.0.1", "tools.example")
    async with toolbox.connect(McpServer("tests", url)) as connection:
        assert await call(connection, "header", name="Host") == f"tools.example:{mcp.port}"
        assert await call(connection, "add", a=1, b=2) == "3"

    assert asked == [("tools.example", mcp.port)]


async def test_a_name_that_changes_its_address_is_judged_again(mcp: McpProcess) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    async def look_up(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    toolbox = ConfiguredToolbox(allowed_hosts=["127.0.0.1"], resolver=look_up)
    url = mcp.url.replace("127.0.0.1", "tools.example")
    async with toolbox.connect(McpServer("tests", url)) as connection:
        both = await asyncio.gather(
            call(connection, "add", a=1, b=2), call(connection, "add", a=1, b=2), return_exceptions=True
        )

    # Two calls at once need a second connection, which another lookup leads to a forbidden address.
    assert "3" in both
    (failed,) = [each for each in both if isinstance(each, ToolFailedError)]
    assert "not a public address" in failed.message


def test_the_package_is_not_loaded_before_it_is_needed() -> None:
    """It takes more than a second, and most servers never need it."""
    program = "import sys, server.app, server.toolbox; print(sorted({'mcp', 'httpx2'} & set(sys.modules)))"

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
