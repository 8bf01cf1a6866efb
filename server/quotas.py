"""What each API key may use: requests and tokens per minute, and sessions at once.

Requests and tokens are token buckets: a full minute's worth at the start, refilled all the time, so that a
client that was refused may go on as soon as there is enough for one more. Tokens are counted when a response
is over, and may then be overdrawn. All of it is counted in this process.
"""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from pipeline.events import RateLimit
from pipeline.quota import QuotaExceededError
from server.settings import QuotaSettings

__all__ = ["KeyQuota", "QuotaName", "Quotas"]

_ROUNDING = 1e-6  # of a request: after exactly the seconds that a refusal names there has to be one

QuotaName = Literal["requests", "tokens", "sessions"]


class _Bucket:
    """So much per minute. `clock` is monotonic, in seconds."""

    def __init__(self, name: Literal["requests", "tokens"], limit: int, clock: Callable[[], float]) -> None:
        self.name = name
        self._limit = limit
        self._per_second = limit / 60
        self._clock = clock
        self._level = float(limit)
        self._at = clock()  # when the level was that

    def take(self, amount: int) -> None:
        self._refill()
        self._level -= amount

    def wait(self) -> float:
        """Seconds until there is enough for one more, 0 where there is."""
        self._refill()
        missing = 1 - self._level
        return missing / self._per_second if missing > _ROUNDING else 0.0

    def state(self) -> RateLimit:
        self._refill()
        return RateLimit(
            self.name,
            self._limit,
            max(0, math.floor(self._level)),
            round((self._limit - self._level) / self._per_second, 3),
        )

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._limit, self._level + (now - self._at) * self._per_second)
        self._at = now


class KeyQuota:
    """What the sessions of one key share. Is a `pipeline.quota.Quota`; as a context it counts a session."""

    def __init__(
        self, settings: QuotaSettings, clock: Callable[[], float], on_refused: Callable[[QuotaName], None]
    ) -> None:
        self._requests = _Bucket("requests", settings.requests_per_minute, clock)
        self._tokens = _Bucket("tokens", settings.tokens_per_minute, clock)
        self._max_sessions = settings.concurrent_sessions
        self._on_refused = on_refused
        self._sessions = 0

    def admit(self) -> None:
        """Take one request; raises `QuotaExceededError` where no request or no token is left."""
        for bucket in (self._requests, self._tokens):
            if wait := bucket.wait():
                self._on_refused(bucket.name)
                limit = bucket.state().limit
                raise QuotaExceededError(
                    f"Rate limit reached: {limit} {bucket.name} per minute. "
                    f"Please try again in {math.ceil(wait * 1000) / 1000:g} s."
                )
        self._requests.take(1)

    def spend(self, tokens: int) -> None:
        """Take the tokens of a response."""
        self._tokens.take(tokens)

    def limits(self) -> tuple[RateLimit, ...]:
        """What is left of requests and tokens."""
        return self._requests.state(), self._tokens.state()

    def check_session(self) -> None:
        """Raises `QuotaExceededError` where the key may not open another session."""
        if self._max_sessions is not None and self._sessions >= self._max_sessions:
            self._on_refused("sessions")
            raise QuotaExceededError(
                f"This key has {self._sessions} open sessions, and {self._max_sessions} is its limit. "
                "Close one, or try again later."
            )

    def __enter__(self) -> None:
        self._sessions += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sessions -= 1


class Quotas:
    """The quotas of all keys, whose figures are the same. `on_refused` hears of what there was too little."""

    def __init__(
        self,
        settings: QuotaSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_refused: Callable[[QuotaName], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_refused = on_refused
        self._keys: dict[str, KeyQuota] = {}

    def of(self, key_id: str) -> KeyQuota:
        """The quota of a key, by `Identity.key_id`: there are as many as keys."""
        if key_id not in self._keys:
            self._keys[key_id] = KeyQuota(self._settings, self._clock, self._on_refused)
        return self._keys[key_id]
