"""When a reply is heard, and which of its words were heard by a given moment of its playback."""

import re
from bisect import bisect_right

from providers.contracts import TextMark

__all__ = ["PlaybackClock", "SpokenText"]

_WORD_END = re.compile(r"\S+")
_LETTERS_PER_SECOND = 15  # of ordinary speech, spaces included: 150 words a minute


class PlaybackClock:
    """How long the client has something to play: it plays at its own pace what it gets much faster."""

    def __init__(self) -> None:
        self.ends_at = 0.0  # seconds, on the clock of the engine; 0: nothing was ever played

    def add(self, seconds: float, now: float) -> None:
        """So much more speech was sent."""
        self.ends_at = max(self.ends_at, now) + seconds

    def stop(self, now: float) -> None:
        """The client plays no more of what it has."""
        self.ends_at = min(self.ends_at, now)


class SpokenText:
    """The alignment of one reply: marks from the voice, straight lines between them.

    A voice that reports words gives a mark at each; one that does not gives one per clause, and words inside
    it are placed by their share of its letters, which is right to about a word for most speech.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate  # Hertz of the reply's audio
        self._samples = 0  # spoken so far
        self._complete = False  # whether the end of the audio is the end of the text
        self._marks: list[TextMark] = [TextMark(chars=0, samples=0)]

    def add(self, samples: int, marks: tuple[TextMark, ...]) -> None:
        """Take more speech. Marks that step back are dropped: engines round at clause borders."""
        self._samples += samples
        for mark in marks:
            last = self._marks[-1]
            if mark.samples >= last.samples and mark.chars > last.chars:
                self._marks.append(mark)

    def finish(self) -> None:
        """All of the text has been spoken."""
        self._complete = True

    @property
    def milliseconds(self) -> int:
        """How long the speech is so far."""
        return self._samples * 1000 // self._rate

    def cut(self, milliseconds: int) -> None:
        """Forget the speech behind that moment, and the text of it, as `heard` gave it."""
        self._complete = True
        self._samples = min(self._samples, milliseconds * self._rate // 1000)

    def heard(self, text: str, milliseconds: int) -> str:
        """`text` up to the word whose end is nearest to that moment of playback."""
        if self._complete and milliseconds >= self.milliseconds:
            return text
        samples = min(self._samples, milliseconds * self._rate // 1000)
        borders = [0, *(match.end() for match in _WORD_END.finditer(text))]
        knots = self._knots(len(text))
        return text[: min(borders, key=lambda chars: abs(_time_of(chars, knots) - samples))]

    def _knots(self, length: int) -> list[TextMark]:
        knots = [mark for mark in self._marks if mark.chars <= length]
        last = knots[-1]
        if last.chars < length:
            # One more mark closes the line. Text that the voice had not reached lies behind the audio there
            # is, at the pace of ordinary speech.
            rest = (length - last.chars) * self._rate // _LETTERS_PER_SECOND
            end = self._samples if self._complete else last.samples + rest
            knots.append(TextMark(length, max(end, last.samples + 1)))
        return knots


def _time_of(chars: int, knots: list[TextMark]) -> float:
    index = min(bisect_right(knots, chars, key=lambda knot: knot.chars), len(knots) - 1)
    after, before = knots[index], knots[index - 1]
    if after.chars == before.chars:
        return after.samples
    share = (chars - before.chars) / (after.chars - before.chars)
    return before.samples + share * (after.samples - before.samples)
