"""Finding reported words in the text, and reading values that a service may have got wrong."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.tts.words import WordFinder, audio_from, is_ideograph, number


def found(text: str, *words: str) -> list[int | None]:
    finder = WordFinder()
    finder.add(text)
    return [finder.find(word) for word in words]


@given(st.lists(st.text("abc é'.,!", min_size=1, max_size=8).filter(lambda word: word.strip() == word)))
def test_every_word_of_the_text_is_found_at_its_end(words: list[str]) -> None:
    parts = [part for word in words for part in word.split()]
    text = " ".join(parts)
    ends, at = [], 0
    for part in parts:
        at += len(part)
        ends.append(at)
        at += 1
    assert found(text, *parts) == ends


@given(st.lists(st.text(max_size=12), max_size=8), st.lists(st.text(max_size=5), max_size=8))
def test_whatever_is_reported_counts_go_up_and_stay_within_the_text(
    texts: list[str], words: list[str]
) -> None:
    finder = WordFinder()
    length = last = 0
    for index, word in enumerate(words):
        if index < len(texts):
            finder.add(texts[index])
            length += len(texts[index])
        chars = finder.find(word)
        if chars is not None:
            assert last < chars <= length
            last = chars


def test_text_is_added_while_words_come() -> None:
    finder = WordFinder()
    finder.add("One, ")
    assert finder.find("One,") == 4
    finder.add("two.")
    assert finder.find("two.") == 9


def test_what_is_not_reported_is_skipped() -> None:
    text = '<break time="1s" /> You owe 25 dollars.'
    assert found(text, "You", "owe", "twenty", "five", "dollars.") == [23, 27, None, None, 39]


def test_a_word_is_no_piece_of_another() -> None:
    assert found("concatenate a cat", "a", "cat") == [13, 17]
    assert found("under the sun", "the", "un") == [9, None]


def test_nothing_is_found_far_away() -> None:
    assert found("x" * 500 + " end", "end") == [None]
    assert found("anything", " ", "") == [None, None]


@pytest.mark.parametrize("value", [None, 5, [], {}, "&", "AAA", "A" * 5, b"AAAA"])
def test_what_is_no_audio(value: Any) -> None:
    assert audio_from(value) is None


@given(st.binary(max_size=64))
def test_audio_is_read(data: bytes) -> None:
    assert audio_from(base64.b64encode(data).decode()) == data


def test_numbers() -> None:
    assert [number(value) for value in (1, 2.5, 0, -3)] == [1.0, 2.5, 0.0, -3.0]
    odd: tuple[Any, ...] = (True, None, "1", [], float("nan"), float("inf"), 10**400, 1e300)
    assert [number(value) for value in odd] == [None] * len(odd)


def test_ideographs() -> None:
    assert all(is_ideograph(character) for character in "你あア世ไ𠀀")
    assert not any(is_ideograph(character) for character in "aé1.Жα ،")
