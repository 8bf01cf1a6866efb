"""What is known of the models of one kind: how fast they were of late, and which ones are broken just now."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from providers.errors import AuthenticationError, BadAnswerError, ProviderError, RateLimitError

__all__ = ["Scoreboard"]

WEIGHT = 0.2  # of the newest measurement in the moving average: about the last ten count
FAILURES = 3  # in a row, before a first piece or after it, that take a model out
FIRST_REST = 15.0  # seconds until it is tried again, doubled with each try that fails
LONGEST_REST = 120.0
EXPLORE = 0.05  # share of requests that go first to a model of which too little is known
STALE = 600.0  # seconds after which a measurement says little
MAX_MODELS = 512  # names come from definitions, which change


@dataclass(slots=True)
class _Model:
    latency: float | None = None  # seconds that were waited for it
    throughput: float | None = None  # tokens per second after it
    measured: float = float("-inf")
    failures: int = 0  # in a row
    rest: float = FIRST_REST
    open_until: float | None = None  # None: it is not known to be broken
    probing: bool = False


class Scoreboard:
    """Shared by all routers of a kind. `clock` counts seconds, `chance` is evenly spread over 0..1."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._models: dict[str, _Model] = {}

    def latency(self, model: str) -> float | None:
        """Seconds that were waited for it, as a moving average; None where it was never measured."""
        known = self._models.get(model)
        return known.latency if known else None

    def throughput(self, model: str) -> float | None:
        """Tokens per second, likewise."""
        known = self._models.get(model)
        return known.throughput if known else None

    def explore(self, models: Sequence[str]) -> str | None:
        """Now and then, one of `models` that was not measured for long; else None."""
        now = self._clock()
        unknown = [model for model in models if now - self._known(model).measured > STALE]
        if not unknown or len(unknown) == len(models) or self._chance() >= EXPLORE:
            return None
        return unknown[min(int(self._chance() * len(unknown)), len(unknown) - 1)]

    def is_broken(self, model: str) -> bool:
        """Whether it is left out just now."""
        known = self._models.get(model)
        if known is None or known.open_until is None:
            return False
        return self._clock() < known.open_until or known.probing

    def may_try(self, model: str) -> bool:
        """Whether to ask it. After a while one request at a time tries a broken model: it is told how that
        ended through `answered`, `failed` or `gave_up`."""
        if self.is_broken(model):
            return False
        known = self._known(model)
        known.probing = known.open_until is not None
        return True

    def answered(self, model: str) -> None:
        """Its first piece came."""
        known = self._known(model)
        known.open_until, known.probing = None, False

    def measured(self, model: str, seconds: float) -> None:
        """How long the wait for it was."""
        known = self._known(model)
        known.latency = _average(known.latency, seconds)
        known.measured = self._clock()

    def finished(self, model: str) -> None:
        """Its answer came to its end, or nobody wanted more of it."""
        known = self._known(model)
        known.failures, known.rest = 0, FIRST_REST

    def wrote(self, model: str, tokens: int, seconds: float) -> None:
        """So much came within that time after its first piece."""
        if tokens >= 8 and seconds > 0:  # a few words that came at once say nothing
            known = self._known(model)
            known.throughput = _average(known.throughput, tokens / seconds)

    def failed(self, model: str, error: ProviderError) -> None:
        """It failed, before or after its first piece. What a model refuses on purpose is no fault of it."""
        known = self._known(model)
        was_probe, known.probing = known.probing, False
        if not (error.retryable or isinstance(error, AuthenticationError | BadAnswerError)):
            return
        known.failures += 1
        rest = None
        if isinstance(error, RateLimitError) and error.retry_after:
            rest = min(error.retry_after, LONGEST_REST)
        elif was_probe:
            rest = known.rest = min(2 * known.rest, LONGEST_REST)
        elif known.failures >= FAILURES:
            rest = known.rest
        if rest is not None:
            known.open_until = max(known.open_until or 0.0, self._clock() + rest)

    def gave_up(self, model: str) -> None:
        """Nobody waited for how it ended."""
        self._known(model).probing = False

    def _known(self, model: str) -> _Model:
        known = self._models.get(model)
        if known is None:
            if len(self._models) >= MAX_MODELS:
                self._models.pop(next(iter(self._models)))
            known = self._models[model] = _Model()
        return known


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + WEIGHT * (new - old)
