"""Finds the words that a speech service reports in the text it was given, and reads values of its JSON."""

import base64
import binascii
from typing import Any

__all__ = ["WordFinder", "audio_from", "is_ideograph", "number"]

WINDOW = 160  # characters that may be skipped: a tag, or a number that is spoken in words


class WordFinder:
    """The text of one reply and how far its words were reported.

    Services repeat the words of the text, but may leave out tags and write numbers in words. What cannot be
    found is skipped: a mark too few does no harm, one at the wrong place does.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0  # characters that were reported
        self._before = 0  # characters that are dropped from the front of `_text`

    def add(self, text: str) -> None:
        """More text was sent."""
        self._text = self._text[self._at :] + text
        self._before += self._at
        self._at = 0

    def find(self, word: str) -> int | None:
        """How many characters of the whole text end with this word; None where it does not come soon."""
        word = word.strip()
        if not word:
            return None
        start = self._at
        while start < len(self._text) and self._text[start].isspace():
            start += 1
        if not self._text.startswith(word, start):
            start = self._search(word, start)
            if start < 0:
                return None
        self._at = start + len(word)
        return self._before + self._at

    def _search(self, word: str, start: int) -> int:
        stop = start + WINDOW + len(word)
        while (start := self._text.find(word, start, stop)) >= 0:
            end = start + len(word)
            before = self._text[start - 1 : start] + word[0]
            after = word[-1] + self._text[end : end + 1]
            # "a" is no word of "cat".
            if not (start and before.isalnum()) and not (len(after) == 2 and after.isalnum()):
                return start
            start += 1
        return -1


def is_ideograph(character: str) -> bool:
    """Whether a script is written without spaces, so that each character counts as a word."""
    return "\u3040" <= character <= "\u9fff" or "\u0e00" <= character <= "\u0eff" or character >= "\U00020000"


def audio_from(value: Any) -> bytes | None:
    """The bytes of base64; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def number(value: Any) -> float | None:
    """A number of JSON that can be computed with; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        return None
    return float(value)
