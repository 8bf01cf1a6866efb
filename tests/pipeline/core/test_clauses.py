"""Clauses for the voice: where a growing reply is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clauses import ClauseCutter


def cut(text: str) -> list[str]:
    """The clauses of a text that arrives letter by letter."""
    cutter = ClauseCutter()
    clauses = [clause for letter in text for clause in cutter.feed(letter)]
    rest = cutter.finish()
    return [*clauses, *([rest] if rest else [])]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hello there. How are you?", ["Hello there.", " How are you?"]),
        ("Hello there. How are you? Fine. Bye", ["Hello there.", " How are you? ", "Fine. ", "Bye"]),
        ("Meet J. Smith and Co. tomorrow. Bye", ["Meet J. Smith and Co. ", "tomorrow. ", "Bye"]),
        ("It is made by Acme Inc. in Rome.", ["It is made by Acme Inc. ", "in Rome."]),
        ("It is seven a.m. already. Up!", ["It is seven a.m. ", "already. ", "Up!"]),
        ("Well, it is late, so sleep, my dear.", ["Well, it is late, ", "so sleep, my dear."]),
        ("Yes, I do, and gladly.", ["Yes, I do, and gladly."]),
        ("It costs 3.14 dollars. Cheap!", ["It costs 3.14 dollars.", " Cheap!"]),
        ("Ask Dr. Who. Now!", ["Ask Dr. Who.", " Now!"]),
        ('He said "Stop!" Then he left.', ['He said "Stop!" ', "Then he left."]),
        ("今日は。元気?", ["今日は。", "元気?"]),
        ("One\ntwo", ["One\n", "two"]),
        ("No end", ["No end"]),
        ("", []),
    ],
)
def test_a_reply_is_cut_where_a_speaker_would_breathe(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses


@pytest.mark.parametrize("text", ["word " * 200, "x" * 1000, "word, " * 200])
def test_a_sentence_without_end_is_cut_all_the_same(text: str) -> None:
    clauses = cut(text)

    assert "".join(clauses) == text
    assert max(map(len, clauses)) <= 281


@given(st.lists(st.text(alphabet='aB .,!?\n"。 1', max_size=40), max_size=20))
def test_the_clauses_joined_are_the_text(pieces: list[str]) -> None:
    cutter = ClauseCutter()

    clauses = [clause for piece in pieces for clause in cutter.feed(piece)]

    assert "".join([*clauses, cutter.finish()]) == "".join(pieces)
    assert all(clauses)


def test_the_first_sentence_is_spoken_before_the_next_token_comes() -> None:
    cutter = ClauseCutter()

    assert cutter.feed("Good morning") == []
    assert cutter.feed(".") == ["Good morning."]
    assert cutter.feed(" It is late.") == []
