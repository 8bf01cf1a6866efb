"""Pipecat's Inworld realtime service in an environment of its own, given another address and key."""

from pathlib import Path
from typing import Any

import pytest

from server.background import running_server
from server.settings import Settings
from tests.clients.environments import interpreter_with
from tests.clients.play import FOREIGN_CLIENT, Played, play
from tests.clients.tap import Connection
from tests.conformance.hearing import VOICE_WORDS, seconds, words

pytestmark = FOREIGN_CLIENT

# What the service asks Inworld for by itself, and what stands in for it. It leaves out every null of a
# session, so that a server that detects turns by default cannot be told otherwise.
SETTINGS: dict[str, Any] = {
    "server": {"api_keys": ["inworld:secret"]},
    "aliases": {
        "openai/gpt-4.1-mini": "builtin/echo",
    },
    "defaults": {"turn_detection": "none"},
}

SCENARIOS = ("written", "spoken", "called", "interrupted", "pressed", "changed", "remembered")

NOT_READ = ["conversation.item.done", "rate_limits.updated"]  # by the service, which says so in its log

ANSWER = ["you", "said", *VOICE_WORDS]


@pytest.fixture(scope="module")
def played(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    python = interpreter_with(["pipecat-ai[openai]>=1.14"], packages)
    with running_server(Settings.model_validate(SETTINGS), environ={}) as url:
        return play(python, "pipecat_inworld.py", url, tmp_path_factory.mktemp("client"), SCENARIOS)


def sent(connection: Connection) -> list[str]:
    """The types of what the client sent; appended audio counts once per run."""
    types = [event["type"] for event in connection.sent]
    return [
        type
        for before, type in zip(["", *types], types, strict=False)
        if type != before or type != "input_audio_buffer.append"
    ]


def session(connection: Connection) -> Any:
    """The session as the client was told last."""
    return [event["session"] for event in connection.received if event["type"] == "session.updated"][-1]


def endings(connection: Connection) -> list[tuple[str, str | None]]:
    """How each response ended, and why it was cancelled."""
    return [
        (response["status"], (response["status_details"] or {}).get("reason"))
        for response in connection.responses
    ]


def test_typed_messages(played: Played) -> None:
    report, connection = played.scenario("written")

    assert (report["first"], report["second"]) == ("You said: Good morning", "You said: Good evening")
    assert sent(connection) == [
        "session.update",
        "conversation.item.create",
        "session.update",
        "response.create",
        "conversation.item.create",
        "response.create",
    ]
    assert connection.received[0]["type"] == "session.created"
    assert endings(connection) == [("completed", None)] * 2


def test_what_it_asks_for_by_itself_is_what_it_gets(played: Played) -> None:
    _, connection = played.scenario("written")

    told = session(connection)
    heard, spoken = told["audio"]["input"], told["audio"]["output"]
    assert told["model"] == "builtin/echo"
    assert sorted(told["output_modalities"]) == ["audio", "text"]
    assert heard["format"] == {"type": "audio/pcm", "rate": 16_000}
    assert heard["transcription"]["model"] == "local/moonshine-tiny-en"
    assert (heard["turn_detection"]["type"], heard["turn_detection"]["eagerness"]) == ("semantic_vad", "low")
    assert spoken["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert (spoken["model"], spoken["voice"]) == ("local/espeak", "Clive")
    assert told["providerData"]["metadata"] == {"sdk": "pipecat-realtime"}


def test_a_spoken_turn(played: Played) -> None:
    report, connection = played.scenario("spoken")

    assert words(report["heard"]) == VOICE_WORDS
    assert words(report["answer"]) == ANSWER
    assert 1 < seconds(bytes(report["audio_bytes"]), 24_000) < 10
    assert endings(connection) == [("completed", None)] * 2
    assert "input_audio_buffer.commit" not in sent(connection)


def test_what_it_hears_so_far_grows_into_what_was_heard(played: Played) -> None:
    _, connection = played.scenario("spoken")

    kind = "conversation.item.input_audio_transcription."
    deltas = "".join(e["delta"] for e in connection.received if e["type"] == f"{kind}delta")
    (completed,) = [e for e in connection.received if e["type"] == f"{kind}completed"]
    assert deltas == completed["transcript"]


def test_functions_are_called(played: Played) -> None:
    report, connection = played.scenario("called")

    assert report["asked"] == ["Oslo", {}]
    assert "Tool time returned" in report["answer"]
    outputs = [e["item"] for e in connection.sent if e.get("item", {}).get("type") == "function_call_output"]
    assert [item["output"] for item in outputs] == ['"Light rain in Oslo"', '"Noon"']
    calls, *spoken = connection.responses
    assert [(item["name"], item["arguments"]) for item in calls["output"]][1] == ("time", "{}")
    assert report["audio_bytes"] > 0
    assert all(response["output"][0]["type"] == "message" for response in spoken)


def test_it_asks_itself_for_what_follows_a_function(played: Played) -> None:
    _, connection = played.scenario("called")

    created = [event for event in connection.received if event["type"] == "response.created"]
    assert session(connection)["providerData"]["auto_tool_response"] is False
    assert len(created) == sent(connection).count("response.create")


def test_somebody_speaks_into_an_answer(played: Played) -> None:
    report, connection = played.scenario("interrupted", ignores=["conversation_already_has_active_response"])

    assert words(report["answer"]) == words(report["last"]) == ANSWER
    assert endings(connection) == [("cancelled", "turn_detected"), ("completed", None), ("completed", None)]
    assert "response.cancel" not in sent(connection)


def test_asking_for_a_response_too_early_does_no_harm(played: Played) -> None:
    _, connection = played.scenario("interrupted", ignores=["conversation_already_has_active_response"])

    assert len(connection.errors) == 1
    story, *_ = connection.responses
    assert story["status"] == "cancelled"  # by what was said later


def test_push_to_talk(played: Played) -> None:
    report, connection = played.scenario("pressed")

    assert words(report["first"]) == words(report["second"]) == ANSWER
    press = ["input_audio_buffer.clear", "response.cancel", "input_audio_buffer.append"]
    release = ["input_audio_buffer.commit", "response.create"]
    typed = ["conversation.item.create", "response.create"]
    assert sent(connection)[4:] == press + release + typed + press + release
    story = ("cancelled", "client_cancelled")
    assert endings(connection) == [("completed", None), ("completed", None), story, ("completed", None)]


def test_push_to_talk_is_left_to_the_client(played: Played) -> None:
    _, connection = played.scenario("pressed")

    told = session(connection)["audio"]
    assert told["input"]["turn_detection"] is None
    assert (told["input"]["format"]["rate"], told["output"]["format"]["rate"]) == (48_000, 8_000)
    types = {event["type"] for event in connection.received}
    assert not types & {"input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"}


def test_settings_change_in_the_middle(played: Played) -> None:
    report, connection = played.scenario("changed")

    assert (report["before"], report["after"]) == ("You said: Good morning", "The shop is closed.")
    told = session(connection)
    assert told["audio"]["output"]["voice"] == "Alex"
    assert told["instructions"] == "[[say The shop is closed.]]"
    assert told["temperature"] == 0.3
    assert told["audio"]["input"]["format"]["rate"] == 16_000


def test_a_conversation_is_put_in_without_waiting(played: Played) -> None:
    report, (connection, _) = played.conversations("remembered")

    assert (report["first"], report["second"]) == ("Welcome back. And well met.", "You said: Bye.")
    created = [e["item"]["id"] for e in connection.sent if e["type"] == "conversation.item.create"]
    added = [e["item"]["id"] for e in connection.received if e["type"] == "conversation.item.added"]
    assert [id for id in added if id in created] == created
    assert sent(connection)[-4:] == ["conversation.item.create"] * 3 + ["response.create"]


def test_it_starts_again(played: Played) -> None:
    report, (_, second) = played.conversations("remembered")

    assert report["third"] == "You said: Where were we?"
    assert endings(second) == [("completed", None)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_can_read_every_event(played: Played, name: str) -> None:
    report, connections = played.conversations(name, ignores=["conversation_already_has_active_response"])

    # What it cannot read is a warning, and any warning a failure of the scenario.
    assert report["not_read"] == NOT_READ
    assert all(connection.received for connection in connections)
