"""Puts a stage behind a guard: should it break, the session goes on without it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from pipeline.commands import Command
from pipeline.config import SessionConfig
from pipeline.effects import Effect
from pipeline.engines import Engines
from pipeline.events import Event
from pipeline.items import Item
from pipeline.quota import Quota
from pipeline.stages.contracts import Host, Stage
from providers.contracts import Caller

__all__ = ["guarded"]

log = logging.getLogger(__name__)

_BROKE = "%s broke; the session goes on without it"


def guarded(make: Callable[[Host], Stage]) -> Callable[[Host], Stage]:
    """A factory of the same stage, whose calls never raise, and whose tasks do not either."""
    return lambda host: _Guarded(make(_GuardedHost(host)))


class _Guarded:
    """A `Stage` that does nothing any more once the one inside has raised."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._name = type(stage).__name__
        self._broken = False

    def configure(self, config: SessionConfig) -> bool:
        if self._broken:
            return False
        try:
            return self._stage.configure(config)
        except Exception:
            log.exception(_BROKE, self._name)
            self._give_up()
            return False

    def took(self, command: Command) -> None:
        if self._broken:
            return
        try:
            self._stage.took(command)
        except Exception:
            log.exception(_BROKE, self._name)
            self._give_up()

    def saw(self, effect: Effect) -> None:
        if self._broken:
            return
        try:
            self._stage.saw(effect)
        except Exception:
            log.exception(_BROKE, self._name)
            self._give_up()

    def close(self) -> None:
        try:
            self._stage.close()
        except Exception:
            log.exception("%s could not be closed", self._name)

    def _give_up(self) -> None:
        self._broken = True
        self.close()


class _GuardedHost:
    """A `Host` whose tasks end quietly where they should have raised."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def engines(self) -> Engines:
        return self._host.engines

    @property
    def caller(self) -> Caller:
        return self._host.caller

    @property
    def quota(self) -> Quota | None:
        return self._host.quota

    @property
    def config(self) -> SessionConfig:
        return self._host.config

    @property
    def items(self) -> Iterable[Item]:
        return self._host.items

    def dispatch(self, command: Command) -> None:
        self._host.dispatch(command)

    def tell(self, event: Event) -> None:
        self._host.tell(event)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._host.spawn(_survived(work, name), name)
        task.add_done_callback(lambda _: work.close())  # one that is cancelled at once has not begun with it
        return task


async def _survived(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("%s broke; the session goes on", name)
