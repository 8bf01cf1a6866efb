"""Function calling: the horoscope of the guide, answered by the client, with several tools and without."""

import json
from typing import Any

import pytest

from tests.conformance.client import RATE, Event, Reply, Talk
from tests.conformance.hearing import seconds
from tests.conformance.inworld.client import inworld
from tests.conformance.inworld.conftest import Lab
from tests.fakes.openai_api import ChatReply, FakeCall

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOROSCOPE: Event = {
    "type": "function",
    "name": "get_horoscope",
    "description": "Get the horoscope for a zodiac sign",
    "parameters": {
        "type": "object",
        "properties": {"sign": {"type": "string", "description": "Zodiac sign, e.g. Aries, Taurus"}},
        "required": ["sign"],
    },
}
MOON: Event = {"type": "function", "name": "get_moon", "description": "Get the phase of the moon"}
DONE = "response.function_call_arguments.done"


def fetch_horoscope(sign: str) -> Event:
    """The client's own business."""
    return {"sign": sign, "horoscope": f"{sign} will meet an old friend"}


async def register(talk: Talk, *tools: Event) -> Event:
    """The guide's first step."""
    session = {"type": "realtime", "tools": list(tools), "tool_choice": "auto"}
    await talk.send("session.update", session=session)
    event = await talk.receive()
    assert event["type"] == "session.updated", event
    state: Event = event["session"]
    return state


async def handle(talk: Talk, event: Event) -> None:
    """The guide's second step, for one event: run the call, return its result, have the model go on."""
    if event["type"] == DONE:
        arguments = json.loads(event["arguments"])
        result = fetch_horoscope(arguments["sign"]) if event["name"] == "get_horoscope" else None
        item = {"type": "function_call_output", "call_id": event["call_id"], "output": json.dumps(result)}
        await talk.send("conversation.item.create", item=item)
        await talk.send("response.create")


async def converse(talk: Talk, text: str) -> tuple[Reply, Reply]:
    """Ask, handle what comes as the guide does, and give both replies."""
    await talk.type(text)
    await talk.send("response.create")
    done: list[str] = []
    while len(done) < 2:
        event = await talk.receive()
        await handle(talk, event)
        if event["type"] == "response.done":
            done.append(event["response"]["id"])
    first, second = done
    return await talk.reply(first), await talk.reply(second)


async def test_a_horoscope_is_fetched_and_spoken(server_url: str) -> None:
    async with inworld(server_url) as talk:
        state = await register(talk, HOROSCOPE)
        first, second = await converse(talk, '[[call get_horoscope {"sign": "Aries"}]]')

    assert (state["tools"], state["tool_choice"]) == ([HOROSCOPE], "auto")
    (call,) = first.calls
    assert (call["name"], json.loads(call["arguments"])) == ("get_horoscope", {"sign": "Aries"})
    done = next(event for event in talk.events if event["type"] == DONE)
    assert (done["name"], done["call_id"]) == ("get_horoscope", call["call_id"])
    assert "Aries will meet an old friend" in second.text
    assert 1 < seconds(second.audio, RATE) < 15
    announced = [e["type"] for e in talk.events if (e.get("item") or {}).get("type") == "function_call"]
    assert announced[0] == "response.output_item.added"
    kinds = [event["type"] for event in talk.events]
    assert kinds.index("response.output_item.added") < kinds.index(DONE)


async def test_a_horoscope_is_streamed_as_text(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await talk.update(output_modalities=["text"])
        await register(talk, HOROSCOPE)
        _, second = await converse(talk, '[[call get_horoscope {"sign": "Taurus"}]]')

    assert "Taurus will meet an old friend" in second.text
    assert second.types.count("response.output_text.delta") >= 1
    assert not second.audio


async def test_a_real_models_shape_of_the_call_is_understood(lab: Lab) -> None:
    lab.openai.chat.script(
        ChatReply(calls=(FakeCall("get_horoscope", '{"sign": "Leo"}'),)), ChatReply(text="Leo, a friend.")
    )
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        await register(talk, HOROSCOPE)
        _, second = await converse(talk, "What do the stars say for Leo?")

    asked, answered = (request.body for request in lab.openai.chat.requests[-2:])
    function = {name: HOROSCOPE[name] for name in ("name", "description", "parameters")}
    assert [{name: tool["function"][name] for name in function} for tool in asked["tools"]] == [function]
    *_, call, result = answered["messages"]
    assert call["tool_calls"][0]["function"]["name"] == "get_horoscope"
    assert json.loads(result["content"]) == fetch_horoscope("Leo")
    assert (second.text, bool(second.audio)) == ("Leo, a friend.", True)


async def test_each_of_several_calls_is_an_event_of_its_own(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await register(talk, HOROSCOPE, MOON)
        await talk.type(
            '[[call get_horoscope {"sign": "Leo"}]] [[call get_moon]]'
            ' [[call get_horoscope {"sign": "Virgo"}]]'
        )
        reply = await talk.respond()
        calls = [event for event in talk.events if event["type"] == DONE]
        for call in calls:
            item = {"type": "function_call_output", "call_id": call["call_id"], "output": call["name"]}
            await talk.send("conversation.item.create", item=item)
        answer = await talk.respond()

    assert [call["name"] for call in calls] == ["get_horoscope", "get_moon", "get_horoscope"]
    assert len({call["call_id"] for call in calls}) == 3
    assert [json.loads(call["arguments"]) for call in calls] == [{"sign": "Leo"}, {}, {"sign": "Virgo"}]
    assert (reply.status, answer.status) == ("completed", "completed")
    assert answer.text.count("returned") == 3


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", False),
        ("required", True),
        ({"type": "function", "name": "get_moon"}, True),
    ],
    ids=str,
)
async def test_the_choice_of_a_tool_is_followed(server_url: str, choice: Any, called: bool) -> None:
    async with inworld(server_url) as talk:
        await register(talk, MOON)
        await talk.update(tool_choice=choice)
        reply = await talk.ask("Hello.")

    assert bool(reply.calls) == called


async def test_without_auto_tool_response_the_server_waits_for_the_client(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await register(talk, MOON)
        await talk.update(providerData={"auto_tool_response": False})
        reply = await talk.ask("[[call get_moon]]")
        item = {"type": "function_call_output", "call_id": reply.calls[0]["call_id"], "output": "full"}
        await talk.send("conversation.item.create", item=item)
        before = await talk.settle()
        answer = await talk.respond()

    assert [event["type"] for event in before] == ["conversation.item.added", "conversation.item.done"]
    assert answer.text == "Tool get_moon returned: full"
