"""What AssemblyAI's turns add up to, in whatever order their messages come."""

from typing import Any

import pytest

from providers.stt.assemblyai_turns import MAX_OPEN, PAUSE_S, Turns
from providers.stt.remote import Guessed, Reading, Settled


def turn(order: int, text: str, *unsure: str, ended: bool = False, formatted: bool = False) -> dict[str, Any]:
    """A turn whose words take 100 ms each, in the second that has its number."""
    words = [(word, True) for word in text.split()] + [(word, False) for word in unsure]
    return {
        "type": "Turn",
        "turn_order": order,
        "transcript": text,
        "end_of_turn": ended,
        "turn_is_formatted": formatted,
        "words": [
            {
                "text": word,
                "start": 1000 * order + 100 * at,
                "end": 1000 * order + 100 * at + 100,
                "word_is_final": sure,
            }
            for at, (word, sure) in enumerate(words)
        ],
    }


def hear(turns: Turns, *messages: dict[str, Any]) -> list[Reading]:
    return [reading for message in messages for reading in turns.hear(message)]


def settled(readings: list[Reading]) -> list[tuple[str, float | None]]:
    return [(reading.text, reading.until) for reading in readings if isinstance(reading, Settled)]


@pytest.fixture
def formatted() -> Turns:
    return Turns(universal=True, formats=True, continues=False)


def test_only_the_formatted_text_counts(formatted: Turns) -> None:
    readings = hear(
        formatted,
        turn(0, "", "hel"),
        turn(0, "hello", "the"),
        turn(0, "hello there", ended=True),
        turn(0, "Hello there.", ended=True, formatted=True),
    )

    assert readings == [
        Guessed("hel"),
        Guessed("hello the"),
        Guessed("hello there"),
        Settled("Hello there.", 0.2 + PAUSE_S),
        Guessed(""),
    ]


def test_what_is_said_twice_counts_once(formatted: Turns) -> None:
    final = turn(0, "Yes.", ended=True, formatted=True)

    assert settled(hear(formatted, turn(0, "yes", ended=True), final, final, turn(0, "yes"))) == [
        ("Yes.", 0.1 + PAUSE_S)
    ]


def test_a_turn_that_is_formatted_late_stays_in_its_place(formatted: Turns) -> None:
    readings = hear(
        formatted,
        turn(0, "hello", ended=True),
        turn(1, "how", "ar"),
        turn(1, "how are you", ended=True),
        turn(1, "How are you?", ended=True, formatted=True),
        turn(0, "Hello.", ended=True, formatted=True),
    )

    assert Guessed("hello how ar") in readings
    assert [text for text, _ in settled(readings)] == ["Hello.", " How are you?"]
    assert readings[-1] == Guessed("")


def test_a_turn_that_is_never_formatted_is_taken_as_it_is(formatted: Turns) -> None:
    readings = hear(formatted, *(turn(order, f"turn {order}", ended=True) for order in range(MAX_OPEN + 1)))
    assert [text for text, _ in settled(readings)] == ["turn 0"]

    late = hear(formatted, turn(0, "Turn 0.", ended=True, formatted=True))
    assert settled(late) == []
    rest = list(formatted.end())
    assert [text for text, _ in settled(rest)] == [f" turn {order}" for order in range(1, MAX_OPEN + 1)]


def test_an_empty_turn_waits_for_nothing(formatted: Turns) -> None:
    readings = hear(formatted, turn(0, "", ended=True), turn(1, "Yes.", ended=True, formatted=True))

    assert [text for text, _ in settled(readings)] == ["", "Yes."]


def test_sure_words_are_settled_at_once_where_nothing_is_formatted() -> None:
    turns = Turns(universal=True, formats=False, continues=True)
    readings = hear(
        turns,
        turn(0, "", "hel"),
        turn(0, "hello", "the"),
        turn(0, "hello there", "you"),
        turn(0, "hello there you", ended=True),
        turn(1, "bye", "no"),
    )

    assert readings == [
        Guessed(" hel"),
        Settled(" hello", 0.1),
        Guessed(" the"),
        Settled(" there", 0.2),
        Guessed(" you"),
        Settled(" you", 0.3 + PAUSE_S),
        Guessed(""),
        Settled(" bye", 1.1),
        Guessed(" no"),
    ]


def test_later_models_say_the_whole_turn_each_time() -> None:
    turns = Turns(universal=False, formats=True, continues=False)
    partial = turn(0, "Hello the")
    for word in partial["words"]:
        word["word_is_final"] = False
    readings = hear(turns, partial, turn(0, "Hello there.", ended=True, formatted=True), turn(1, "And"))

    assert readings == [
        Guessed("Hello the"),
        Settled("Hello there.", 0.2 + PAUSE_S),
        Guessed(""),
        Guessed(" And"),
    ]
