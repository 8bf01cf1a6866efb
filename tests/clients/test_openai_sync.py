"""The synchronous OpenAI SDK: one thread, one socket, the same turns."""

import base64
import json
from collections.abc import Iterator

import pytest
from openai import OpenAI
from openai.resources.realtime.realtime import RealtimeConnection

from tests.conformance.client import RATE, Event
from tests.conformance.hearing import voice, words
from tests.conformance.oracle import Oracle
from tests.speech import silence

# The SDK calls websockets in a way that its release 17.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context:DeprecationWarning")


@pytest.fixture
def connection(server_url: str) -> Iterator[RealtimeConnection]:
    with (
        OpenAI(api_key="not needed", base_url=f"{server_url}/v1", max_retries=0) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        yield connection


def until(connection: RealtimeConnection, oracle: Oracle, last: str) -> list[Event]:
    """All events up to the first of that type, judged by the oracle."""
    events: list[Event] = []
    while not events or events[-1]["type"] != last:
        events.append(json.loads(connection.recv_bytes()))
        oracle.received(events[-1])
    return events


def test_a_written_turn(connection: RealtimeConnection) -> None:
    oracle = Oracle()
    connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    )
    connection.response.create()
    events = until(connection, oracle, "rate_limits.updated")

    assert events[0]["type"] == "session.created"
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == "You said: Hello"
    oracle.finished()


def test_a_spoken_turn(connection: RealtimeConnection) -> None:
    oracle = Oracle()
    pcm = voice() + silence(1_500, RATE)
    for start in range(0, len(pcm), 9_600):
        connection.input_audio_buffer.append(audio=base64.b64encode(pcm[start : start + 9_600]).decode())
    events = until(connection, oracle, "response.done")

    done = next(e for e in events if e["type"] == "response.output_audio_transcript.done")
    assert words(done["transcript"])[:4] == ["you", "said", "ever", "tried"]
    audio = b"".join(
        base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta"
    )
    assert len(audio) > RATE


def test_a_function_round_trip(connection: RealtimeConnection) -> None:
    oracle = Oracle()
    connection.session.update(
        session={
            "type": "realtime",
            "output_modalities": ["text"],
            "tools": [
                {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}}
            ],
        }
    )
    connection.conversation.item.create(
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "[[call clock]]"}],
        }
    )
    connection.response.create()
    (call,) = until(connection, oracle, "response.done")[-1]["response"]["output"]
    connection.conversation.item.create(
        item={"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    )
    connection.response.create()
    events = until(connection, oracle, "response.done")

    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == "Tool clock returned: noon"


def test_the_typed_events_of_the_sdk_hold_what_was_sent(connection: RealtimeConnection) -> None:
    created = connection.recv()
    assert created.type == "session.created"
    connection.response.cancel(event_id="mine")
    error = connection.recv()

    assert error.type == "error"
    assert error.error.code == "response_cancel_not_active"
    assert error.error.event_id == "mine"
