"""response.cancel, and responses that get into each other's way."""

import pytest

from tests.conformance.client import talk

LONG = "[[words 400]] [[pace 20]]"


@pytest.mark.parametrize("by_id", [False, True], ids=["the running one", "by id"])
async def test_a_response_is_cancelled(server_url: str, by_id: bool) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start(LONG)
        await session.until("response.output_text.delta")
        await session.send("response.cancel", **({"response_id": id} if by_id else {}))
        reply = await session.reply(id)

        assert (reply.status, reply.reason) == ("cancelled", "client_cancelled")
        assert reply.types[-5:] == [
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        assert 0 < len(reply.text.split()) < 400
        assert reply.response["output"][0]["status"] == "incomplete"
        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_what_was_said_before_the_cancellation_stays_in_the_conversation(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start(LONG)
        await session.until("response.output_text.delta")
        await session.send("response.cancel")
        reply = await session.reply(id)

        assert reply.response["output"][0]["id"] in await session.items()


async def test_a_second_cancel_finds_nothing_to_cancel(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start(LONG)
        await session.send("response.cancel")
        await session.send("response.cancel", event_id="again")
        await session.reply(id)
        error = await session.error()

        assert (error["type"], error["code"]) == ("invalid_request_error", "response_cancel_not_active")
        assert error["event_id"] == "again"
        assert error["message"].startswith("Cancellation failed")  # a client looks for these words


async def test_cancelling_a_call_ends_it_as_incomplete(server_url: str) -> None:
    tool = {"type": "function", "name": "write", "parameters": {"type": "object"}}
    arguments = '{"text": "' + "word " * 200 + '"}'
    async with talk(server_url, text=True, tools=[tool]) as session:
        id = await session.start(f"[[call write {arguments}]] [[pace 20]]")
        await session.until("response.function_call_arguments.delta")
        await session.send("response.cancel")
        reply = await session.reply(id)

        assert reply.status == "cancelled"
        assert all(call["status"] == "incomplete" for call in reply.calls)
        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_items_may_be_added_while_a_response_is_running(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start("[[words 60]] [[pace 10]]")
        await session.until("response.output_text.delta")
        content = [{"type": "input_text", "text": "Hello"}]
        await session.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )
        await session.reply(id)

        assert (await session.respond()).text == "You said: Hello"
        assert len(await session.items()) == 4
