"""LiveKit's OpenAI plugin in an environment of its own."""

import pytest

from tests.clients.play import FOREIGN_CLIENT, Played, PlayProgram

pytestmark = FOREIGN_CLIENT


@pytest.fixture(scope="module")
def played(play_program: PlayProgram) -> Played:
    return play_program("livekit_openai.py", ["livekit-plugins-openai>=1.8.9"])


def test_a_written_turn(played: Played) -> None:
    played.check_written()


def test_a_spoken_turn(played: Played) -> None:
    played.check_spoken()


def test_a_function_call(played: Played) -> None:
    played.check_called()


def test_an_interruption(played: Played) -> None:
    connection = played.check_interrupted(ignores=["response_cancel_not_active"])

    # It cancels what the server has cancelled, and knows the error that follows by how its message begins.
    assert "response.cancel" in [event["type"] for event in connection.sent]
    (error,) = connection.errors
    assert error["message"].startswith("Cancellation failed")


def test_its_responses_carry_the_metadata_that_it_knows_them_by(played: Played) -> None:
    connection = played.check_written()

    (asked,) = [event for event in connection.sent if event["type"] == "response.create"]
    (response,) = connection.responses
    assert response["metadata"] == {"client_event_id": asked["event_id"]}


def test_items_keep_the_ids_that_it_gave_them(played: Played) -> None:
    connection = played.check_written()

    (created,) = [event for event in connection.sent if event["type"] == "conversation.item.create"]
    added = [event for event in connection.received if event["type"] == "conversation.item.added"]
    assert created["previous_item_id"] == "root"
    assert added[0]["item"]["id"] == created["item"]["id"]
    assert added[0]["previous_item_id"] is None
