"""Clauses for the voice: where a growing reply is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clauses import ClauseCutter

STRATEGIES = ("auto", "fast_start", "balanced", "sentence", "per_segment_context", "full_turn")


def cut(text: str, strategy: str = "auto") -> list[str]:
    """The clauses of a text that arrives letter by letter."""
    cutter = ClauseCutter(strategy)
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


REPLY = "Well, I see. Yes. It is late, and so we go home now, all of us. Bye. Sleep well. Until tomorrow."
SENTENCES = [
    "Well, I see.",
    " Yes. ",
    "It is late, and so we go home now, all of us. ",
    "Bye. ",
    "Sleep well. ",
]


@pytest.mark.parametrize(
    ("strategy", "clauses"),
    [
        ("auto", [*SENTENCES, "Until tomorrow."]),
        ("sentence", [*SENTENCES, "Until tomorrow."]),
        ("balanced", ["Well, I see.", REPLY[12:]]),
        ("full_turn", [REPLY]),
    ],
)
def test_clients_may_have_more_of_it_spoken_at_once(strategy: str, clauses: list[str]) -> None:
    assert cut(REPLY, strategy) == clauses


def test_only_an_early_first_clause_ends_at_a_comma() -> None:
    text = "Well, my dear friend, it is late. Good night, all."

    assert (
        cut(text, "auto")
        == cut(text, "fast_start")
        == ["Well, my dear friend, ", "it is late. ", "Good night, all."]
    )
    for strategy in ("sentence", "per_segment_context", "balanced"):
        assert cut(text, strategy)[0] == "Well, my dear friend, it is late."


def test_short_sentences_are_spoken_together_until_they_are_enough() -> None:
    short = "I am here. "

    told = cut(short * 30, "balanced")

    assert told[0] == short
    assert {len(clause) for clause in told[1:-1]} <= set(range(80, 80 + len(short)))


def test_a_whole_turn_is_cut_only_where_services_would_refuse_it() -> None:
    sentence = "This is a sentence of some length. "
    whole, endless = cut(sentence * 300, "full_turn"), cut("x" * 9000, "full_turn")

    assert [len(clause) <= 4000 for clause in whole] == [True, True, True]
    assert all(clause.endswith(". ") for clause in whole)
    assert "".join(whole) == sentence * 300
    assert [len(clause) for clause in endless] == [4000, 4000, 1000]


@given(st.lists(st.text(alphabet='aB .,!?\n"。 1', max_size=40), max_size=20), st.sampled_from(STRATEGIES))
def test_the_clauses_joined_are_the_text(pieces: list[str], strategy: str) -> None:
    cutter = ClauseCutter(strategy)

    clauses = [clause for piece in pieces for clause in cutter.feed(piece)]

    assert "".join([*clauses, cutter.finish()]) == "".join(pieces)
    assert all(clauses)


def test_the_first_sentence_is_spoken_before_the_next_token_comes() -> None:
    cutter = ClauseCutter()

    assert cutter.feed("Good morning") == []
    assert cutter.feed(".") == ["Good morning."]
    assert cutter.feed(" It is late.") == []
