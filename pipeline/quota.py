"""What a session asks before it calls a model, and tells afterwards: how much its client may still use."""

from typing import Protocol

from pipeline.events import RateLimit

__all__ = ["Quota", "QuotaExceededError"]


class QuotaExceededError(Exception):
    """Nothing is left for now; the message says of what, and when to try again."""


class Quota(Protocol):
    """What one client may use. Several sessions may share it; nothing here waits."""

    def admit(self) -> None:
        """Take one request; raises `QuotaExceededError`, and then takes nothing."""

    def spend(self, tokens: int) -> None:
        """Take the tokens that a response has used, even if fewer are left."""

    def limits(self) -> tuple[RateLimit, ...]:
        """What is left now."""
