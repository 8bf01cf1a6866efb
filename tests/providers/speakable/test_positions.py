"""From what a voice has spoken back to what was written."""

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.contracts import TextMark
from providers.speakable import Positions, SpeakableText


def prepare(*segments: str) -> tuple[Positions, str]:
    text, positions, spoken = SpeakableText("en", numbers=True), Positions(), ""
    for segment in segments:
        pieces = text.take(segment)
        positions.add(pieces)
        spoken += "".join(piece.spoken for piece in pieces)
    return positions, spoken


def told(positions: Positions, *marks: tuple[int, int]) -> list[tuple[int, int]]:
    return [(out.chars, out.samples) for mark in marks for out in positions.marks(TextMark(*mark))]


def test_text_that_is_spoken_as_it_stands_keeps_its_marks() -> None:
    positions, spoken = prepare("Hello there. ", "You.")
    assert spoken == "Hello there. You."

    assert told(positions, (6, 10), (13, 20), (17, 30)) == [(6, 10), (13, 20), (17, 30)]
    assert list(positions.finish(40)) == []


def test_words_between_marks_of_emphasis_are_exact() -> None:
    written = "Say **bold** now"
    positions, spoken = prepare(written)
    assert spoken == "Say bold now"

    marks = told(positions, (3, 10), (8, 20), (12, 30))

    assert marks == [(3, 10), (4, 12), (6, 12), (10, 20), (12, 20), (16, 30)]


def test_a_number_is_heard_with_its_last_word() -> None:
    written = "Pay $5.99 now"
    positions, spoken = prepare(written)
    assert spoken == "Pay five dollars and ninety-nine cents now"
    ends = [match.end() for match in re.finditer(r"\S+", spoken)]

    assert [told(positions, (end, 10 * end)) for end in ends] == [
        [(3, 30)], [(4, 40)], [], [], [], [(9, 380)], [(13, 420)],
    ]  # fmt: skip


def test_silent_text_is_heard_with_the_word_before_it() -> None:
    positions, spoken = prepare("Hello 😀 world")
    assert spoken == "Hello world"

    assert told(positions, (5, 10)) == [(5, 10), (8, 10)]
    assert told(positions, (6, 10), (11, 20)) == [(13, 20)]


def test_silent_text_that_comes_late_is_heard_with_the_word_before_it() -> None:
    text, positions = SpeakableText("en"), Positions()
    positions.add(text.take("Like this:\n"))
    assert told(positions, (11, 50)) == [(11, 50)]

    positions.add(text.take("```\ncode\n```\n"))

    assert list(positions.pass_silence()) == [TextMark(24, 50)]
    positions.add(text.take("Done."))
    assert told(positions, (16, 90)) == [(29, 90)]


def test_one_mark_for_all_places_what_is_inside_on_a_line() -> None:
    positions, spoken = prepare("aaaa 😀😀😀😀 bbbbb")
    assert spoken == "aaaa bbbbb"

    assert told(positions, (10, 100)) == [(5, 50), (9, 50), (10, 50), (15, 100)]


def test_steps_back_and_marks_beyond_the_text_are_harmless() -> None:
    positions, _ = prepare("one two")

    assert told(positions, (3, 10), (2, 12), (5, 8), (900, 50), (901, 60)) == [(3, 10), (7, 50)]
    assert list(positions.finish(70)) == []


def test_text_that_is_never_spoken_is_accounted_for() -> None:
    positions, spoken = prepare("```\nonly code\n```")
    assert spoken == ""

    assert [mark.chars for mark in positions.finish(0)] == [17]


SEGMENTS = st.lists(
    st.sampled_from(
        ["Hello ", "😀 ", "**bold** ", "$5.99 ", "x² ", "a. ", "\n", "```\n", "code\n", "- item\n",
         "[link](a.b) ", "https://example.com ", "| a | b |\n", "...", "word", " ", "2024-05-01, "]
    ),
    max_size=12,
)  # fmt: skip


@settings(deadline=None)
@given(SEGMENTS, st.data())
def test_marks_only_go_forward_and_reach_the_end(segments: list[str], data: st.DataObject) -> None:
    text, positions = SpeakableText("en", numbers=True), Positions()
    out: list[TextMark] = []
    samples = chars = 0
    for segment in segments:
        positions.add(text.take(segment))
        for _ in range(data.draw(st.integers(0, 2))):
            samples += data.draw(st.integers(0, 100))
            chars = data.draw(st.integers(chars, max(chars, positions.spoken_chars)))
            out += positions.marks(TextMark(chars, samples))
    out += positions.finish(samples)

    written = sum(map(len, segments))
    assert (out[-1].chars if out else 0) == written
    assert all(0 < mark.chars <= written and 0 <= mark.samples <= samples for mark in out)
    assert all(a.chars < b.chars and a.samples <= b.samples for a, b in pairwise(out))


@settings(deadline=None)
@given(SEGMENTS)
def test_word_borders_of_both_texts_are_exact(segments: list[str]) -> None:
    """A word that stands in both texts ends, and the next begins, where it does in the original."""
    text, positions = SpeakableText("en", numbers=True), Positions()
    ends: list[tuple[int, int]] = []
    source = spoken = 0
    for segment in segments:
        pieces = text.take(segment)
        positions.add(pieces)
        for piece in pieces:
            if piece.verbatim:
                ends += [(spoken + m.end(), source + m.end()) for m in re.finditer(r"\w+\b", piece.spoken)]
            source += piece.source
            spoken += len(piece.spoken)

    for samples, (place, original) in enumerate(ends):
        marks = list(positions.marks(TextMark(place, samples)))
        assert original in [mark.chars for mark in marks if mark.samples == samples]
