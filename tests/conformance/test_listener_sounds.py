"""The rules for listener sounds accept what is right and catch what is not."""

import base64
from typing import Any

import pytest

from tests.conformance.listener_sounds import EVENTS, ListenerSounds
from tests.conformance.shapes import check_shape

Event = dict[str, Any]


def delta(id: str = "bc_1", size: int = 9600) -> Event:
    audio = base64.b64encode(b"\1" * size).decode()
    return {"type": "response.backchannel.audio.delta", "event_id": "e", "backchannel_id": id, "delta": audio}


def done(id: str = "bc_1", phrase: str = "I see") -> Event:
    kind = "response.backchannel.audio.done"
    return {"type": kind, "event_id": "e", "backchannel_id": id, "phrase": phrase}


def skipped(id: str = "bc_1", reason: str = "deadline_missed") -> Event:
    kind = "response.backchannel.skipped"
    return {"type": kind, "event_id": "e", "backchannel_id": id, "reason": reason}


def judged(*events: Event, speaking: str | None = "item_1", wanted: bool = True) -> list[str]:
    sounds = ListenerSounds()
    sounds.session({"providerData": {"backchannel": {"enabled": wanted}}})
    return [problem for event in events for problem in sounds.received(event, speaking)]


def test_what_is_right_is_accepted() -> None:
    assert judged(delta(), delta(), done(), skipped("bc_2"), done("bc_3")) == []
    assert judged(skipped(reason="turn_ended"), speaking=None, wanted=False) == []
    assert {event["type"] for event in (delta(), done(), skipped())} == set(EVENTS)
    for event in (delta(), done(), skipped()):
        assert check_shape(event) == []


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([done(), delta()], "bc_1, which is over"),
        ([done(), done()], "bc_1, which is over"),
        ([delta(), skipped()], "heard and yet skipped"),
        ([skipped(), done()], "which is over"),
        ([skipped(reason="bored")], "reason 'bored'"),
        ([done(phrase=" ")], "without a phrase"),
        ([delta(size=9602)], "9602 bytes"),
        ([delta(size=3)], "3 bytes"),
        ([delta(size=0)], "0 bytes"),
        ([delta() | {"delta": "?"}], "no base64"),
    ],
)
def test_what_is_wrong_is_caught(events: list[Event], problem: str) -> None:
    (found,) = judged(*events)
    assert problem in found


def test_sounds_come_only_where_they_are_wanted_and_while_somebody_speaks() -> None:
    assert judged(delta(), speaking=None) == ["a listener makes itself heard while nobody speaks"]
    assert judged(delta(), wanted=False) == ["nobody asked for listener sounds"]


@pytest.mark.parametrize("event", [delta(), done(), skipped()])
def test_their_shape_is_checked_as_that_of_any_event(event: Event) -> None:
    assert check_shape({name: value for name, value in event.items() if name != "backchannel_id"})
    assert check_shape(event | {"extra": 1})
