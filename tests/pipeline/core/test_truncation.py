"""What leaves a context that is too long, in what order, and what never does."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import (
    CreateItem,
    CreateResponse,
    DeleteItem,
    ResponseParams,
    RetrieveItem,
    UpdateSession,
)
from pipeline.config import RetentionRatio
from pipeline.core.context import build_messages
from pipeline.core.conversation import Conversation
from pipeline.core.truncation import ContextKeeper, fit
from pipeline.effects import StartGeneration
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    ItemReference,
    MessageItem,
    OutputText,
)
from providers.contracts import FunctionTool, LlmUsage
from tests.chance import examples
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import FakeCatalog, Playbook, session_config, user

TEXT = {"output_modalities": ("text",)}


def said(id: str) -> MessageItem:
    return MessageItem(id, "user", (InputText(id),))


def answered(id: str) -> MessageItem:
    return MessageItem(id, "assistant", (OutputText(id),))


def called(id: str, call_id: str) -> FunctionCall:
    return FunctionCall(id, call_id, "f", "{}")


def returned(id: str, call_id: str) -> FunctionCallOutput:
    return FunctionCallOutput(id, call_id, "x")


def kept(items: Sequence[Item], room: int, target: int | None = None, gone: set[str] | None = None) -> str:
    """The ids of what stays, when every item costs ten tokens."""
    fitted = fit(items, lambda item: 10, room, room if target is None else target, gone or set())
    return "".join(item.id for item in fitted.items)


FIVE = [said("a"), answered("b"), said("c"), answered("d"), said("e")]


@pytest.mark.parametrize(
    ("room", "expected"), [(50, "abcde"), (49, "bcde"), (40, "bcde"), (21, "de"), (0, "e")]
)
def test_the_oldest_leave_until_the_rest_fits(room: int, expected: str) -> None:
    assert kept(FIVE, room) == expected


def test_once_it_is_too_long_a_context_shrinks_to_the_target() -> None:
    assert kept(FIVE, 50, 20) == "abcde"
    assert kept(FIVE, 49, 20) == "de"
    assert kept(FIVE, 49, 0) == "e"


def test_what_has_left_before_stays_out_and_takes_no_room() -> None:
    assert kept(FIVE, 30, gone={"a", "b"}) == "cde"
    assert kept(FIVE, 29, gone={"a", "b"}) == "de"


def test_the_newest_user_message_outlives_what_came_after_it() -> None:
    items: list[Item] = [
        answered("a"),
        said("b"),
        called("c", "1"),
        returned("d", "1"),
        called("e", "2"),
        returned("f", "2"),
    ]

    assert kept(items, 30) == "bef"
    assert kept(items, 0) == "bef"


def test_a_call_and_its_output_leave_together() -> None:
    items: list[Item] = [called("a", "1"), said("b"), returned("c", "1"), said("d")]

    assert kept(items, 30) == "bd"


def test_a_call_that_left_comes_back_with_a_late_output() -> None:
    items: list[Item] = [called("a", "1"), said("b"), returned("c", "1")]

    assert kept(items, 30, gone={"a"}) == "abc"


def test_what_leaves_is_told() -> None:
    costs = {"a": 10, "b": 20, "c": 30, "d": 40, "e": 50}

    fitted = fit(FIVE, lambda item: costs[item.id], 130, 130, {"a"})

    assert fitted.left == {"b"}
    assert (fitted.tokens_before, fitted.tokens) == (140, 120)


ids = st.integers(0, 9).map(str)
any_item: st.SearchStrategy[Any] = st.one_of(
    st.builds(said, ids), st.builds(answered, ids), st.builds(called, ids, ids), st.builds(returned, ids, ids)
)


def of_calls(items: Sequence[Item]) -> list[FunctionCall | FunctionCallOutput]:
    return [item for item in items if isinstance(item, FunctionCall | FunctionCallOutput)]


@examples(300)
@given(
    st.lists(any_item, max_size=12),
    st.lists(st.integers(0, 30), min_size=10, max_size=10),
    st.integers(0, 200),
    st.floats(0, 1),
    st.sets(ids),
)
def test_whatever_leaves_the_rest_is_in_order_and_a_model_can_read_it(
    items: list[Item], costs: list[int], room: int, part: float, gone: set[str]
) -> None:
    fitted = fit(items, lambda item: costs[int(item.id)], room, round(part * room), gone)

    remaining = iter(items)
    assert all(any(item is candidate for candidate in remaining) for item in fitted.items)
    assert items[-1:] == fitted.items[-1:]
    calls = {item.call_id for item in of_calls(fitted.items)}
    assert of_calls(fitted.items) == [item for item in of_calls(items) if item.call_id in calls]
    if fitted.tokens_before <= room:
        assert not fitted.left
    build_messages("", fitted.items)


# --- in a session ------------------------------------------------------------------------------------

# The models of the playbook hold 800 tokens; 100 of them are for the answer, and 4 for empty instructions.


def hundred(letter: str, id: str = "") -> MessageItem:
    """A message of a hundred tokens: 96 of text, and 4 for being a message."""
    return user(letter * 384, id)


def ask(script: Playbook, letters: str = "", *, usage: LlmUsage | None = None, **params: Any) -> str:
    """Type a message of each letter and ask for a response: the letters of those that the model reads."""
    for letter in letters:
        script.tell(CreateItem(hundred(letter, letter)))
    script.tell(CreateResponse(ResponseParams(**params)))
    started = [effect.response_id for effect in script.effects if isinstance(effect, StartGeneration)]
    script.finish(started[-1], usage=usage).skip().expect()
    return "".join(line.split()[-1][0] for line in script.context(started[-1]))


def test_a_conversation_beyond_what_the_model_holds_loses_its_beginning(play: Play) -> None:
    script = play(TEXT)

    assert ask(script, "abcdef") == "abcdef"
    assert ask(script, "g") == "bcdefg"
    script.tell(RetrieveItem("a")).expect("item.retrieved a user ...")


def test_truncation_is_reported_and_no_event_tells_of_it(play: Play) -> None:
    script = play(TEXT)
    for letter in "abcdefgh":
        script.tell(CreateItem(hundred(letter))).skip()

    script.tell(CreateResponse()).expect(
        "response.created resp_1",
        "> truncate resp_1 by 2 items to 600 tokens",
        "> generate resp_1 with lab/llm",
    )


def test_what_has_left_stays_out_when_there_is_room_again(play: Play) -> None:
    script = play(TEXT)
    assert ask(script, "abcdefg") == "bcdefg"

    for letter in "efg":
        script.tell(DeleteItem(letter))

    assert ask(script) == "bcd"


def test_an_item_that_takes_the_id_of_a_deleted_one_starts_anew(play: Play) -> None:
    script = play(TEXT)
    ask(script, "abcdefg")

    for letter in "abg":
        script.tell(DeleteItem(letter))
    script.tell(CreateItem(hundred("a", "a"), "root"))

    assert ask(script) == "acdef"


def test_an_item_is_counted_anew_once_it_has_changed() -> None:
    conversation = Conversation("conv", 10, 10_000)
    keeper = ContextKeeper(FakeCatalog(), conversation)
    short = session_config({"truncation": RetentionRatio(1.0, post_instructions=60)})
    speech = MessageItem("a", "user", (InputAudio(),))  # its transcript is still to come
    for item in (speech, said("b")):
        conversation.insert(item)

    assert len(keeper.fit(short, (), list(conversation), remember=True).items) == 2
    conversation.set_transcript("a", 0, "word " * 60)
    assert [item.id for item in keeper.fit(short, (), list(conversation), remember=True).items] == ["b"]


def test_a_retention_ratio_leaves_room_for_turns_to_come(play: Play) -> None:
    script = play({**TEXT, "truncation": RetentionRatio(0.5)})

    assert ask(script, "abcdef") == "abcdef"
    assert ask(script, "g") == "efg"
    assert [ask(script, letter) for letter in "hij"] == ["efgh", "efghi", "efghij"]
    assert ask(script, "k") == "ijk"


def test_a_limit_of_its_own_comes_before_that_of_the_model(play: Play) -> None:
    script = play({**TEXT, "truncation": RetentionRatio(1.0, post_instructions=250)})

    assert ask(script, "ab") == "ab"
    assert ask(script, "c") == "bc"


def test_a_limit_beyond_the_model_is_the_model_s(play: Play) -> None:
    script = play({**TEXT, "truncation": RetentionRatio(1.0, post_instructions=9_999)})

    assert ask(script, "abcdefg") == "bcdefg"


def test_without_truncation_the_response_fails_and_the_model_is_not_asked(play: Play) -> None:
    script = play({**TEXT, "truncation": "disabled"})
    assert ask(script, "abcdef") == "abcdef"

    script.tell(CreateItem(hundred("g"))).skip()
    script.tell(CreateResponse()).expect(
        "response.created resp_2", "response.done resp_2 failed (context_length_exceeded) 0+0 tokens"
    )
    script.tell(DeleteItem("a"), DeleteItem("b")).skip()

    assert ask(script) == "cdefg"


def test_a_single_message_too_long_is_sent_unless_truncation_is_disabled(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateItem(user("y" * 8_000))).skip()

    assert ask(script) == "y"
    script.tell(UpdateSession({"truncation": "disabled"})).skip()
    script.tell(CreateResponse()).expect(
        "response.created resp_2", "response.done resp_2 failed (context_length_exceeded) 0+0 tokens"
    )


@pytest.mark.parametrize(
    ("patch", "fitting"),
    [
        pytest.param({"instructions": "i" * 400}, "icdefg", id="instructions"),
        pytest.param({"tools": (FunctionTool("f", "d" * 400),)}, "cdefg", id="tools"),
        pytest.param({"tools": (FunctionTool("f", None, {"x": "s" * 400}),)}, "cdefg", id="schemas"),
        pytest.param({"max_output_tokens": 200}, "cdefg", id="a longer answer"),
        pytest.param({"max_output_tokens": 20}, "abcdefg", id="a shorter answer"),
        pytest.param({"max_output_tokens": 4096}, "efg", id="never more than half for the answer"),
    ],
)
def test_what_else_there_is_decides_how_much_room_items_have(play: Play, patch: Any, fitting: str) -> None:
    script = play({**TEXT, **patch})

    assert ask(script, "abcdefg") == fitting


def test_a_context_that_the_client_put_together_is_fitted_and_forgotten(play: Play) -> None:
    script = play(TEXT)
    ask(script, "abcdefg")  # "a" has left

    own = tuple(ItemReference(letter) for letter in "abcdefg")
    assert ask(script, input=own[:3]) == "abc"
    assert ask(script, input=own) == "bcdefg"
    for letter in "fg":
        script.tell(DeleteItem(letter))
    assert ask(script, input=own[:5]) == "abcde"
    assert ask(script) == "bcde"


def test_a_response_beside_the_conversation_reads_what_the_conversation_reads(play: Play) -> None:
    script = play(TEXT)

    assert ask(script, "abcdefg", in_conversation=False) == "bcdefg"
    script.tell(DeleteItem("g"))
    assert ask(script) == "bcdef"


@pytest.mark.parametrize(
    ("counted", "fitting"), [(1, "abcdefghi"), (300, "abcdefghi"), (1200, "ghi"), (9999, "hi")]
)
def test_estimates_follow_what_the_provider_counts(play: Play, counted: int, fitting: str) -> None:
    script = play(TEXT)
    assert ask(script, "abcdef", usage=LlmUsage(counted, 1)) == "abcdef"

    assert ask(script, "ghi") == fitting


@pytest.mark.parametrize("counted", [0, 600])
def test_estimates_stay_where_the_provider_counts_nothing_or_the_same(play: Play, counted: int) -> None:
    script = play(TEXT)
    ask(script, "abcdef", usage=LlmUsage(counted, 1))

    assert ask(script, "g") == "bcdefg"


def test_a_short_request_says_nothing_about_how_a_model_counts(play: Play) -> None:
    script = play(TEXT)
    ask(script, "a", usage=LlmUsage(1000, 1))

    assert ask(script, "bcdef") == "abcdef"


def test_another_model_counts_in_its_own_way(play: Play) -> None:
    script = play(TEXT)
    ask(script, "abcdef", usage=LlmUsage(1800, 1))
    script.tell(UpdateSession({"model": "lab/other"}))

    assert ask(script) == "abcdef"
