"""`@openai/agents-realtime` for Node, unmodified, over TLS: what it remembers, and how it interrupts."""

import pytest

from tests.clients.node_env import Stage
from tests.conformance.hearing import words

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]  # the first one installs packages

SDK = "agents_sdk.mjs"


def test_a_written_turn(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "text").result

    assert told["status"] == "completed"
    assert told["history"] == [["user", "Good morning"], ["assistant", "You said: Good morning"]]


def test_a_spoken_turn(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "voice").result
    (user, heard), (agent, said) = told["history"]

    assert told["status"] == "completed"
    assert (user, agent) == ("user", "assistant")
    assert words(heard)[:2] == ["ever", "tried"]
    assert words(said)[:4] == ["you", "said", "ever", "tried"]
    assert told["audioBytes"] > 48_000


def test_a_call_of_a_function(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "tool").result

    assert told["history"] == [
        ["user", '[[call weather {"city": "Oslo"}]]'],
        ["weather", "Rain in Oslo"],
        ["assistant", "Tool weather returned: Rain in Oslo"],
    ]


def test_tools_of_an_mcp_server(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "mcp").result

    assert told["tools"] == ["add", "echo"]
    assert told["asked"] == ["echo", "echo"]
    assert told["called"] == [["add", "3"], ["echo", "hi"]]
    assert told["answers"][:2] == ["Tool add returned: 3", "Tool echo returned: hi"]
    assert "not allow" in told["answers"][2]
    assert told["answers"][3] == "You said: Good morning"


def test_an_interruption_by_speech(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "interruption").result

    assert (told["status"], told["reason"]) == ("cancelled", "turn_detected")
    assert told["interrupted"] == 1
    assert told["sameItem"]
    assert told["keptMs"] >= 0
    assert told["next"] == "completed"
    assert words(told["history"][-1][1])[:4] == ["you", "said", "ever", "tried"]


def test_the_application_stops_an_answer(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "stop").result

    assert (told["status"], told["reason"]) == ("cancelled", "client_cancelled")
    assert told["next"] == "completed"
    assert told["history"][-1] == ["assistant", "You said: Good morning"]


def test_a_message_that_was_corrected_keeps_its_place_in_the_history(node_stage: Stage) -> None:
    told = node_stage.play(SDK, "correction").result

    assert told["status"] == "completed"
    assert told["history"] == [
        ["user", "Good morning"],
        ["assistant", "You said: Good mourning"],
        ["user", "Again"],
        ["assistant", "You said: Again"],
    ]
