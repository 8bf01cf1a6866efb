"""Functions: called, answered, chosen."""

import json

from tests.conformance.client import Talk
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import CALL, TEXT, TOOL, configure, order, told


@scenario("A function is called, and its output answered when the client asks for it", variants=(*BOTH, BETA))
async def function_call(session: Talk) -> None:
    await configure(session, TEXT, {"tools": [TOOL]})
    asked = await session.ask('[[call weather {"city": "Oslo"}]]')
    assert order(asked.events) == CALL[:-1]
    (call,) = asked.calls
    assert json.loads(call["arguments"]) == {"city": "Oslo"}
    done = next(event for event in told(session) if event["type"] == "response.output_item.done")
    assert (done["item"]["status"], done["item"]["call_id"]) == ("completed", call["call_id"])
    await session.add({"type": "function_call_output", "call_id": call["call_id"], "output": "rain"})
    assert await session.settle() == []
    assert (await session.respond()).text == "Tool weather returned: rain"


@scenario("Text and several calls come in one response", variants=(*BOTH, BETA))
async def parallel_calls(session: Talk) -> None:
    await configure(session, {"tools": [TOOL]})
    reply = await session.ask("[[say One moment.]] [[call weather]] [[call weather]]")
    items = [item["type"] for item in reply.response["output"]]
    assert items == ["message", "function_call", "function_call"]
    added = [event for event in reply.events if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == [0, 1, 2]
    assert len({call["call_id"] for call in reply.calls}) == 2


@scenario("The tool choice of one response forces a call", variants=BOTH)
async def forced_call(session: Talk) -> None:
    await configure(session, TEXT)
    await session.type("Hello")
    for choice in ("required", {"type": "function", "name": "weather"}):
        reply = await session.respond(tools=[TOOL], tool_choice=choice)
        assert [call["name"] for call in reply.calls] == ["weather"]
        await session.add(
            {"type": "function_call_output", "call_id": reply.calls[0]["call_id"], "output": ""}
        )
