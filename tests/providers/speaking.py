"""Text for speech adapters, and what their streams told."""

from collections.abc import AsyncIterator, Iterable

from providers.contracts import SpeechChunk, TextMark

__all__ = ["marks_of", "pcm_of", "segments"]


async def segments(*texts: str) -> AsyncIterator[str]:
    """Text as a response brings it."""
    for text in texts:
        yield text


def pcm_of(chunks: Iterable[SpeechChunk]) -> bytes:
    """All samples, of which every chunk has whole ones."""
    pieces = [chunk.pcm for chunk in chunks]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    return b"".join(pieces)


def marks_of(chunks: Iterable[SpeechChunk]) -> list[TextMark]:
    """All marks, which come in the order of the sound."""
    marks = [mark for chunk in chunks for mark in chunk.marks]
    assert marks == sorted(marks, key=lambda mark: (mark.samples, mark.chars))
    return marks
