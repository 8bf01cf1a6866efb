"""The OpenAI Agents SDK in an environment of its own."""

import pytest

from tests.clients.play import FOREIGN_CLIENT, Played, PlayProgram

pytestmark = FOREIGN_CLIENT


@pytest.fixture(scope="module")
def played(play_program: PlayProgram) -> Played:
    return play_program("openai_agents.py", ["openai-agents>=0.24"])


def test_a_written_turn(played: Played) -> None:
    played.check_written()


def test_a_spoken_turn(played: Played) -> None:
    played.check_spoken()


def test_a_function_call(played: Played) -> None:
    played.check_called()


def test_an_interruption(played: Played) -> None:
    connection = played.check_interrupted()

    # It asks for what is left of the item that it had truncated, and reads the answer strictly.
    types = [event["type"] for event in connection.received]
    assert types.index("conversation.item.truncated") < types.index("conversation.item.retrieved")


def test_it_leaves_the_cancelling_to_a_server_that_says_that_it_interrupts(played: Played) -> None:
    _, connection = played.scenario("interrupted")

    assert "response.cancel" not in [event["type"] for event in connection.sent]


def test_its_second_update_with_tracing_is_accepted(played: Played) -> None:
    _, connection = played.scenario("interrupted")

    updates = [event for event in connection.sent if event["type"] == "session.update"]
    updated = [event for event in connection.received if event["type"] == "session.updated"]
    assert updates[1]["session"]["tracing"] == "auto"
    assert updated[1]["session"]["tracing"] == "auto"
