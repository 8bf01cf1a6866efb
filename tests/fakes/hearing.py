"""How fakes of transcription services hear: words that are hidden in the samples, or those of a script.

    pcm = say("Hello there. How are you?", rate=24_000)
    ear = Ear(24_000)
    for piece in in_pieces(pcm): ear.hear(piece)
    [word.text for word in ear.words]     # ["Hello", "there.", "How", "are", "you?"]

A word that is cut in two is heard twice, so that audio which is lost, doubled or mixed up shows in the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Ear", "Word", "in_pieces", "plain", "say", "silence"]

WORD_S, GAP_S, PAUSE_S = 0.2, 0.02, 0.6  # a word, what follows it, and what follows a sentence besides
SHORTEST_S = 0.001  # shorter runs of a level are other sound; a word may be cut, but not so
FIRST_LEVEL = 1000  # the sample value of the first word ever said; silence is 0
STOPS = (".", "?", "!")

_vocabulary: list[str] = []


@dataclass(slots=True)
class Word:
    """A word as it was heard so far; times are seconds of audio."""

    text: str  # with its capitals and punctuation
    start: float
    end: float
    is_complete: bool  # whether something else followed

    @property
    def so_far(self) -> str:
        """The part of it that was heard."""
        share = min(1.0, (self.end - self.start) / WORD_S)
        return self.text[: max(1, round(len(self.text) * share))]


def say(text: str, *, rate: int, pause_s: float = PAUSE_S) -> bytes:
    """Speech with these words, and a pause behind each sentence."""
    parts = []
    for word in text.split():
        if word not in _vocabulary:
            _vocabulary.append(word)
        level = FIRST_LEVEL + _vocabulary.index(word)
        parts += [np.full(round(WORD_S * rate), level, "<i2").tobytes(), silence(GAP_S, rate=rate)]
        if word.endswith(STOPS):
            parts.append(silence(pause_s, rate=rate))
    return b"".join(parts)


def silence(seconds: float, *, rate: int) -> bytes:
    return bytes(2 * round(seconds * rate))


def plain(text: str) -> str:
    """Text without its capitals and punctuation, as some services write it first."""
    return "".join(character for character in text.lower() if character.isalnum() or character in " '-")


def in_pieces(pcm: bytes, *, rate: int, seconds: float = 0.05) -> Iterator[bytes]:
    size = 2 * round(seconds * rate)
    for offset in range(0, len(pcm), size):
        yield pcm[offset : offset + size]


class Ear:
    """Follows one stream of audio."""

    def __init__(self, rate: int, script: Sequence[str] | None = None) -> None:
        """With a script, these sentences are heard in whatever the audio is, as fast as `say` speaks."""
        self.seconds = 0.0  # heard so far
        self.words: list[Word] = []
        self._rate = rate
        self._script = None if script is None else _timed(script)

    def hear(self, pcm: bytes) -> None:
        """Take in a piece; short ones tell more exactly when words begin and end."""
        if self._script is None:
            samples = np.frombuffer(pcm, "<i2")
            borders = [0, *(np.flatnonzero(np.diff(samples)) + 1).tolist(), len(samples)]
            for start, end in pairwise(borders):
                self._follow(int(samples[start]), (end - start) / self._rate)
        else:
            self.seconds += len(pcm) / 2 / self._rate
            while self._script and self._script[0].start < self.seconds:
                self._complete()
                self.words.append(self._script.pop(0))
            if self.words:
                last = self.words[-1]
                last.is_complete = self.seconds > last.start + WORD_S
                last.end = min(self.seconds, last.start + WORD_S)

    def finish(self) -> None:
        """Hear at once what the script still holds."""
        for word in self._script or ():
            word.end, word.is_complete = word.start + WORD_S, True
            self.words.append(word)
        self._script = [] if self._script is not None else None
        self._complete()

    @property
    def pause(self) -> float:
        """Seconds since the last word ended."""
        return self.seconds - self.words[-1].end if self.words else self.seconds

    def _follow(self, level: int, seconds: float) -> None:
        known = FIRST_LEVEL <= level < FIRST_LEVEL + len(_vocabulary) and seconds >= SHORTEST_S
        text = _vocabulary[level - FIRST_LEVEL] if known else ""
        last = self.words[-1] if self.words and not self.words[-1].is_complete else None
        if last is not None and last.text == text:
            last.end += seconds
        else:
            self._complete()
            if text:
                self.words.append(Word(text, self.seconds, self.seconds + seconds, False))
        self.seconds += seconds

    def _complete(self) -> None:
        if self.words:
            self.words[-1].is_complete = True


def _timed(script: Sequence[str]) -> list[Word]:
    words, now = [], 0.0
    for sentence in script:
        for text in sentence.split():
            words.append(Word(text, now, now, False))
            now += WORD_S + GAP_S
        now += PAUSE_S
    return words
