"""The words that tell finished speech from unfinished: English thoroughly, five others briefly."""

from collections.abc import Iterator, Mapping

from pipeline.core.words.english import ENGLISH
from pipeline.core.words.european import FRENCH, GERMAN, ITALIAN, PORTUGUESE, SPANISH
from pipeline.core.words.lexicon import Lexicon, OpenCue

__all__ = ["LEXICONS", "Lexicon", "OpenCue", "languages_of"]

LEXICONS: Mapping[str, Lexicon] = {
    "en": ENGLISH,
    "de": GERMAN,
    "es": SPANISH,
    "fr": FRENCH,
    "it": ITALIAN,
    "pt": PORTUGUESE,
}


def _vocabulary(lexicon: Lexicon) -> Iterator[str]:
    yield from (ending for ending in lexicon.endings if " " not in ending)
    yield from (word for answer in lexicon.answers for word in answer.split())
    yield from lexicon.common | lexicon.binders | lexicon.auxiliaries | lexicon.subjects | lexicon.questioners


def _languages() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for code, lexicon in LEXICONS.items():
        for word in set(_vocabulary(lexicon)):
            table[word] = (*table.get(word, ()), code)
    return table


_LANGUAGES = _languages()


def languages_of(word: str) -> tuple[str, ...]:
    """The languages, by code, that are known to have this word."""
    return _LANGUAGES.get(word, ())
