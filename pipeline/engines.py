"""The engines that a session uses, and how it comes by one without keeping the event loop."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from pipeline.catalog import Catalog
from providers.contracts import Llm, Stt, Tts

__all__ = ["Engines", "load"]

T = TypeVar("T")


class Engines(Catalog, Protocol):
    """The engines themselves, by canonical name. The first call for one may load it: use `load`."""

    def is_loaded(self, name: str) -> bool:
        """Whether asking for the engine of that name returns at once."""

    def llm(self, name: str) -> Llm:
        """The language model of that name."""

    def stt(self, name: str) -> Stt:
        """The transcription model of that name."""

    def tts(self, name: str) -> Tts:
        """The speech model of that name."""


async def load(engines: Engines, get: Callable[[str], T], name: str) -> T:
    """The engine that `get`, a method of `engines`, has by that name; loads it off the event loop."""
    # A hop to a thread costs more than all else that starts a turn, so it is made only when it is needed.
    return get(name) if engines.is_loaded(name) else await asyncio.to_thread(get, name)
