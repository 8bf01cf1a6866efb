"""Turns hypotheses that still change into text that never does: local agreement of two in a row."""

from collections.abc import Sequence

__all__ = ["Agreement"]

PUNCTUATION = ".,;:!?…\"'()-"


class Agreement:
    """Collects the words that two successive hypotheses share from their start.

    Case and punctuation are not compared: the model often takes the end of the audio for the end of a
    sentence, and goes on with a comma once it hears more. What was said first then stays.
    """

    def __init__(self) -> None:
        self._said: list[str] = []  # the words given out so far
        self._text = ""  # the same as text, which may still lack the punctuation behind the last word
        self._last: list[str] = []

    def hear(self, hypothesis: Sequence[str], settled: int = 0) -> str:
        """The text to append for a new hypothesis, of which the first `settled` words will not change."""
        agreed = settled
        for before, now in zip(self._last[settled:], hypothesis[settled:], strict=False):
            if _plain(before) != _plain(now):
                break
            agreed += 1
        self._last = list(hypothesis)
        return self._append(hypothesis[:agreed], open_end=agreed == len(hypothesis) > settled)

    def finish(self, words: Sequence[str]) -> tuple[str, str]:
        """The text to append, and the whole text: all that was ever appended, unless a word has changed."""
        delta = self._append(words, open_end=False)
        same = [_plain(word) for word in self._said] == [_plain(word) for word in words]
        return delta, self._text if same else " ".join(words)

    def _append(self, words: Sequence[str], *, open_end: bool) -> str:
        """Say what goes beyond the words said; with an `open_end` the last word may yet get another mark."""
        known = len(self._said)
        if not words or len(words) < known:
            return ""
        delta = ""
        if (
            known
            and self._text.endswith(_core(self._said[-1]))
            and _plain(words[known - 1]) == _plain(self._said[-1])
        ):
            delta = _mark(words[known - 1]) if len(words) > known or not open_end else ""
        for index, word in enumerate(words[known:], known):
            last = index == len(words) - 1
            if (self._text + delta).endswith((".", "?", "!")):
                word = word[:1].upper() + word[1:]
            delta += (" " if index else "") + (_core(word) if last and open_end else word)
        self._said = [*self._said, *words[known:]]
        self._text += delta
        return delta


def _core(word: str) -> str:
    """The word without the marks behind it; a word of marks only is kept."""
    return word.rstrip(PUNCTUATION) or word


def _mark(word: str) -> str:
    return word[len(_core(word)) :]


def _plain(word: str) -> str:
    return word.strip(PUNCTUATION).casefold()
