"""Where in the original a voice is, that only knows where it is in what it was given to speak."""

from collections import deque
from collections.abc import Iterable, Iterator

from providers.contracts import TextMark
from providers.speakable.pieces import Piece

__all__ = ["Positions"]


_MERGED = 500  # characters; marks cut what was merged, so longer stretches would cost more with each


class Positions:
    """Turns marks over the spoken text into marks over the original.

    A word border that both texts have is exact. A stretch that is spoken in other words was heard when the
    last of those words was; one that is silent was heard with the word before it. Between two marks of the
    voice, the borders of such stretches lie on a straight line, as the words do for whoever reads the marks.
    """

    def __init__(self) -> None:
        # What the marks have not passed yet.
        self._ahead: deque[Piece] = deque()
        self._passed_spoken = self._passed_source = 0  # characters before the first of these
        self._last = TextMark(0, 0)  # as the voice gave it
        self._told = 0  # characters of the original, in the last mark that was returned
        self.spoken_chars = 0
        self.source_chars = 0

    def add(self, pieces: Iterable[Piece]) -> None:
        """More text, in the order in which the voice gets it."""
        for piece in pieces:
            self.spoken_chars += len(piece.spoken)
            self.source_chars += piece.source
            last = self._ahead[-1] if self._ahead else None
            if last is not None and last.verbatim and piece.verbatim and last.source < _MERGED:
                self._ahead[-1] = Piece(last.source + piece.source, last.spoken + piece.spoken, True)
            else:
                self._ahead.append(piece)

    def pass_silence(self) -> Iterator[TextMark]:
        """A mark for silent text that came after its place was reached, if there is some."""
        yield from self._tell(self._behind_silence(), self._last.samples)

    def marks(self, mark: TextMark) -> Iterator[TextMark]:
        """The marks that one mark of the voice amounts to; none for one that steps back."""
        if mark.chars < self._last.chars or mark.samples < self._last.samples:
            return
        yield from self.pass_silence()
        chars = min(mark.chars, self.spoken_chars)
        before, distance = self._last, chars - self._last.chars

        def samples_at(place: int) -> int:
            """Samples when so many characters had been spoken."""
            if not distance:
                return mark.samples
            share = max(0, place - before.chars) / distance
            return before.samples + round(share * (mark.samples - before.samples))

        while self._ahead:
            piece = self._ahead[0]
            end = self._passed_spoken + len(piece.spoken)
            if end > chars:
                break
            if not piece.verbatim:
                yield from self._tell(self._passed_source, samples_at(self._passed_spoken))
                yield from self._tell(self._passed_source + piece.source, samples_at(end))
            self._ahead.popleft()
            self._passed_spoken = end
            self._passed_source += piece.source
        if self._ahead and chars > self._passed_spoken:
            self._enter(chars - self._passed_spoken)
        self._last = TextMark(chars, mark.samples)
        yield from self._tell(self._passed_source, samples_at(self._passed_spoken))
        yield from self.pass_silence()

    @property
    def caught_up(self) -> bool:
        """Whether the voice has reported the end of all text that it was given."""
        return self._last.chars >= self.spoken_chars

    def finish(self, samples: int) -> Iterator[TextMark]:
        """The mark at the end of the speech, unless the voice gave it."""
        yield from self.pass_silence()
        yield from self._tell(self.source_chars, samples)

    def _enter(self, count: int) -> None:
        """Pass `count` characters of the first piece, as far as the original has a place for that."""
        piece = self._ahead[0]
        if piece.verbatim:
            self._ahead[0] = Piece(piece.source - count, piece.spoken[count:], True)
            self._passed_source += count
            self._passed_spoken += count
        elif not any(char.isalnum() for char in piece.spoken[count:]):
            self._ahead[0] = Piece(0, piece.spoken[count:], False)
            self._passed_source += piece.source
            self._passed_spoken += count

    def _behind_silence(self) -> int:
        """The place behind the silent text before the next word, or the place itself."""
        reached, place, loose = self._passed_source, self._passed_source, False
        skip = self._last.chars - self._passed_spoken  # inside of a piece that is spoken in other words
        for piece in self._ahead:
            if skip and piece.spoken:
                return reached
            if piece.spoken and any(char.isalnum() for char in piece.spoken) and not piece.verbatim:
                return reached
            if not piece.spoken:
                place += piece.source
                loose = not piece.parts
                reached = place if piece.parts else reached
                continue
            for char in piece.spoken:
                if char.isspace() and loose:
                    reached, loose = place, False
                elif char.isalnum():
                    return reached  # what touches the next word belongs to that
                place += piece.verbatim
            if not piece.verbatim:
                place += piece.source
        return place if loose else reached

    def _tell(self, chars: int, samples: int) -> Iterator[TextMark]:
        if chars > self._told:
            self._told = chars
            yield TextMark(chars, samples)
