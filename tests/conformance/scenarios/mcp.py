"""Tools of an MCP server: listed, called, asked for, refused."""

from typing import Any

from tests.conformance.client import Event, Talk
from tests.conformance.scenarios.registry import BOTH, scenario
from tests.conformance.scenarios.steps import TEXT, configure, message, order, order_since, told
from tests.fakes.mcp_process import AUTHORIZATION

MCP_CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
]


def _entry(session: Talk, **members: Any) -> Event:
    """The stage tells where the server is by the instructions that its sessions begin with."""
    entry = {"type": "mcp", "server_label": "lab", "require_approval": "never"}
    return entry | {"server_url": session.session["instructions"]} | members


async def _list(session: Talk, *tools: Event, **settings: Any) -> None:
    await configure(session, TEXT, {"tools": list(tools), **settings})
    while "in_progress" in session.oracle.sequence.listings.values():
        await session.receive()


@scenario("The tools of an MCP server are listed when it is named", variants=BOTH, stage="tools")
async def mcp_listing(session: Talk) -> None:
    await session.send("session.update", session={"type": "realtime", "tools": [_entry(session)]})
    events = await session.until("mcp_list_tools.completed")
    assert order(events) == [
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "conversation.item.done",
        "mcp_list_tools.completed",
    ]


@scenario("An MCP server that cannot be reached has no tools", variants=BOTH, stage="tools")
async def mcp_listing_fails(session: Talk) -> None:
    far = _entry(session, server_url="https://10.0.0.1/mcp", server_description="Out of reach")
    await session.send("session.update", session={"type": "realtime", "tools": [far]})
    events = await session.until("mcp_list_tools.failed")
    assert order(events)[-2:] == ["conversation.item.done", "mcp_list_tools.failed"]


@scenario(
    "The server calls a tool, and the answer follows in the same response", variants=BOTH, stage="tools"
)
async def mcp_call(session: Talk) -> None:
    await _list(session, _entry(session, allowed_tools=["add"], allowed_callers=["direct", "programmatic"]))
    reply = await session.ask('[[call add {"a": 1, "b": 2}]]')
    assert order(reply.events)[1:7] == [*MCP_CALL, "response.mcp_call.completed"]
    assert [item["type"] for item in reply.response["output"]] == ["mcp_call", "message"]
    assert reply.text == "Tool add returned: 3"


@scenario("A tool that fails ends its call, and the model is told", variants=BOTH, stage="tools")
async def mcp_call_fails(session: Talk) -> None:
    credentials = {"authorization": AUTHORIZATION.removeprefix("Bearer "), "defer_loading": False}
    await _list(session, _entry(session, **credentials))
    for call in ("[[call fail]]", "[[call hang]]"):
        reply = await session.ask(call)
        assert "response.mcp_call.failed" in order(reply.events)
        assert "The tool failed" in reply.text
    kinds = [item["error"]["type"] for e in told(session) if (item := e.get("item")) and "error" in item]
    assert set(kinds) == {"tool_execution_error", "http_error"}


@scenario("A guarded tool is called once the client has agreed", variants=BOTH, stage="tools")
async def mcp_approval(session: Talk) -> None:
    guard = {
        "never": {"read_only": True, "tool_names": ["add"]},
        "always": {"tool_names": ["echo"], "read_only": False},
    }
    await _list(session, _entry(session, require_approval=guard, headers={"X-Lab": "1"}))
    for approve, said in ((True, "Tool echo returned: hi"), (False, "not allow")):
        start = len(session.events)
        reply = await session.ask('[[call echo {"text": "hi"}]]')
        assert order_since(session, start)[-6:-2] == [
            "response.output_item.added",
            "conversation.item.added",
            "conversation.item.done",
            "response.output_item.done",
        ]
        (request,) = reply.response["output"]
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "id": f"mine_{approve}",
        }
        await session.add(answer | {"approve": approve} | ({} if approve else {"reason": "No."}))
        assert said in (await session.reply()).text


@scenario("A tool choice names a server, or one of its tools", variants=BOTH, stage="tools")
async def mcp_choice(session: Talk) -> None:
    every = {"tool_names": ["add", "echo"], "read_only": True}
    await _list(session, _entry(session, allowed_tools=every, require_approval="always"))
    await _list(
        session, _entry(session, allowed_tools=every), tool_choice={"type": "mcp", "server_label": "lab"}
    )
    assert (await session.ask("Hello")).response["output"][0]["name"] == "add"
    choice = {"type": "mcp", "server_label": "lab", "name": "add"}
    await configure(session, {"tool_choice": choice})
    assert session.session["tool_choice"] == choice
    guarded = {name: value for name, value in _entry(session).items() if name != "server_url"}
    both: Event = {"tools": [guarded | {"require_approval": "never"}], "tool_choice": choice}
    assert (await session.ask("Hello", **both)).response["output"][0]["type"] == "mcp_call"


@scenario("Calls of an earlier conversation are replayed, not made again", variants=BOTH, stage="tools")
async def mcp_history(session: Talk) -> None:
    await configure(session, TEXT)
    call = {"type": "mcp_call", "server_label": "lab", "name": "add", "arguments": "{}"}
    await session.add(message("What is 1 + 2?"))
    await session.add(call | {"id": "mine_1", "output": "3"})
    broken: list[Event] = [
        {"type": "protocol_error", "code": -32602, "message": "no"},
        {"type": "http_error", "code": 503, "message": "down"},
        {"type": "tool_execution_error", "message": "oops"},
    ]
    for number, error in enumerate(broken):
        await session.add(call | {"id": f"mine_{number + 2}", "error": error, "approval_request_id": "gone"})
    assert await session.settle() == []
    assert (await session.respond(input=[call | {"id": "mine_9", "output": "3"}])).status == "completed"
