"""The oracle accepts a faultless session in the beta dialect and catches the faults that only it can have."""

from collections.abc import Callable
from typing import Any

import pytest

from server.protocol.beta.writing import write
from tests.conformance.oracle import NonconformingError, Oracle
from tests.conformance.samples import faultless_session

Event = dict[str, Any]


def beta_session() -> list[Event]:
    """The faultless session as a beta client sees it."""
    told: list[Event] = []
    for event in faultless_session():
        apart = ("type", "event_id", "obfuscation")  # the last of them is younger than this dialect
        members = {name: value for name, value in event.items() if name not in apart}
        if (beta := write(event["type"], members)) is not None:
            told.append({"type": beta[0], "event_id": event["event_id"]} | beta[1])
    conversation = {"id": "conv_1", "object": "realtime.conversation"}
    told.insert(1, {"type": "conversation.created", "event_id": "event_new", "conversation": conversation})
    return told


def judge(events: list[Event]) -> None:
    oracle = Oracle("beta")
    for event in events:
        oracle.received(event)
    oracle.finished()


def index(events: list[Event], kind: str) -> int:
    return next(index for index, event in enumerate(events) if event["type"] == kind)


def test_a_faultless_session_is_accepted() -> None:
    judge(beta_session())


def _without_conversation(events: list[Event]) -> None:
    del events[1]


def _conversation_first(events: list[Event]) -> None:
    events[:2] = [events[1], events[0]]


def _nested_session(events: list[Event]) -> None:
    events[0]["session"] = faultless_session()[0]["session"]


def _newer_name(events: list[Event]) -> None:
    events[index(events, "response.audio_transcript.delta")]["type"] = (
        "response.output_audio_transcript.delta"
    )


def _newer_event(events: list[Event]) -> None:
    at = index(events, "conversation.item.created")
    events.insert(at + 1, events[at] | {"type": "conversation.item.done", "event_id": "twice"})


def _newer_content(events: list[Event]) -> None:
    content = events[index(events, "response.output_item.done")]["item"]["content"]
    content[0]["type"] = f"output_{content[0]['type']}"


def _named_arguments(events: list[Event]) -> None:
    events[index(events, "response.function_call_arguments.done")]["name"] = "look"


def _counted_images(events: list[Event]) -> None:
    usage = events[index(events, "response.done")]["response"]["usage"]
    usage["input_token_details"]["image_tokens"] = 0


def _late_item(events: list[Event]) -> None:
    at = index(events, "response.output_item.added") + 1
    assert events[at]["type"] == "conversation.item.created"
    events.insert(at + 1, events.pop(at))


@pytest.mark.parametrize(
    "fault",
    [
        _without_conversation,
        _conversation_first,
        _nested_session,
        _newer_name,
        _newer_event,
        _newer_content,
        _named_arguments,
        _counted_images,
        _late_item,
    ],
)
def test_a_planted_fault_is_caught(fault: Callable[[list[Event]], None]) -> None:
    events = beta_session()
    fault(events)

    with pytest.raises(NonconformingError):
        judge(events)
