"""The generations of one session: which run, whether their client may have more, and how they stop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pipeline.commands import Command, GenerationFailed
from pipeline.effects import StartGeneration
from pipeline.engines import Engines
from pipeline.generation import Generation
from pipeline.quota import Quota, QuotaExceededError
from providers.contracts import Caller

__all__ = ["Generations"]


class Generations:
    """By the ids of their responses: a response has one at a time, and another for each round with tools."""

    def __init__(
        self,
        engines: Engines,
        dispatch: Callable[[Command], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        room: Callable[[], Awaitable[None]],
        quota: Quota | None,
    ) -> None:
        """`spawn` starts a task that ends with the session; `room` waits until clients can take more."""
        self._engines = engines
        self._dispatch = dispatch
        self._spawn = spawn
        self._room = room
        self._quota = quota
        self._running: dict[str, tuple[Generation, asyncio.Task[None]]] = {}

    def start(self, order: StartGeneration, caller: Caller) -> None:
        """Ask the model, or say that its client has used up what it may."""
        id = order.response_id
        try:
            if self._quota is not None:
                self._quota.admit()
        except QuotaExceededError as exceeded:
            self._dispatch(GenerationFailed(id, "rate_limit_exceeded", str(exceeded), started=False))
            return
        generation = Generation(order, self._engines, self._dispatch, self._room, caller)
        task = self._spawn(generation.run(), f"generation {id}")
        self._running[id] = (generation, task)
        task.add_done_callback(lambda _: self._ended(id, generation))

    def speak(self, response_id: str, clause: str) -> None:
        """One more clause for the voice."""
        self._running[response_id][0].speak(clause)

    def finish_speaking(self, response_id: str) -> None:
        """No more clauses."""
        self._running[response_id][0].finish_speaking()

    def stop(self, response_id: str) -> None:
        """Nothing more of it is wanted."""
        if running := self._running.pop(response_id, None):
            running[0].stop()
            running[1].cancel()

    def _ended(self, id: str, generation: Generation) -> None:
        # One that was prepared in vain, or a round that is over, is followed by another of the same response.
        if id in self._running and self._running[id][0] is generation:
            del self._running[id]
