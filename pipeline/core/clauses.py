"""Cuts a growing reply into clauses that can be spoken: the first as early as possible, later ones whole.

A voice needs a clause to get its melody right, and the listener wants the first sound at once. So the
first clause may end at a comma once it is long enough not to sound clipped, or with a full stop that nothing
follows yet; later ones end with a sentence, because by then there is audio in hand to cover the wait.
"""

import re

__all__ = ["ClauseCutter"]

# White space behind the mark shows that the clause is over: "3.14" and "e.g.x" have none.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*|\n+\s*")
_CLAUSE_END = re.compile(r"[,;:—–][\"'”’)\]]*\s+|[，、；：]\s*")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No)\.\s+$")

# The first sentence does not wait for the white space behind it, which comes with the model's next token,
# some 10 to 50 ms later. Where the mark may yet turn out to be something else (the end of a quotation, a
# number, an abbreviation) it does wait; the rare "example." that goes on with "com" is worth it.
_EARLY_END = re.compile(r"(?<![^\W\d_]\.)\b(?!(?:etc|Mrs|Prof|Inc|Ltd|Corp)\b)[^\W\d_]{3,}[.!?]$")
_OPEN_ENDED = re.compile(r"[\"“”„«»()\[\]]")

_FIRST_CLAUSE_MIN = 12  # characters: about three words, the shortest that still sounds like a phrase
_SENTENCE_MIN = 4
_CLAUSE_MAX = 280  # a sentence without end is cut at a comma, or a space, so that memory and wait are bounded


class ClauseCutter:
    """Feed it text; it returns the clauses that became complete. Joined, they are the text unchanged."""

    def __init__(self) -> None:
        self._pending = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Take more text and return the clauses that are ready to be spoken."""
        self._pending += text
        clauses = []
        while (end := self._find_end()) is not None:
            clauses.append(self._pending[:end])
            self._pending = self._pending[end:]
            self._first = False
        return clauses

    def finish(self) -> str:
        """The rest, which may be empty."""
        rest, self._pending = self._pending, ""
        return rest

    def _find_end(self) -> int | None:
        for match in _SENTENCE_END.finditer(self._pending):
            end = match.end()
            if end >= _SENTENCE_MIN and not _ABBREVIATION.search(self._pending[:end]):
                return end
        if self._first:
            for match in _CLAUSE_END.finditer(self._pending):
                if match.end() >= _FIRST_CLAUSE_MIN:
                    return match.end()
            if (
                len(self._pending) >= _FIRST_CLAUSE_MIN
                and _EARLY_END.search(self._pending)
                and not _OPEN_ENDED.search(self._pending)
            ):
                return len(self._pending)
        if len(self._pending) > _CLAUSE_MAX:
            return self._emergency_end()
        return None

    def _emergency_end(self) -> int:
        window = self._pending[:_CLAUSE_MAX]
        ends = [match.end() for match in _CLAUSE_END.finditer(window)]
        if ends:
            return ends[-1]
        space = window.rfind(" ")
        return space + 1 if space > 0 else _CLAUSE_MAX
