"""Function calling: one call and several, every form of tool_choice, outputs returned and refused."""

import json
from typing import Any

import pytest

from tests.conformance.client import Event, talk


def tool(name: str, parameters: dict[str, Any] | None = None) -> Event:
    return {
        "type": "function",
        "name": name,
        "description": f"Does {name}.",
        "parameters": parameters or {"type": "object", "properties": {}},
    }


def output(call: Event, text: str) -> Event:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": text}


WEATHER = tool(
    "weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
CLOCK = tool("clock")


async def test_several_calls_come_in_one_response(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[WEATHER, CLOCK]) as session:
        asked = await session.ask(
            '[[call weather {"city": "Oslo"}]] [[call clock]] [[call weather {"city": "Rome"}]]'
        )
        for number, call in enumerate(asked.calls):
            await session.add(output(call, f"answer {number}"))
        answered = await session.respond()

        assert [call["name"] for call in asked.calls] == ["weather", "clock", "weather"]
        assert len({call["call_id"] for call in asked.calls}) == 3
        assert all(f"answer {number}" in answered.text for number in range(3))


async def test_text_and_a_call_may_come_in_one_response(server_url: str) -> None:
    async with talk(server_url, tools=[CLOCK]) as session:
        reply = await session.ask("[[say One moment.]] [[call clock]]")

        assert [item["type"] for item in reply.response["output"]] == ["message", "function_call"]
        assert reply.text == "One moment."
        assert reply.audio


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["weather"]),
        ({"type": "function", "name": "clock"}, ["clock"]),
        ({"type": "function", "name": "weather"}, ["weather"]),
    ],
)
async def test_the_tool_choice_of_a_session_decides(server_url: str, choice: Any, called: list[str]) -> None:
    async with talk(server_url, text=True, tools=[WEATHER, CLOCK], tool_choice=choice) as session:
        reply = await session.ask("Hello")

        assert session.session["tool_choice"] == choice
        assert [call["name"] for call in reply.calls] == called
        if not called:
            assert reply.text == "You said: Hello"
        for call in reply.calls:
            assert isinstance(json.loads(call["arguments"]), dict)


async def test_tool_choice_none_keeps_a_model_from_calling(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[CLOCK], tool_choice="none") as session:
        reply = await session.ask("[[call clock]]")

        assert reply.calls == []


async def test_tools_of_one_response_replace_those_of_the_session(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[CLOCK]) as session:
        await session.type("Hello")
        own = await session.respond(tools=[WEATHER], tool_choice="required")
        usual = await session.respond(tool_choice="required")

        assert [call["name"] for call in own.calls] == ["weather"]
        assert [call["name"] for call in usual.calls] == ["clock"]
        assert [t["name"] for t in (await session.update())["tools"]] == ["clock"]


async def test_a_required_call_fills_in_what_its_schema_demands(server_url: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["small", "large"]},
            "count": {"type": "integer", "minimum": 3},
            "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
        "required": ["kind", "count", "names"],
    }
    async with talk(server_url, text=True, tools=[tool("order", schema)], tool_choice="required") as session:
        (call,) = (await session.ask("Hello")).calls
        arguments = json.loads(call["arguments"])

        assert arguments["kind"] in ("small", "large")
        assert arguments["count"] >= 3
        assert len(arguments["names"]) >= 1


async def test_a_history_with_calls_can_be_replayed(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[CLOCK]) as session:
        await session.type("What time is it?")
        call = {"type": "function_call", "call_id": "call_old", "name": "clock", "arguments": "{}"}
        kept = await session.add(call)
        await session.add(output(call, "noon"))
        reply = await session.respond()

        assert (kept["call_id"], kept["status"]) == ("call_old", "completed")
        assert "noon" in reply.text


async def test_an_output_may_be_empty(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[CLOCK]) as session:
        (call,) = (await session.ask("[[call clock]]")).calls
        kept = await session.add(output(call, ""))

        assert kept["output"] == ""
        assert (await session.respond()).status == "completed"


async def test_call_ids_differ_between_turns(server_url: str) -> None:
    async with talk(server_url, text=True, tools=[CLOCK]) as session:
        ids = set()
        for _ in range(3):
            (call,) = (await session.ask("[[call clock]]")).calls
            await session.add(output(call, "noon"))
            ids.add(call["call_id"])

        assert len(ids) == 3
