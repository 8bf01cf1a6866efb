"""The server's own phrases, and what becomes of those that somebody else wrote."""

import pytest

from pipeline.core.clauses import ClauseCutter
from pipeline.stages.phrases import (
    MAX_PHRASE,
    Rotation,
    as_sentence,
    fillers,
    language_of,
    listener_sounds,
    one_line,
)
from tests.pipeline.playbook import session_config

LANGUAGES = ["de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_phrases_of_its_own(language: str) -> None:
    for phrases in (fillers, listener_sounds):
        own = phrases(language)
        assert len(set(own)) == len(own) >= 3
        assert all(one_line(phrase) == phrase for phrase in own)
        assert language == "en" or own != phrases("en")
        assert phrases(f"{language}-XX") == own


def test_other_languages_hear_english() -> None:
    assert fillers(None) == fillers("xx") == fillers("EN_us") == fillers("en")
    assert listener_sounds("tlh") == listener_sounds("en")


@pytest.mark.parametrize(
    "phrase",
    [
        *(phrase for language in LANGUAGES for phrase in fillers(language)),
        *(
            "Hm",
            "Well,",
            "OK",
            "J.",
            "a",
            "e.g.",
            "See p. 3 of No.",
            "Let me see...",
            'So they say: "wait',
            "Ja —",
        ),
    ],
)
def test_a_phrase_is_spoken_at_once_and_whole(phrase: str) -> None:
    text = as_sentence(phrase)
    assert "".join(ClauseCutter().feed(text)) == text
    assert text.strip(".… \n").startswith(phrase.strip(",;:—–-.… "))


def test_a_sentence_stays_as_it_is() -> None:
    assert as_sentence("Let me see.") == "Let me see. "
    assert as_sentence("Let me see") == "Let me see. "
    assert as_sentence("Well,") == "Well. "
    assert as_sentence("Dr.") == "Dr... "
    assert as_sentence("a") == "a... "
    assert as_sentence("稍等一下。") == "稍等一下。 "


@pytest.mark.parametrize(
    ("written", "phrase"),
    [
        ('"Good question."', "Good question."),
        ("\n  **One**   moment. \nAnd then the answer.", "One moment."),
        ("[[think 500]] Hm.", "Hm."),
        ("It's fine.", "It's fine."),
        (" \n ", ""),
        ("...", ""),
        ("x" * MAX_PHRASE, "x" * MAX_PHRASE),
        ("x" * (MAX_PHRASE + 1), ""),
    ],
)
def test_a_phrase_is_one_plain_line(written: str, phrase: str) -> None:
    assert one_line(written) == phrase


def test_phrases_take_turns() -> None:
    rotation = Rotation()
    assert [rotation.next(("a", "b", "c")) for _ in range(4)] == ["a", "b", "c", "a"]
    assert rotation.next(("x",)) == rotation.next(("x",)) == "x"


def test_the_session_says_what_is_spoken() -> None:
    def language(transcription: dict[str, object] | None, detected: str | None = None) -> str | None:
        config = session_config({"audio": {"input": {"transcription": transcription}}})
        return language_of(config, detected)

    assert language({"language": "de"}, "fr") == "de"
    assert language({}, "fr") == "fr"
    assert language({"languages": ("it", "en")}) == "it"
    assert language({"languages": ("it", "en")}, "en") == "en"
    assert language({}) is None
    assert language(None) is None
