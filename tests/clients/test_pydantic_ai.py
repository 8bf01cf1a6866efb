"""Pydantic AI's realtime sessions in an environment of their own."""

import pytest

from tests.clients.play import FOREIGN_CLIENT, Played, PlayProgram

pytestmark = FOREIGN_CLIENT


@pytest.fixture(scope="module")
def played(play_program: PlayProgram) -> Played:
    return play_program("pydantic_ai_realtime.py", ["pydantic-ai-slim[openai,realtime]>=2.68"])


def test_a_written_turn(played: Played) -> None:
    played.check_written()


def test_a_spoken_turn(played: Played) -> None:
    played.check_spoken()


def test_a_function_call(played: Played) -> None:
    played.check_called()


def test_an_interruption(played: Played) -> None:
    played.check_interrupted()


def test_the_transcription_model_that_it_asks_for_is_there(played: Played) -> None:
    connection = played.check_spoken()

    (update,) = [event for event in connection.sent if event["type"] == "session.update"]
    (updated,) = [event for event in connection.received if event["type"] == "session.updated"]
    asked = update["session"]["audio"]["input"]["transcription"]
    assert asked["model"] == "gpt-live-transcribe"
    assert updated["session"]["audio"]["input"]["transcription"]["model"] == "local/moonshine-tiny-en"
