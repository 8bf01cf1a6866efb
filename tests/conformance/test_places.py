"""Places of the published protocol: every member is found, in events and in what they hold."""

import pytest

from tests.conformance.matrix.absent import ABSENT, Absence
from tests.conformance.matrix.places import EVENTS, Place, published, seen


def test_every_event_is_a_place() -> None:
    for side, events in EVENTS.items():
        assert {Place(side, kind, "type") for kind in events} <= published()


@pytest.mark.parametrize(
    "place",
    [
        Place("server", "response", "usage.input_token_details.cached_tokens_details.text_tokens"),
        Place("server", "item", "content[].transcript"),
        Place("server", "session", "expires_at"),  # only in the types of REST answers
        Place("server", "session", "audio.output.voice.id"),  # one of several types
        Place("client", "tool", "require_approval.always.tool_names"),
        Place("client", "format", "rate"),
    ],
    ids=str,
)
def test_members_are_found_however_deep_they_are(place: Place) -> None:
    assert place in published()


def test_an_object_has_the_same_places_wherever_it_is() -> None:
    content = [{"type": "output_text", "text": "Hi"}]
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": content}
    added = seen("server", {"type": "conversation.item.added", "event_id": "e", "item": item})
    done = seen("server", {"type": "response.done", "event_id": "e", "response": {"output": [item]}})

    inside = {Place("server", "item", "content[].text"), Place("server", "item", "role")}
    assert inside <= added & done
    assert Place("server", "response", "output") in done
    assert Place("server", "conversation.item.added", "item") in added


def test_of_the_beta_dialect_only_the_types_of_events_count() -> None:
    event = {"type": "response.text.delta", "event_id": "e", "delta": "Hi"}

    assert seen("beta server", event) == {Place("beta server", "response.text.delta", "type")}


@pytest.mark.parametrize("word", ["cancelled", "failed"])
def test_each_word_that_a_member_may_be_is_a_place(word: str) -> None:
    event = {"type": "response.done", "event_id": "e", "response": {"status": word}}

    assert Place("server", "response", f"status={word}") in seen("server", event) & published()


def test_a_member_that_may_be_any_text_has_no_words() -> None:
    members = {place.member for place in published() if (place.side, place.owner) == ("server", "session")}

    assert {"audio.output.voice", "model", "tool_choice=required"} <= members
    assert not any(member.startswith(("audio.output.voice=", "model=")) for member in members)


def test_null_fills_no_place() -> None:
    event = {"type": "error", "event_id": "e", "error": {"code": None, "message": "No."}}

    assert seen("server", event) & published() == {
        Place("server", "error", member) for member in ("type", "error", "error.message")
    }


@pytest.mark.parametrize("absence", ABSENT, ids=str)
def test_every_absence_is_about_something(absence: Absence) -> None:
    for member in absence.members:
        about = Absence("", absence.side, absence.owner, (member,))
        assert any(about.covers(place) for place in published()), member


def test_an_absence_covers_the_words_of_its_member_or_only_one_of_them() -> None:
    auto, none = (Place("server", "session", f"tool_choice={word}") for word in ("auto", "none"))

    assert Absence("", "server", "session", ("tool_choice",)).covers(auto)
    assert Absence("", "server", "session", ("tool_choice=auto",)).covers(auto)
    assert not Absence("", "server", "session", ("tool_choice=auto",)).covers(none)


def test_brackets_in_an_absence_are_those_of_arrays() -> None:
    absence = Absence("", "server", "item", ("content[].audio",))

    assert absence.covers(Place("server", "item", "content[].audio"))
    assert not absence.covers(Place("server", "item", "content"))
