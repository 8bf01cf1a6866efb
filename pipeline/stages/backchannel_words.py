"""What the user has said so far in the turn that is being spoken, as the transcription tells it."""

from pipeline.commands import Command, TranscriptGrew, TranscriptGuessed, TranscriptReady

__all__ = ["WordsSoFar"]

_MAX_CHARS = 2_000  # the newest; a small model needs no more to react


class WordsSoFar:
    """Of one item; those of others, which may still be on their way, are left out."""

    def __init__(self) -> None:
        self._item_id: str | None = None
        self._segments: dict[int, tuple[str, str]] = {}  # by number: what was sent, and the guess

    def begin(self, item_id: str) -> None:
        """That item is spoken now, or still."""
        if item_id != self._item_id:
            self._item_id = item_id
            self._segments = {}

    def end(self) -> None:
        self._item_id = None
        self._segments = {}

    @property
    def item_id(self) -> str | None:
        return self._item_id

    def took(self, command: Command) -> None:
        match command:
            case TranscriptGrew(item_id, text, segment=segment) if item_id == self._item_id:
                sent, guess = self._segments.get(segment, ("", ""))
                self._segments[segment] = ((sent + text)[-_MAX_CHARS:], guess)
            case TranscriptGuessed(item_id, text, segment) if item_id == self._item_id:
                sent, _ = self._segments.get(segment, ("", ""))
                self._segments[segment] = (sent, text[-_MAX_CHARS:])
            case TranscriptReady(item_id, text, segment=segment) if item_id == self._item_id:
                self._segments[segment] = (text[-_MAX_CHARS:], "")

    @property
    def text(self) -> str:
        """All of it, or its last 2000 characters; empty where nothing is known yet."""
        words = (max(pair[::-1], key=len).strip() for _, pair in sorted(self._segments.items()))
        return " ".join(filter(None, words))[-_MAX_CHARS:]
