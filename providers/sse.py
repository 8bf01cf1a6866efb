"""Server-sent events, read from chunks that may end anywhere."""

from dataclasses import dataclass

__all__ = ["EventTooLargeError", "SseEvent", "SseParser"]

MAX_EVENT_BYTES = 8 * 1024 * 1024  # far above any delta; stops a server that never ends a line


class EventTooLargeError(ValueError):
    """One event is longer than `MAX_EVENT_BYTES`."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    data: str
    event: str = ""  # the event's name where the server gave one


class SseParser:
    """Feed it bytes, get whole events. Lines end in LF or CRLF; comments and unknown fields are skipped."""

    def __init__(self) -> None:
        self._tail = bytearray()  # of a line that has not ended
        self._data: list[str] = []
        self._size = 0
        self._event = ""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes; raises `EventTooLargeError`."""
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        # Lines are split before they are decoded, so a character is never cut in two.
        lines = chunk.split(b"\n")
        lines[0] = bytes(self._tail) + lines[0]
        self._tail.clear()
        self._keep(lines.pop())
        return [event for line in lines if (event := self._line(line)) is not None]

    def flush(self) -> list[SseEvent]:
        """The last event of a server that ends its stream without the blank line."""
        last = self._line(bytes(self._tail)) if self._tail else None
        self._tail.clear()
        return [event for event in (last, self._line(b"")) if event is not None]

    def _keep(self, part: bytes) -> None:
        self._tail += part
        if len(self._tail) > MAX_EVENT_BYTES:
            raise EventTooLargeError

    def _line(self, line: bytes) -> SseEvent | None:
        text = line.removesuffix(b"\r").decode("utf-8", "replace")
        if not text:
            return self._dispatch()
        name, _, value = text.removeprefix("\ufeff").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value)
            if self._size > MAX_EVENT_BYTES:
                raise EventTooLargeError
            self._data.append(value)
        elif name == "event":
            self._event = value
        return None

    def _dispatch(self) -> SseEvent | None:
        found = SseEvent("\n".join(self._data), self._event) if self._data else None
        self._data, self._size, self._event = [], 0, ""
        return found
