"""What AssemblyAI's `Turn` messages add up to: which text is settled, and what is still a guess."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from providers.stt.remote import Guessed, Reading, Settled

__all__ = ["Turns"]

PAUSE_S = 0.1  # a turn that was not forced ends no sooner behind its last word
MAX_OPEN = 4  # turns that wait for their formatted text; older ones are taken as they are


@dataclass(slots=True)
class _Turn:
    text: str = ""
    until: float = 0.0  # seconds of the connection's audio
    is_final: bool = False


class Turns:
    """The turns of one connection, settled in their order and each once."""

    def __init__(self, *, universal: bool, formats: bool, continues: bool) -> None:
        """What the service was asked for.

        `universal`: a Universal-Streaming model. Its transcripts hold the words that it is sure of; the
        others are only in the list of words. Later models say the whole turn anew each time.
        `formats`: an ended turn is said again with its punctuation, and only that text counts. Without it,
        the words of a Universal-Streaming model never change, and are settled before their turn ends.
        `continues`: text was settled before this connection, so that a space comes first.
        """
        self.has_text = continues
        self._lists_unsure = universal
        self._formats = universal and formats
        self._grows = universal and not formats
        self._open: dict[int, _Turn] = {}
        self._next = 0  # turns before this one are settled
        self._begun = ""  # what is settled of the first open turn

    def hear(self, message: Mapping[str, Any]) -> Iterator[Reading]:
        """Take in a `Turn`; raises `ValueError` where its shape is none."""
        order, text = message.get("turn_order"), message.get("transcript")
        if isinstance(order, bool) or not isinstance(order, int) or not isinstance(text, str):
            raise ValueError("a turn without its number or its transcript")
        if order < self._next:
            return  # formatted too late, or said twice
        ended = message.get("end_of_turn") is True
        words = _words(message)
        unsure = [] if ended or not self._lists_unsure else [word for word in words if not _is_sure(word)]
        turn = self._open.setdefault(order, _Turn())
        turn.text = " ".join(text.split())
        pause = PAUSE_S if ended else 0.0
        turn.until = max([turn.until, *(_end(word) + pause for word in words if word not in unsure)])
        # Whether an empty text is formatted as well is not known, and makes no difference.
        turn.is_final = ended and (
            not self._formats or message.get("turn_is_formatted") is True or not turn.text
        )
        if self._grows and not ended:
            yield from self._grow(order, turn)
        while self._open and (self._open[first := min(self._open)].is_final or len(self._open) > MAX_OPEN):
            yield self._settle(first)
        yield Guessed(self._guess(unsure))

    def end(self) -> Iterator[Reading]:
        """Nothing more will be said about any turn."""
        for order in sorted(self._open):
            yield self._settle(order)

    def _grow(self, order: int, turn: _Turn) -> Iterator[Reading]:
        added = turn.text[len(self._begun) :]
        if order == min(self._open) and added:
            yield Settled(added if self._begun else self._spaced(added), turn.until)
            self._begun, self.has_text = turn.text, True

    def _settle(self, order: int) -> Settled:
        turn, begun = self._open.pop(order), self._begun
        self._next, self._begun = order + 1, ""
        text = turn.text[len(begun) :] if begun else self._spaced(turn.text)
        self.has_text = self.has_text or bool(text)
        return Settled(text, turn.until)

    def _guess(self, unsure: list[Mapping[str, Any]]) -> str:
        texts = [self._open[order].text for order in sorted(self._open)]
        if self._begun:
            texts[0] = texts[0][len(self._begun) :]
        texts += [word["text"] for word in unsure if isinstance(word.get("text"), str)]
        return self._spaced(" ".join(text.strip() for text in texts if text.strip()))

    def _spaced(self, text: str) -> str:
        return f" {text}" if text and self.has_text else text


def _words(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    words = message.get("words")
    return [word for word in words if isinstance(word, Mapping)] if isinstance(words, list) else []


def _is_sure(word: Mapping[str, Any]) -> bool:
    return word.get("word_is_final") is not False


def _end(word: Mapping[str, Any]) -> float:
    end = word.get("end")
    if isinstance(end, bool) or not isinstance(end, int | float):
        return 0.0
    return end / 1000 if 0 <= end < 1e9 else 0.0
