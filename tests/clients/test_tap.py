"""The tap changes nothing on the way, and notes everything."""

from tests.clients.tap import Connection, tap
from tests.conformance.client import talk


async def test_both_sides_are_noted_as_they_were_sent(server_url: str) -> None:
    async with tap(server_url) as (url, connections):
        async with talk(url) as conversation:
            reply = await conversation.ask("Good morning")
        (connection,) = connections

    assert reply.status == "completed"
    assert connection.received == conversation.events
    assert [event["type"] for event in connection.sent][:2] == ["conversation.item.create", "response.create"]
    assert connection.sent == conversation.sent
    assert connection.faults == []


async def test_every_connection_is_noted_on_its_own(server_url: str) -> None:
    async with (
        tap(server_url) as (url, connections),
        talk(url, text=True) as first,
        talk(url, text=True) as second,
    ):
        await first.ask("one")
        await second.ask("two")

    answers = [connection.responses[0]["output"][0]["content"][0]["text"] for connection in connections]
    assert answers == ["You said: one", "You said: two"]


def test_what_breaks_the_protocol_is_a_fault_of_the_server() -> None:
    connection = Connection()

    connection.server_said(b'{"type": "response.done", "event_id": "event_1"}')

    assert len(connection.faults) == 1
    assert "response.done breaks the protocol" in connection.faults[0]
