"""Pipecat's OpenAI realtime service in an environment of its own."""

import pytest

from tests.clients.play import FOREIGN_CLIENT, Played, PlayProgram

pytestmark = FOREIGN_CLIENT


@pytest.fixture(scope="module")
def played(play_program: PlayProgram) -> Played:
    return play_program("pipecat_openai.py", ["pipecat-ai[openai]>=1.14"])


def test_a_written_turn(played: Played) -> None:
    played.check_written()


def test_a_spoken_turn(played: Played) -> None:
    played.check_spoken()


def test_a_function_call(played: Played) -> None:
    played.check_called(result='"Light rain in Oslo"')  # it sends results as JSON


def test_an_interruption(played: Played) -> None:
    played.check_interrupted()


def test_it_configures_the_session_before_it_asks_for_anything(played: Played) -> None:
    connection = played.check_written()

    types = [event["type"] for event in connection.sent]
    assert types == ["session.update", "conversation.item.create", "session.update", "response.create"]
    (created, *_) = [event for event in connection.sent if event["type"] == "conversation.item.create"]
    (added, *_) = [event for event in connection.received if event["type"] == "conversation.item.added"]
    assert added["item"]["id"] == created["item"]["id"]
