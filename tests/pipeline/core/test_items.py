"""The conversation's items: where they go in, how they come out, and what a truncation leaves of them."""

import pytest

from pipeline.commands import (
    CreateItem,
    CreateResponse,
    DeleteItem,
    GenerationFinished,
    RetrieveItem,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    TruncateItem,
)
from pipeline.core.state import EngineLimits
from pipeline.items import FunctionCall, InputImage, MessageItem
from providers.contracts import ImagePart, TextMark, UserMessage
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import Playbook, user

TEXT = {"output_modalities": ("text",)}
SECOND = bytes(48_000)
WORDS = (TextMark(3, 8_000), TextMark(7, 16_000), TextMark(14, 24_000))  # of "One two three."


# --- going in ----------------------------------------------------------------------------------------


def test_items_go_to_the_end_to_the_front_and_behind_another(play: Play) -> None:
    script = play()

    script.tell(CreateItem(user("a", "a"))).expect(
        "item.added a user 'a' after None", "item.done a user 'a' after None"
    )
    script.tell(CreateItem(user("b", "b"))).expect("item.added b user 'b' after a", "item.done ...")
    script.tell(CreateItem(user("c", "c"), "a")).expect(
        "item.added c user 'c' after a", "item.done ... after a"
    )
    script.tell(CreateItem(user("d", "d"), "root")).expect(
        "item.added d user 'd' after None", "item.done ..."
    )
    script.tell(CreateItem(user("e", "e"), "b")).expect("item.added e user 'e' after b", "item.done ...")

    script.tell(CreateResponse()).skip()
    assert script.context("resp_1") == ["user: d", "user: a", "user: c", "user: b", "user: e"]


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        (
            CreateItem(user("x"), "gone"),
            "error item_create_invalid_previous_item_id previous_item_id",
        ),
        (CreateItem(user("x", "a")), "error item_create_duplicate_item_id -"),
        (DeleteItem("gone"), "error item_delete_invalid_item_id item_id"),
        (RetrieveItem("gone"), "error item_retrieve_invalid_item_id item_id"),
        (TruncateItem("gone", 0, 0), "error item_truncate_invalid_item_id item_id"),
        (TruncateItem("a", 0, 0), "error unsupported_content_type -"),
        (TruncateItem("call", 0, 0), "error unsupported_content_type -"),
    ],
)
def test_what_cannot_be_done_to_an_item_is_refused(play: Play, order: CreateItem, refusal: str) -> None:
    script = play()
    script.tell(CreateItem(user("a", "a")), CreateItem(FunctionCall("call", "c", "f", "{}"))).skip()

    script.tell(order).expect(refusal)


def test_a_conversation_holds_so_much_text_and_so_many_images_and_no_more(play: Play) -> None:
    script = play(limits=EngineLimits(max_conversation_size=30))
    image = MessageItem("", "user", (InputImage("data:image/png;base64,AAAA"),))  # 26 characters

    script.tell(CreateItem(user("four"))).skip()
    script.tell(CreateItem(image)).expect("item.added...", "item.done...")
    script.tell(CreateItem(user("x"), event_id="e")).expect("error conversation_size_limit_reached - e")
    script.tell(DeleteItem("item_1")).skip()
    script.tell(CreateItem(user("x"))).expect("item.added...", "item.done...")


def test_a_full_conversation_takes_no_more_until_something_is_deleted(play: Play) -> None:
    script = play(limits=EngineLimits(max_items=1))
    script.tell(CreateItem(user("a", "a"))).skip()

    script.tell(CreateItem(user("b"))).expect("error conversation_item_limit_reached -")
    script.tell(DeleteItem("a")).expect("> forget a", "item.deleted a")
    script.tell(CreateItem(user("b"))).expect("item.added item_... after None", "item.done ...")


def test_an_image_reaches_the_model(play: Play) -> None:
    script = play()
    script.tell(
        CreateItem(MessageItem("", "user", (InputImage("data:image/png;base64,AA==", "low"),)))
    ).skip()

    script.tell(CreateResponse()).expect("response.created resp_1", "> generate ...")

    assert script.request("resp_1").messages == (
        UserMessage((ImagePart("data:image/png;base64,AA==", "low"),)),
    )


# --- coming out --------------------------------------------------------------------------------------


def test_a_retrieved_item_is_shown_as_it_is_now(play: Play) -> None:
    script = spoken(play())

    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'One two three.'")


def test_a_deleted_item_is_read_no_more(play: Play) -> None:
    script = play()
    script.tell(CreateItem(user("a", "a")), CreateItem(user("b", "b"))).skip()

    script.tell(DeleteItem("a")).expect("> forget a", "item.deleted a")
    script.tell(RetrieveItem("a")).expect("error item_retrieve_invalid_item_id item_id")
    script.tell(CreateResponse()).skip()
    assert script.context("resp_1") == ["user: b"]


def test_an_item_deleted_while_it_is_written_does_not_come_back(play: Play) -> None:
    script = play(TEXT)
    script.tell(CreateResponse(), TextGenerated("resp_1", "He")).skip()

    script.tell(DeleteItem("item_1")).expect("> forget item_1", "item.deleted item_1")
    script.tell(CreateItem(user("mine now", "item_1"))).expect("item.added item_1 user ...", "item.done ...")
    script.tell(TextGenerated("resp_1", "llo")).expect("text.delta item_1 'llo'")
    script.tell(GenerationFinished("resp_1", "stop")).expect(
        "text.done item_1 'Hello'",
        "part.done item_1 text 'Hello'",
        "output_item.done resp_1[0] item_1 assistant 'Hello'",
        "response.done resp_1 completed [item_1] ...",
    )
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 user 'mine now'")


# --- truncation --------------------------------------------------------------------------------------


def spoken(script: Playbook) -> Playbook:
    """One reply, 1 s long: "One" ends at 333 ms, "two" at 667 ms, "three." at 1 s."""
    script.tell(CreateResponse(), TextGenerated("resp_1", "One two three."))
    return script.tell(SpeechSynthesized("resp_1", SECOND, WORDS)).finish("resp_1").skip()


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (100, ""),
        (200, "One"),
        (333, "One"),
        (480, "One"),
        (520, "One two"),
        (667, "One two"),
        (820, "One two"),
        (840, "One two three."),
        (1000, "One two three."),
    ],
)
def test_a_truncation_ends_at_the_nearest_word(play: Play, ms: int, heard: str) -> None:
    script = spoken(play())

    script.tell(TruncateItem("item_1", 0, ms)).expect(
        f"> cut audio item_1 at {ms}", f"item.truncated item_1 at {ms}"
    )

    script.tell(RetrieveItem("item_1")).expect(f"item.retrieved item_1 assistant spoken {heard!r}")
    script.tell(CreateResponse()).skip()
    assert script.context("resp_2") == ([f"assistant: {heard}"] if heard else [])


def test_a_truncation_beyond_the_end_is_told_where_the_end_is(play: Play) -> None:
    script = spoken(play())

    script.tell(TruncateItem("item_1", 0, 99_999)).expect(
        "> cut audio item_1 at 1000", "item.truncated item_1 at 1000"
    )
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'One two three.'")


def test_a_second_truncation_can_only_take_more_away(play: Play) -> None:
    script = spoken(play())
    script.tell(TruncateItem("item_1", 0, 667)).skip()

    script.tell(TruncateItem("item_1", 0, 900)).expect(
        "> cut audio item_1 at 667", "item.truncated item_1 at 667"
    )
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'One two'")
    script.tell(TruncateItem("item_1", 0, 300)).expect(
        "> cut audio item_1 at 300", "item.truncated item_1 at 300"
    )
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'One'")


def test_a_truncation_while_the_reply_goes_on_takes_effect_at_its_end(play: Play) -> None:
    script = play()
    script.tell(CreateResponse(), TextGenerated("resp_1", "One two three."))
    script.tell(SpeechSynthesized("resp_1", SECOND, WORDS)).skip()

    script.tell(TruncateItem("item_1", 0, 333)).expect("item.truncated item_1 at 333")
    script.tell(GenerationFinished("resp_1", "stop"), SpeechFinished("resp_1")).expect(
        *["..."] * 4,
        "item.done item_1 assistant spoken 'One two three.' after None",
        "output_item.done ...",
        "response.done resp_1 completed ...",
        "> cut audio item_1 at 333",
    )
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'One'")


def test_a_voice_without_marks_is_cut_by_its_share_of_the_letters(play: Play) -> None:
    script = play()
    script.tell(CreateResponse(), TextGenerated("resp_1", "aaaa bbbb cccc dddd"))
    script.tell(SpeechSynthesized("resp_1", SECOND)).finish("resp_1").skip()

    script.tell(TruncateItem("item_1", 0, 500)).expect("...", "item.truncated item_1 at 500")
    script.tell(RetrieveItem("item_1")).expect("item.retrieved item_1 assistant spoken 'aaaa bbbb'")


@pytest.mark.parametrize("finished", [True, False])
def test_a_typed_reply_cannot_be_truncated(play: Play, finished: bool) -> None:
    script = play(TEXT)
    script.tell(CreateResponse(), TextGenerated("resp_1", "One two three."))
    if finished:
        script.tell(GenerationFinished("resp_1", "stop"))

    script.skip().tell(TruncateItem("item_1", 0, 100)).expect("error unsupported_content_type -")
    if not finished:
        script.tell(GenerationFinished("resp_1", "stop")).expect(*["..."] * 4, "response.done ...")


def test_only_the_first_part_can_be_truncated(play: Play) -> None:
    spoken(play()).tell(TruncateItem("item_1", 1, 100)).expect("error invalid_value content_index")
