"""Responses outside the conversation, and responses with an input of their own."""

import pytest

from tests.conformance.client import Event, talk


def message(text: str, role: str = "user") -> Event:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


async def test_a_response_outside_the_conversation_leaves_no_trace_in_it(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.ask("Hello")
        before = await session.items()
        reply = await session.respond(
            conversation="none", input=[message("Classify this")], metadata={"topic": "test"}
        )

        assert reply.text == "You said: Classify this"
        assert reply.response["conversation_id"] is None
        assert reply.response["metadata"] == {"topic": "test"}
        assert reply.types[0] == "response.created"
        assert reply.events[0]["response"]["metadata"] == {"topic": "test"}
        assert not any(kind.startswith("conversation.") for kind in reply.types)
        assert await session.items() == before


async def test_it_runs_beside_the_response_of_the_conversation(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        inside = await session.start("[[words 80]] [[pace 10]]")
        outside = await session.start(conversation="none", input=[message("[[words 20]] [[pace 5]]")])
        await session.until(lambda e: e["type"] == "response.done" and e["response"]["id"] == outside)
        still_running = session.reply_so_far(inside).response["status"] == "in_progress"
        reply = await session.reply(inside)

        assert still_running
        assert len(session.reply_so_far(outside).text.split()) == 20
        assert len(reply.text.split()) == 80


async def test_several_may_run_at_once(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        ids = [
            await session.start(
                conversation="none", input=[message(f"[[words {n}]] [[pace 5]]")], metadata={"n": str(n)}
            )
            for n in (10, 20, 30)
        ]
        while session.oracle.sequence.finished():
            await session.receive()

        for id, count in zip(ids, (10, 20, 30), strict=True):
            reply = session.reply_so_far(id)
            assert len(reply.text.split()) == count
            assert reply.response["metadata"] == {"n": str(count)}


async def test_it_is_cancelled_by_its_id_and_not_by_a_cancel_without_one(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        outside = await session.start(conversation="none", input=[message("[[words 400]] [[pace 20]]")])
        await session.send("response.cancel")
        error = next(e["error"] for e in await session.until("error") if e["type"] == "error")
        await session.send("response.cancel", response_id=outside)
        reply = await session.reply(outside)

        assert error["code"] == "response_cancel_not_active"
        assert (reply.status, reply.reason) == ("cancelled", "client_cancelled")


async def test_it_can_speak(server_url: str) -> None:
    async with talk(server_url) as session:
        reply = await session.respond(conversation="none", input=[message("Hello")])

        assert reply.text == "You said: Hello"
        assert reply.audio


async def test_without_input_it_sees_the_conversation(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.type("What was that?")
        reply = await session.respond(conversation="none")

        assert reply.text == "You said: What was that?"


async def test_an_empty_input_is_an_empty_context(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.type("Do not look at this")
        reply = await session.respond(conversation="none", input=[])

        assert "Do not look" not in reply.text
        assert reply.status == "completed"


async def test_a_reference_brings_an_item_of_the_conversation_along(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        item = await session.type("Remember me")
        await session.type("Forget me")
        reply = await session.respond(
            conversation="none", input=[{"type": "item_reference", "id": item["id"]}]
        )

        assert reply.text == "You said: Remember me"


async def test_a_reference_to_nothing_is_refused(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        reference = {"type": "item_reference", "id": "item_nobody"}
        await session.send(
            "response.create", response={"conversation": "none", "input": [reference]}, event_id="r"
        )
        error = await session.error()

        assert (error["type"], error["event_id"]) == ("invalid_request_error", "r")
        assert error["param"] == "response.input[0].id"
        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_input_replaces_the_context_while_the_answer_joins_the_conversation(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.type("Old context")
        reply = await session.respond(input=[message("New context")])

        assert reply.text == "You said: New context"
        assert reply.response["conversation_id"]
        assert reply.response["output"][0]["id"] in await session.items()
        assert len(await session.items()) == 2


async def test_input_may_hold_a_whole_history(server_url: str) -> None:
    history = [
        message("Be kind.", "system"),
        message("Hi"),
        message("Hello.", "assistant"),
        {"type": "function_call", "call_id": "c1", "name": "clock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
    ]
    async with talk(server_url, text=True) as session:
        reply = await session.respond(conversation="none", input=history)

        assert reply.text == "Tool clock returned: noon"
        assert await session.items() == []


@pytest.mark.parametrize("conversation", ["auto", None])
async def test_metadata_is_echoed_inside_the_conversation_as_well(
    server_url: str, conversation: str | None
) -> None:
    async with talk(server_url, text=True) as session:
        await session.type("Hello")
        members = {"conversation": conversation} if conversation else {}
        reply = await session.respond(metadata={"client_event_id": "x"}, **members)

        assert reply.response["metadata"] == {"client_event_id": "x"}
        assert reply.response["conversation_id"]


async def test_explicit_nulls_are_the_same_as_leaving_members_out(server_url: str) -> None:
    names = ["instructions", "tools", "tool_choice", "conversation", "output_modalities", "max_output_tokens"]
    names += ["input", "metadata", "audio"]
    async with talk(server_url, text=True) as session:
        await session.type("Hello")
        reply = await session.respond(**dict.fromkeys(names))
        await session.send("response.create", response=None)
        again = await session.reply()

        assert [reply.text, again.text] == ["You said: Hello"] * 2
