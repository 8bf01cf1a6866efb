"""How much of a reply was heard at a moment of its playback."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.playback import SpokenText
from providers.contracts import TextMark

TEXT = "One two three."


def test_marks_that_step_back_are_dropped() -> None:
    spoken = SpokenText(1000)
    spoken.add(1000, (TextMark(3, 300), TextMark(2, 400), TextMark(7, 200), TextMark(14, 1000)))

    assert spoken.heard(TEXT, 300) == "One"
    assert spoken.heard(TEXT, 1000) == TEXT


def test_marks_may_come_before_their_audio() -> None:
    spoken = SpokenText(1000)
    spoken.add(0, (TextMark(3, 300), TextMark(14, 1000)))
    spoken.add(500, ())

    assert spoken.milliseconds == 500
    assert spoken.heard(TEXT, 300) == "One"


def test_text_that_is_not_spoken_yet_was_not_heard() -> None:
    spoken = SpokenText(1000)
    spoken.add(300, (TextMark(3, 300),))

    assert spoken.heard(TEXT, 299) == "One"


def test_a_reply_that_was_broken_off_keeps_only_what_its_audio_can_have_said() -> None:
    spoken = SpokenText(1000)
    spoken.add(50, ())

    assert spoken.heard("Eleven words were written before the voice had said a single one", 60_000) == ""

    spoken.finish()

    assert spoken.heard(TEXT, 60_000) == TEXT


def test_of_a_complete_reply_everything_is_heard_at_its_end() -> None:
    spoken = SpokenText(1000)
    spoken.add(300, (TextMark(3, 300),))
    assert spoken.heard(TEXT, 300) == spoken.heard(TEXT, 999) == "One"

    spoken.finish()

    assert spoken.heard(TEXT, 300) == spoken.heard(TEXT, 999) == TEXT


def test_a_cut_forgets_the_speech_behind_it() -> None:
    spoken = SpokenText(44_100)
    spoken.add(44_100, ())

    spoken.cut(1)

    assert spoken.milliseconds <= 1


@given(
    st.text(alphabet="ab .", max_size=30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2000)), max_size=8),
    st.integers(0, 2000),
    st.lists(st.integers(0, 2500), max_size=8),
)
def test_the_later_the_more_was_heard(
    text: str, marks: list[tuple[int, int]], samples: int, moments: list[int]
) -> None:
    spoken = SpokenText(1000)
    spoken.add(samples, tuple(TextMark(*mark) for mark in marks))

    heard = [spoken.heard(text, moment) for moment in sorted(moments)]

    assert all(text.startswith(piece) for piece in heard)
    assert [len(piece) for piece in heard] == sorted(len(piece) for piece in heard)
