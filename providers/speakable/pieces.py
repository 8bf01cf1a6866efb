"""What becomes of a text on its way to a voice: pieces of it, each with what is spoken for it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Edit", "Piece", "inserted", "kept", "rewrite", "silent", "spoken_as", "tidy"]

_NO_SPACE_BEFORE = ",.;:!?…"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the original and its spoken form. In order, pieces cover the original without a gap."""

    source: int  # characters of the original; 0 for what was put in
    spoken: str  # "" for what is not spoken
    verbatim: bool  # whether `spoken` is the original, character by character
    fixed: bool = False  # whether later steps must leave it as it is
    parts: bool = False  # whether it is silent and ends in white space, so that the next word is another


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start` to `end` of a text are spoken as `spoken`."""

    start: int
    end: int
    spoken: str


def kept(text: str, *, fixed: bool = False) -> Piece:
    """Text that is spoken as it stands."""
    return Piece(len(text), text, True, fixed)


def silent(text: str) -> Piece:
    """Text that is not spoken."""
    return Piece(len(text), "", False, parts=text[-1:].isspace())


def spoken_as(text: str, spoken: str, *, fixed: bool = True) -> Piece:
    """Text that is spoken in other words."""
    return Piece(len(text), spoken, spoken == text, fixed)


def inserted(spoken: str) -> Piece:
    """Something to speak that the original does not have."""
    return Piece(0, spoken, False, True)


def tidy(pieces: Iterable[Piece], last: str) -> list[Piece]:
    """Close the gaps that silent pieces leave: no two spaces, no space before a comma.

    `last` is the character that was spoken before these pieces, "" at the start.
    """
    out: list[Piece] = []
    gap = not last
    for piece in pieces:
        if not piece.spoken:
            gap = True
            out.append(piece)
            continue
        if gap and piece.verbatim and not piece.fixed:
            text = piece.spoken
            bare = text.lstrip(" \t")
            if len(bare) < len(text) and (not last or last.isspace()):
                out.append(silent(text[: len(text) - len(bare)]))
                if not bare:
                    continue
                piece = kept(bare)
            elif last and last in " \t" and text[0] in _NO_SPACE_BEFORE:
                _silence_last_space(out)
        gap = False
        out.append(piece)
        last = piece.spoken[-1]
    return out


def _silence_last_space(pieces: list[Piece]) -> None:
    index = len(pieces) - 1
    while index >= 0 and not pieces[index].spoken:
        index -= 1
    if index < 0 or not pieces[index].verbatim or pieces[index].fixed:
        return
    text = pieces[index].spoken
    bare = text.rstrip(" \t")
    pieces[index : index + 1] = [kept(bare)] * bool(bare) + [silent(text[len(bare) :])]


def rewrite(pieces: Iterable[Piece], find: Callable[[str], Iterable[Edit]]) -> Iterator[Piece]:
    """Let `find` reword what is still as it was; it sees the text without what is silent inside of it."""
    run: deque[Piece] = deque()
    for piece in pieces:
        if piece.fixed or not (piece.verbatim or not piece.spoken):
            yield from _rewrite_run(run, find)
            run.clear()
            yield piece
        else:
            run.append(piece)
    yield from _rewrite_run(run, find)


def _rewrite_run(run: deque[Piece], find: Callable[[str], Iterable[Edit]]) -> Iterator[Piece]:
    text = "".join(piece.spoken for piece in run)
    at = 0
    for edit in find(text) if text else ():
        yield from _take(run, edit.start - at)
        source = sum(piece.source for piece in _take(run, edit.end - edit.start))
        yield Piece(source, edit.spoken, False, True)
        at = edit.end
    yield from run


def _take(run: deque[Piece], count: int) -> Iterator[Piece]:
    """The pieces of the next `count` characters, the last one cut where they end."""
    while count:
        piece = run.popleft()
        if len(piece.spoken) > count:
            run.appendleft(kept(piece.spoken[count:]))
            piece = kept(piece.spoken[:count])
        count -= len(piece.spoken)
        yield piece
