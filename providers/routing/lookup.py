"""How routers come by the engines that they send requests to."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from providers.contracts import Llm, Stt, Tts
from providers.errors import InvalidRequestError, UnknownModelError
from providers.names import EngineKind

__all__ = ["Lookup", "Routed", "canonical", "engine", "loaded"]

Engine = TypeVar("Engine")


class Lookup(Protocol):
    """What a router needs of the registry, which has these methods."""

    def resolve_llm(self, name: str) -> str: ...
    def resolve_stt(self, name: str) -> str: ...
    def resolve_tts(self, name: str) -> str: ...
    def is_loaded(self, name: str) -> bool: ...
    def llm(self, name: str) -> Llm: ...
    def stt(self, name: str) -> Stt: ...
    def tts(self, name: str) -> Tts: ...
    def resolve_voice(self, tts: str, voice: str) -> str: ...
    def context_tokens(self, name: str) -> int: ...


class Routed:
    """What the engines of routers derive from, so that no router sends a request to another one."""


def canonical(lookup: Lookup, kind: EngineKind, name: str) -> str:
    """The `provider/model` that a name means; raises `UnknownModelError`."""
    resolve: Callable[[str], str] = getattr(lookup, f"resolve_{kind}")
    return resolve(name)


async def engine(lookup: Lookup, kind: EngineKind, model: str) -> Any:
    """The engine of a canonical name, loaded off the event loop; raises also `InvalidRequestError`."""
    get: Callable[[str], Any] = getattr(lookup, kind)
    found = get(model) if lookup.is_loaded(model) else await asyncio.to_thread(get, model)
    if isinstance(found, Routed):
        raise InvalidRequestError(f"a router cannot send requests to another router ('{model}')")
    return found


def loaded(lookup: Lookup, kind: EngineKind, models: Iterable[str]) -> Iterator[Any]:
    """Those engines that are there already; unknown names, and routers, are left out."""
    for name in models:
        with suppress(UnknownModelError):
            model = canonical(lookup, kind, name)
            if lookup.is_loaded(model):
                found = getattr(lookup, kind)(model)
                if not isinstance(found, Routed):
                    yield found
