"""Reads the stream of generateContent: `data:` lines, among which errors come as plain lines of JSON."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from providers.http import Answer

__all__ = ["frames"]

MAX_LINE_BYTES = 8 * 1024 * 1024  # far above any piece of an answer; stops a server that never ends a line
MAX_PLAIN_BYTES = 64 * 1024  # of an error

_FIELDS = (b":", b"event:", b"id:", b"retry:")  # what else a stream of events may hold


async def frames(answer: Answer) -> AsyncGenerator[Any, None]:
    """The JSON values of the stream, decoded. Raises every kind of `ProviderError`."""
    tail = bytearray()
    reader = _Lines(answer)
    async with aclosing(answer.chunks()) as chunks:
        async for chunk in chunks:
            if b"\n" not in chunk:
                tail += chunk
            else:
                lines = chunk.split(b"\n")
                lines[0] = bytes(tail) + lines[0]
                tail = bytearray(lines.pop())
                for line in lines:
                    for value in reader.feed(line.rstrip(b"\r")):
                        yield value
            if len(tail) > MAX_LINE_BYTES:
                raise answer.bad("sent a line without end")
    for line in (bytes(tail), b""):
        for value in reader.feed(line.rstrip(b"\r")):
            yield value
    reader.close()


class _Lines:
    """Joins the lines of one value."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._data: list[bytes] = []
        self._size = 0
        self._plain = bytearray()

    def feed(self, line: bytes) -> list[Any]:
        """The values that this line completes."""
        if not line.strip():
            data, self._data, self._size = b"\n".join(self._data), [], 0
            return [self._decoded(data)] if data else []
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
            self._size += len(line)
            if self._size > MAX_LINE_BYTES:
                raise self._answer.bad("sent an event without end")
        elif self._plain or not line.startswith(_FIELDS):
            self._plain += line + b"\n"
            if len(self._plain) > MAX_PLAIN_BYTES:
                raise self._answer.bad("sent something that is not an event")
            if line.rstrip().endswith((b"}", b"]")):
                try:
                    value = orjson.loads(self._plain)
                except orjson.JSONDecodeError:
                    return []  # not all of it yet
                self._plain.clear()
                return [value]
        return []

    def close(self) -> None:
        """Raises where something was begun that did not end."""
        if self._plain:
            raise self._answer.bad("sent something that is not an event")

    def _decoded(self, data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            raise self._answer.bad("sent an event that is not JSON") from None
