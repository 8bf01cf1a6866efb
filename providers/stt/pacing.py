"""Keeps audio for a service that wants it at the speed of speech from running far ahead of the clock."""

__all__ = ["Pace"]

AHEAD_S = 10.0  # more than a slow connect and the sound before a word; AssemblyAI closes after five minutes
SPEED = 1.25  # at which AssemblyAI takes in a backlog; Soniox says "near real-time"


class Pace:
    """A bucket of seconds of audio that time fills up; one for each connection."""

    def __init__(self, ahead_s: float = AHEAD_S, speed: float = SPEED) -> None:
        """`ahead_s` seconds may go at once; what exceeds them goes so many times as fast as it was spoken."""
        self._ahead_s, self._speed = ahead_s, speed
        self._left = ahead_s
        self._then: float | None = None

    def delay(self, seconds: float, now: float) -> float:
        """How many seconds to wait before so many seconds of audio are sent; `now` is any steady clock."""
        if self._then is not None:
            self._left = min(self._ahead_s, self._left + (now - self._then) * self._speed)
        self._then = now
        self._left -= seconds
        return max(0.0, -self._left / self._speed)
