"""Asks one model after the other, or two at once, until one gives a first piece; then listens only to it."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from providers import errors
from providers.contracts import Attempt
from providers.errors import (
    BadAnswerError,
    InvalidRequestError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.routing.definition import Fallback
from providers.routing.scoreboard import Scoreboard

__all__ = ["Candidate", "Race", "Won"]

MAX_WAITING = 16  # pieces that the winner may be ahead of its reader
MAX_MESSAGE = 2000  # characters of an error that names every attempt

log = logging.getLogger(__name__)

Piece = TypeVar("Piece")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Piece]):
    """A model, and how its stream is opened."""

    model: str
    open: Callable[[], Awaitable[AsyncGenerator[Piece, None]]]


@dataclass(frozen=True, slots=True)
class Won:
    """Who answers."""

    model: str
    attempts: tuple[Attempt, ...]
    hedged: bool  # whether it overtook one that was asked earlier
    waited: float  # seconds for its first piece, since waiting counts


class _Failure:
    def __init__(self, error: Exception) -> None:
        self.error = error


class _Running(Generic[Piece]):
    """One model at work in a task of its own, which reads its stream from the first piece to the last."""

    def __init__(self, candidate: Candidate[Piece], speaks: Callable[[Piece], bool], spare: bool) -> None:
        loop = asyncio.get_running_loop()
        self.model = candidate.model
        self.spare = spare  # asked although it is known to be broken
        self.began = loop.time()
        self.opened: asyncio.Future[ProviderError | None] = loop.create_future()  # None: it spoke
        self.ended_silently = False
        self.pieces: asyncio.Queue[Piece | _Failure | None] = asyncio.Queue(MAX_WAITING)
        self._candidate = candidate
        self._speaks = speaks
        self.task = asyncio.create_task(self._run(), name=f"router {candidate.model}")

    async def _run(self) -> None:
        try:
            async with aclosing(await self._candidate.open()) as stream:
                async for piece in stream:
                    if not self.opened.done():
                        if self._speaks(piece):
                            self.opened.set_result(None)
                        elif self.pieces.full():
                            continue  # signs of life that nobody can be told yet
                    await self.pieces.put(piece)
            if not self.opened.done():
                self.ended_silently = True
                self.opened.set_result(BadAnswerError(f"{self.model} ended without an answer"))
            await self.pieces.put(None)
        except Exception as error:  # noqa: BLE001 - told where the answer is read
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        if self.opened.done():
            await self.pieces.put(_Failure(error))
            return
        if isinstance(error, UnknownModelError):
            error = InvalidRequestError(str(error))
        elif not isinstance(error, ProviderError):
            log.error("the engine of %s crashed", self.model, exc_info=error)
            error = BadAnswerError(f"{self.model} had an unexpected error")
        assert isinstance(error, ProviderError)
        self.opened.set_result(error)


class Race(Generic[Piece]):
    """One request on its way to whoever answers it. Leaving the context stops everybody at once.

    `speaks` says which piece is a first one: those before it are held back. Waiting counts from `starts`,
    where that is given. A stream that ends without such a piece has failed, unless `may_be_silent`.
    """

    def __init__(
        self,
        router: str,
        candidates: Sequence[Candidate[Piece]],
        board: Scoreboard,
        fallback: Fallback,
        *,
        speaks: Callable[[Piece], bool],
        starts: asyncio.Event | None = None,
        may_be_silent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._router = router
        self._board = board
        self._fallback = fallback
        self._speaks = speaks
        self._starts = starts
        self._may_be_silent = may_be_silent
        self._waiting = deque(candidates)
        self._spares: deque[Candidate[Piece]] = deque()  # known to be broken; better than nobody
        self._running: list[_Running[Piece]] = []  # that may still answer, in the order of their start
        self._tasks: list[asyncio.Task[None]] = []  # all that were ever started
        self._has_won = False  # and whoever did has not failed since
        self._attempts: list[Attempt] = []
        self._errors: list[tuple[str, ProviderError]] = []
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None  # when waiting began to count
        self._starting: asyncio.Task[object] | None = None

    async def __aenter__(self) -> "Race[Piece]":
        if self._starts is None or self._starts.is_set():
            self._began = self._loop.time()
        else:
            self._starting = asyncio.create_task(self._starts.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Everybody has let go of what they held when this returns."""
        for one in self._running:
            self._board.gave_up(one.model)  # it may have been a probe
        if self._has_won:
            self._board.finished(self._running[0].model)
        tasks = [task for task in (*self._tasks, self._starting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def winner(self) -> Won | None:
        """Who gives the first piece: nobody else is asked from then on. None where silence is an answer.

        Raises the last `ProviderError`, with all attempts in its message, when nobody answers.
        """
        self._start_next()
        while self._running:
            waits: set[asyncio.Future[object]] = {one.opened for one in self._running}  # type: ignore[misc]
            if self._starting is not None:
                waits.add(self._starting)
            due = self._due()
            seconds = None if due is None else max(0.0, due - self._loop.time())
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._starting is not None and self._starting.done():
                self._starting, self._began = None, self._loop.time()
            for one in list(self._running):
                if not one.opened.done():
                    continue
                error = one.opened.result()
                if error is None:
                    return self._win(one)
                if one.ended_silently and self._may_be_silent():
                    return None
                self._lose(one, error)
            self._give_up_slow_ones()
            if not self._running or self._hedge_is_due():
                self._start_next()
        raise self._combined()

    def __aiter__(self) -> "Race[Piece]":
        """What the winner has to say. Raises its error, however it fails."""
        return self

    async def __anext__(self) -> Piece:
        winner = self._running[0]
        piece = await winner.pieces.get()
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, _Failure):
            self._has_won = False
            if isinstance(piece.error, ProviderError):
                self._board.failed(winner.model, piece.error)
            raise piece.error
        return piece

    def _start_next(self) -> None:
        while self._waiting:
            candidate = self._waiting.popleft()
            if self._board.may_try(candidate.model):
                self._start(candidate, spare=False)
                return
            self._spares.append(candidate)
        if self._spares and not self._running:
            self._start(self._spares.popleft(), spare=True)

    def _start(self, candidate: Candidate[Piece], *, spare: bool) -> None:
        running = _Running(candidate, self._speaks, spare)
        self._running.append(running)
        self._tasks.append(running.task)

    def _has_next(self, one: "_Running[Piece]") -> bool:
        """Whether giving up `one` leads anywhere. What is known to be broken is no reason to hurry."""
        return self._somebody_waits() or bool(one.spare and self._spares)

    def _somebody_waits(self) -> bool:
        return any(not self._board.is_broken(candidate.model) for candidate in self._waiting)

    def _waited_since(self, one: "_Running[Piece]") -> float | None:
        return None if self._began is None else max(self._began, one.began)

    def _due(self) -> float | None:
        """When something has to be done although nothing has happened."""
        times = []
        for one in self._running:
            since = self._waited_since(one)
            if since is not None and self._has_next(one):
                times.append(since + self._fallback.ttft_timeout)
        hedge = self._hedge_time()
        return min((*times, hedge) if hedge is not None else times, default=None)

    def _hedge_time(self) -> float | None:
        """When the next one is asked as well: two at once, no more."""
        if self._fallback.hedge_after is None or len(self._running) != 1 or not self._somebody_waits():
            return None
        since = self._waited_since(self._running[0])
        return None if since is None else since + self._fallback.hedge_after

    def _hedge_is_due(self) -> bool:
        time = self._hedge_time()
        return time is not None and self._loop.time() >= time

    def _give_up_slow_ones(self) -> None:
        timeout = self._fallback.ttft_timeout
        for one in list(self._running):
            since = self._waited_since(one)
            if since is None or not self._has_next(one) or self._loop.time() < since + timeout:
                continue
            self._lose(one, TimedOutError(f"{one.model} gave no first piece within {timeout:g} s"))
            one.task.cancel()
            self._start_next()

    def _win(self, one: "_Running[Piece]") -> Won:
        since = self._waited_since(one)
        waited = 0.0 if since is None else self._loop.time() - since
        hedged = self._running[0] is not one
        self._board.answered(one.model)
        for other in self._running:
            if other is not one:
                self._board.gave_up(other.model)
                other.task.cancel()
        self._running, self._has_won = [one], True
        self._attempts.append(Attempt(one.model, None, self._loop.time() - one.began))
        return Won(one.model, tuple(self._attempts), hedged, waited)

    def _lose(self, one: "_Running[Piece]", error: ProviderError) -> None:
        log.warning("router %s: %s failed: %s", self._router, one.model, error)
        self._running.remove(one)
        self._board.failed(one.model, error)
        self._attempts.append(Attempt(one.model, error.code, self._loop.time() - one.began))
        self._errors.append((one.model, error))

    def _combined(self) -> ProviderError:
        """The last error, as the same kind of error, with what became of every attempt."""
        _, last = self._errors[-1]
        told = _joined(f"{model} ({error.code}): {error}" for model, error in self._errors)
        message = f"Router '{self._router}' got no answer. {told}"[:MAX_MESSAGE]
        kind = next(kind for kind in type(last).__mro__ if kind.__module__ == errors.__name__)
        if isinstance(last, RateLimitError):
            return RateLimitError(message, provider=last.provider, retry_after=last.retry_after)
        combined = kind(message, provider=last.provider)
        assert isinstance(combined, ProviderError)
        return combined


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(part[:400] for part in parts)
