"""The `openai` package for Node, unmodified, over TLS: both of its classes for WebSockets."""

import pytest

from tests.clients.node_env import Stage
from tests.conformance.hearing import words
from tests.markdown import Block, blocks

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]  # the first one installs packages

SDK = "openai_sdk.mjs"


@pytest.fixture(params=["ws", "websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    """The class of the SDK: "ws" sends its key as a header, "websocket" as a browser has to."""
    return str(request.param)


def test_a_written_turn(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "text").result

    assert told == {"status": "completed", "text": "You said: Good morning"}


def test_a_spoken_turn(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "voice").result

    assert told["status"] == "completed"
    assert words(told["heard"])[:2] == ["ever", "tried"]
    assert words(told["said"])[:4] == ["you", "said", "ever", "tried"]
    assert told["audioBytes"] > 48_000


def test_a_call_of_a_function(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "tool").result

    assert told == {"called": "weather", "text": "Tool weather returned: Rain in Oslo"}


def test_an_interruption_by_speech(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "interruption").result

    assert (told["status"], told["reason"]) == ("cancelled", "turn_detected")
    assert told["sameItem"]
    assert told["keptMs"] == 100
    assert told["next"] == "completed"
    assert words(told["said"])[:4] == ["you", "said", "ever", "tried"]


def test_a_client_secret_stands_for_the_key_and_brings_its_session(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "secret").result

    assert told == {"prefix": "ek_", "text": "At your service."}


def test_a_wrong_key_is_named_before_the_connection_ends(node_stage: Stage, transport: str) -> None:
    told = node_stage.play(SDK, transport, "refusal", errors=["invalid_api_key"], PARLEY_KEY="another").result

    assert told == {"said": "invalid_api_key", "code": 3000}


@pytest.mark.parametrize("block", blocks("js"), ids=str)
def test_every_documented_program_runs(node_stage: Stage, block: Block) -> None:
    program = block.text.replace("https://127.0.0.1:8000", node_stage.variables["PARLEY_URL"])
    (node_stage.node.folder / "documented.mjs").write_text(
        program.replace('apiKey: "none"', f'apiKey: "{node_stage.variables["PARLEY_KEY"]}"')
    )

    said = node_stage.node.run("documented.mjs", **node_stage.variables)

    assert said == "You said: Hello!"
