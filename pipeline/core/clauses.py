"""Cuts a growing reply into clauses that can be spoken: the first as early as possible, later ones whole.

A voice needs a clause to get its melody right, and the listener wants the first sound at once. So the
first clause may end at a comma once it is long enough not to sound clipped, or with a full stop that nothing
follows yet; later ones end with a sentence, because by then there is audio in hand to cover the wait.

Clients may want it cut less often (`providerData.tts.segmenter_strategy`).
"""

import re
from collections.abc import Iterator

from pipeline.config import SessionConfig
from pipeline.extensions import extensions_of, spelled

__all__ = ["ClauseCutter", "cutter_for"]

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
_BALANCED_MIN = 80  # characters: about five seconds of speech, enough for the melody of a paragraph
_TURN_MAX = 4000  # a turn that is to be spoken as one: the longest text that speech services take at once

# The strategies that know no first clause: nothing but whole sentences, or more at once.
_WHOLE = frozenset({"balanced", "sentence", "per_segment_context", "full_turn"})


def cutter_for(config: SessionConfig) -> "ClauseCutter":
    """The cutter that a session, or a response with its own configuration, wants."""
    return ClauseCutter(str(spelled(extensions_of(config.provider_data).tts, "segmenter_strategy") or "auto"))


class ClauseCutter:
    """Feed it text; it returns the clauses that became complete. Joined, they are the text unchanged."""

    def __init__(self, strategy: str = "auto") -> None:
        """`auto` and `fast_start`: as the module says; `sentence` and `per_segment_context`: whole sentences
        from the first one on; `balanced`: short ones together; `full_turn`: all of it at once.
        """
        self._pending = ""
        self._first = True
        self._whole = strategy in _WHOLE
        self._balanced = strategy == "balanced"
        self._full_turn = strategy == "full_turn"

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
        if self._full_turn:
            return self._last_end() if len(self._pending) > _TURN_MAX else None
        shortest = _BALANCED_MIN if self._balanced and not self._first else _SENTENCE_MIN
        if (end := next((end for end in self._sentence_ends() if end >= shortest), None)) is not None:
            return end
        if self._first:
            for match in () if self._whole else _CLAUSE_END.finditer(self._pending):
                if match.end() >= _FIRST_CLAUSE_MIN:
                    return match.end()
            if (
                len(self._pending) >= _FIRST_CLAUSE_MIN
                and _EARLY_END.search(self._pending)
                and not _OPEN_ENDED.search(self._pending)
            ):
                return len(self._pending)
        if len(self._pending) > _CLAUSE_MAX:
            return self._emergency_end(_CLAUSE_MAX)
        return None

    def _sentence_ends(self) -> Iterator[int]:
        for match in _SENTENCE_END.finditer(self._pending):
            if not _ABBREVIATION.search(self._pending[: match.end()]):
                yield match.end()

    def _last_end(self) -> int:
        ends = [end for end in self._sentence_ends() if end <= _TURN_MAX]
        return ends[-1] if ends else self._emergency_end(_TURN_MAX)

    def _emergency_end(self, longest: int) -> int:
        window = self._pending[:longest]
        ends = [match.end() for match in _CLAUSE_END.finditer(window)]
        if ends:
            return ends[-1]
        space = window.rfind(" ")
        return space + 1 if space > 0 else longest
