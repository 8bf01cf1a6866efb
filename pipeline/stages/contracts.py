"""Stages beside the engine: each watches a session and does one thing more; no session needs any of them."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

from pipeline.commands import Command
from pipeline.config import SessionConfig
from pipeline.effects import Effect
from pipeline.engines import Engines
from pipeline.events import Event
from pipeline.items import Item
from pipeline.quota import Quota
from providers.contracts import Caller

__all__ = ["Host", "Stage"]


class Host(Protocol):
    """What a session offers its stages."""

    @property
    def engines(self) -> Engines:
        """Models and voices."""

    @property
    def caller(self) -> Caller:
        """For whom they work."""

    @property
    def quota(self) -> Quota | None:
        """What they may use of models; None: nothing is limited."""

    @property
    def config(self) -> SessionConfig:
        """As it is now."""

    @property
    def items(self) -> Iterable[Item]:
        """The conversation, in order."""

    def dispatch(self, command: Command) -> None:
        """Tell the engine something, as any other worker of the session does."""

    def tell(self, event: Event) -> None:
        """Tell the clients something that the engine need not know."""

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that ends with the session. It must not raise."""


class Stage(Protocol):
    """Called on the event loop, in order; must not block, and must not raise."""

    def configure(self, config: SessionConfig) -> bool:
        """The configuration is now this one: at the beginning of a session, and with every change.

        Returns whether the stage has anything to do: if not, it sees nothing until the next change.
        """

    def took(self, command: Command) -> None:
        """The engine has handled that command, and its effects were carried out."""

    def saw(self, effect: Effect) -> None:
        """Something is about to be done, such as an event that goes to the clients."""

    def close(self) -> None:
        """The session is over; its tasks are cancelled by the session itself."""
