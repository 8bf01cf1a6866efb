"""The audio of an utterance on its way to a service, kept until its text is settled."""

import asyncio
from collections.abc import AsyncIterator

__all__ = ["Tape"]

MAX_KEPT_S = 120  # sent audio whose text is not settled; what is older is lost if the connection breaks


class Tape:
    """Written by one task and read by another. Positions are bytes since the utterance began."""

    def __init__(self, rate: int, frame_bytes: tuple[int, int]) -> None:
        """`rate` in Hertz; pieces have between so many bytes, the last one filled up with silence."""
        self._rate = rate
        self._shortest, self._longest = frame_bytes
        self._audio = bytearray()
        self._begin = 0  # position of the first byte kept
        self._read = 0  # position of the next byte to send
        self._origin = 0  # position that the connection counts its seconds from
        self._settled = 0  # position until which nothing needs to be sent again
        self._ended = False
        self._more = asyncio.Event()

    async def record(self, audio: AsyncIterator[bytes]) -> None:
        """Take in all of `audio`, however fast it comes."""
        try:
            async for chunk in audio:
                self._audio += chunk
                self._more.set()
        finally:
            self._ended = True
            self._more.set()

    async def has_begun(self) -> bool:
        """Wait for audio; False when it ended without any."""
        while not self._audio and not self._ended:
            await self._wait()
        return bool(self._audio)

    async def play(self) -> AsyncIterator[bytes]:
        """The audio from the last `rewind` on, in pieces as it comes."""
        while True:
            ready = self._end - self._read
            if ready >= self._shortest or (self._ended and ready):
                piece = self._take(min(ready, self._longest))
                yield piece + bytes(max(0, self._shortest - len(piece)))
            elif self._ended:
                return
            else:
                await self._wait()

    @property
    def is_settled(self) -> bool:
        """Whether the utterance is over, and the text of all of it known."""
        return self._ended and self._settled >= self._end

    def rewind(self) -> None:
        """Go back to what is not settled: a new connection begins, and counts its seconds from there."""
        self._read = self._origin = max(self._settled, self._begin)

    def settle(self, until: float | None) -> None:
        """The text of so many seconds of the connection's audio is known; None: of all that was sent."""
        position = self._read
        if until is not None:
            position = min(position, self._origin + 2 * max(0, round(until * self._rate)))
        self._settled = max(self._settled, position)
        self._drop(self._settled)

    @property
    def _end(self) -> int:
        return self._begin + len(self._audio)

    def _take(self, size: int) -> bytes:
        start = self._read - self._begin
        piece = bytes(self._audio[start : start + size])
        self._read += size
        self._drop(self._read - 2 * self._rate * MAX_KEPT_S)
        return piece

    def _drop(self, position: int) -> None:
        # Moving what is left costs time in proportion to it, so it is done seldom.
        if position - self._begin > 2 * self._rate:
            del self._audio[: position - self._begin]
            self._begin = position

    async def _wait(self) -> None:
        self._more.clear()
        await self._more.wait()
