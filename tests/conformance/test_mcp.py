"""Tools of a real MCP server, a process of its own: listed, called, approved, refused, failing."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from server.background import running_server
from server.settings import DefaultsSettings, Settings, ToolSettings
from tests.conformance.client import Event, SdkWire, Talk, openai_client, talk
from tests.fakes.mcp_process import AUTHORIZATION, McpProcess, start_mcp_server
from tests.speech import recording, silence

CALL_ORDER = [
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
]


@pytest.fixture(scope="module")
def mcp() -> Iterator[McpProcess]:
    with start_mcp_server() as process:
        yield process


@pytest.fixture(scope="module")
def url(mcp: McpProcess) -> Iterator[str]:
    """A server whose sessions may reach that process, and whose tools get little time."""
    tools = ToolSettings(allowed_hosts=(mcp.host,), connect_timeout=5, call_timeout=1, max_result_chars=2000)
    settings = Settings(tools=tools, defaults=DefaultsSettings(llm="builtin/echo"))
    with running_server(settings, environ={}) as url:
        yield url


def entry(mcp: McpProcess, **members: Any) -> Event:
    return {
        "type": "mcp",
        "server_label": "lab",
        "server_url": mcp.url,
        "require_approval": "never",
    } | members


async def listing(session: Talk, **members: Any) -> Event:
    """Have the tools of a server listed; the finished item."""
    await session.send("session.update", session={"type": "realtime"} | members)
    events = await session.until(lambda e: e["type"] in ("mcp_list_tools.completed", "mcp_list_tools.failed"))
    return next(event["item"] for event in events if event["type"] == "conversation.item.done")


async def goes_on(session: Talk) -> None:
    """An ordinary question is answered in an ordinary way."""
    assert (await session.ask("Still there?")).text == "You said: Still there?"


async def test_the_tools_are_listed_once(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await session.send("session.update", session={"type": "realtime", "tools": [entry(mcp)]})
        events = await session.until("mcp_list_tools.completed")

        assert [event["type"] for event in events] == [
            "session.updated",
            "conversation.item.added",
            "mcp_list_tools.in_progress",
            "conversation.item.done",
            "mcp_list_tools.completed",
        ]
        assert events[1]["item"]["tools"] == []
        (add,) = [tool for tool in events[3]["item"]["tools"] if tool["name"] == "add"]
        assert add["input_schema"]["required"] == ["a", "b"]
        assert add["annotations"]["readOnlyHint"] is True
        await session.update(tools=[{"type": "mcp", "server_label": "lab", "require_approval": "never"}])
        assert (await session.ask('[[call add {"a": 1, "b": 2}]]')).text == "Tool add returned: 3"


async def test_a_call_and_the_answer_to_it_are_one_response(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp)])
        reply = await session.ask('[[call add {"a": 20, "b": 22}]]')

        assert reply.types[1:7] == [*CALL_ORDER, "response.mcp_call.completed"]
        call, message = reply.response["output"]
        assert (call["type"], call["output"]) == ("mcp_call", "42")
        assert message["content"][0]["text"] == "Tool add returned: 42"
        await goes_on(session)


async def test_a_spoken_question_is_answered_with_a_tool(url: str, mcp: McpProcess) -> None:
    """A model that has to use a tool does so whatever was heard."""
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    async with talk(url, audio={"input": {"turn_detection": detection}}) as session:
        tools = [entry(mcp, allowed_tools=["add"])]
        await listing(session, tools=tools, tool_choice={"type": "mcp", "server_label": "lab"})
        await session.append(recording("clone-test", 24_000) + silence(1500, 24_000))
        reply = await session.reply()

        assert [item["type"] for item in reply.response["output"]] == ["mcp_call", "message"]
        assert reply.text.startswith("Tool add returned:")
        assert reply.audio


async def test_several_tools_and_rounds(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp)])
        reply = await session.ask('[[call add {"a": 1, "b": 1}]] [[call echo {"text": "hi"}]]')

        assert [item.get("output") for item in reply.response["output"]] == ["2", "hi", None]
        assert "Tool echo returned: hi" in reply.text


async def test_a_call_is_made_only_once_it_is_approved(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp, require_approval={"never": {"read_only": True}})])
        free = await session.ask('[[call add {"a": 1, "b": 1}]]')
        assert free.text == "Tool add returned: 2"

        asked = await session.ask('[[call echo {"text": "open"}]]')
        (request,) = asked.response["output"]
        assert request["type"] == "mcp_approval_request"
        assert (request["name"], request["arguments"]) == ("echo", '{"text": "open"}')

        answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        await session.add(answer)
        reply = await session.reply()
        call = reply.response["output"][0]
        assert (call["approval_request_id"], call["output"]) == (request["id"], "open")
        assert reply.text == "Tool echo returned: open"

        await session.send("conversation.item.create", item=answer)
        assert (await session.error())["param"] == "item.approval_request_id"
        await goes_on(session)


async def test_a_refused_call_is_not_made(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp, require_approval="always")])
        (request,) = (await session.ask('[[call echo {"text": "no"}]]')).response["output"]
        await session.add(
            {
                "type": "mcp_approval_response",
                "approval_request_id": request["id"],
                "approve": False,
                "reason": "not today",
            }
        )
        reply = await session.reply()

        assert "not today" in reply.text
        assert [item["type"] for item in reply.response["output"]] == ["message"]
        await goes_on(session)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("[[call fail]]", "tool_execution_error", "the disk is full"),
        ("[[call hang]]", "http_error", "1 s"),
        ('[[call add {"a": "x"}]]', "tool_execution_error", "a"),
    ],
)
async def test_a_tool_that_fails_is_told_to_the_model(
    url: str, mcp: McpProcess, call: str, kind: str, words: str
) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp)])
        reply = await session.ask(call)

        failed = reply.response["output"][0]
        assert failed["error"]["type"] == kind
        assert words in failed["error"]["message"]
        assert "response.mcp_call.failed" in reply.types
        assert "The tool failed" in reply.text
        assert reply.status == "completed"
        await goes_on(session)


async def test_a_huge_result_is_cut(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp)])
        reply = await session.ask("[[call huge]]")

        call = reply.response["output"][0]
        assert len(call["output"]) < 3000
        await goes_on(session)


async def test_credentials_arrive_and_are_shown_to_nobody(url: str, mcp: McpProcess) -> None:
    token = AUTHORIZATION.removeprefix("Bearer ")
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp, authorization=token, headers={"X-Lab": "a-secret"})])
        reply = await session.ask("[[call secret]]")

        assert "error" not in reply.response["output"][0]
        assert session.session["tools"] == [entry(mcp)]
        told = [event for event in session.events if event["type"] != "response.output_text.delta"]
        assert not any(token in str(event) or "a-secret" in str(event) for event in told)


async def test_a_client_secret_carries_credentials_that_its_holder_never_sees(
    url: str, mcp: McpProcess
) -> None:
    token = AUTHORIZATION.removeprefix("Bearer ")
    session = {"type": "realtime", "output_modalities": ["text"], "tools": [entry(mcp, authorization=token)]}
    async with openai_client(url) as maker:
        made = await maker.realtime.client_secrets.create(session=session)  # type: ignore[arg-type]
    assert token not in str(made)
    async with (
        openai_client(url, made.value) as client,
        client.realtime.connect(extra_query={}) as connection,
    ):
        talk = Talk(SdkWire(connection))
        events = await talk.until("mcp_list_tools.completed")
        assert [event["type"] for event in events][:2] == ["session.created", "conversation.item.added"]
        assert (await talk.ask("[[call secret]]")).text == "Tool secret returned: the cake is a lie"
        assert not any(token in str(event) for event in talk.events)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/mcp",
        "http://localhost:9/mcp",
        "https://10.0.0.1/mcp",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/mcp",
        "https://[::ffff:10.0.0.1]/mcp",
    ],
)
async def test_an_address_that_is_not_public_is_refused(url: str, address: str) -> None:
    async with talk(url, text=True) as session:
        item = await listing(session, tools=[{"type": "mcp", "server_label": "lab", "server_url": address}])

        assert item["tools"] == []
        assert "allowed_hosts" in item["error"]
        await goes_on(session)


async def test_a_server_that_refuses_us_has_no_tools(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        item = await listing(session, tools=[entry(mcp, server_url=mcp.at("/locked"), authorization="wrong")])

        assert "401" in item["error"]
        assert "wrong" not in item["error"]
        await goes_on(session)


async def test_a_response_can_be_cancelled_while_a_tool_works(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await listing(session, tools=[entry(mcp)])
        await session.start("[[call hang]]")
        await session.until("response.mcp_call.in_progress")
        await session.send("response.cancel")
        done = (await session.until("response.done"))[-1]["response"]

        assert done["status"] == "cancelled"
        assert done["output"][0]["error"]["type"] == "tool_execution_error"
        await goes_on(session)


async def test_one_session_does_not_wait_for_the_tool_of_another(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as slow, talk(url, text=True) as quick:
        await listing(slow, tools=[entry(mcp)])
        await slow.start("[[call hang]]")
        await slow.until("response.mcp_call.in_progress")
        async with asyncio.timeout(10):
            await goes_on(quick)
        await slow.until("response.done")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"server_url": None}, "session.tools[0].server_url"),
        ({"server_url": "ftp://host/mcp"}, "session.tools[0].server_url"),
        ({"server_url": "https://user:pass@host/mcp"}, "session.tools[0].server_url"),
        ({"connector_id": "connector_gmail"}, "session.tools[0].connector_id"),
        ({"tunnel_id": "t"}, "session.tools[0].tunnel_id"),
        ({"authorization": "a", "headers": {"authorization": "b"}}, "session.tools[0].headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "session.tools[0].headers.X"),
        ({"server_label": ""}, "session.tools[0].server_label"),
        ({"require_approval": "sometimes"}, "session.tools[0].require_approval"),
        ({"allowed_tools": 3}, "session.tools[0].allowed_tools"),
    ],
)
async def test_what_makes_no_sense_is_refused(url: str, mcp: McpProcess, members: Event, param: str) -> None:
    async with talk(url, text=True) as session:
        await session.send("session.update", session={"type": "realtime", "tools": [entry(mcp) | members]})
        assert (await session.error())["param"] == param
        assert session.session["tools"] == []


async def test_two_servers_need_two_labels(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True) as session:
        await session.send("session.update", session={"type": "realtime", "tools": [entry(mcp), entry(mcp)]})
        error = await session.error()
        assert "server_label 'lab'" in error["message"]


async def test_a_strict_session_has_mcp_as_well(url: str, mcp: McpProcess) -> None:
    async with talk(url, text=True, query={"profile": "openai"}) as session:
        await listing(session, tools=[entry(mcp)], tool_choice={"type": "mcp", "server_label": "lab"})
        assert session.session["tool_choice"] == {"type": "mcp", "server_label": "lab"}
        await session.update(tool_choice="auto")
        assert (await session.ask('[[call add {"a": 1, "b": 2}]]')).text == "Tool add returned: 3"
