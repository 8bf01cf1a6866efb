"""The provider "router": routers under the names of models, used by a session like any other model."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from providers.contracts import Llm, ModelInfo, Stt, Tts, TurnModel, Vad
from providers.errors import UnknownModelError
from providers.names import EngineKind
from providers.provider import Provider, ProviderSettings
from providers.routing.llm import RouterLlm
from providers.routing.lookup import Lookup, canonical
from providers.routing.routers import Routers
from providers.routing.stt import RouterStt
from providers.routing.tts import RouterTts

__all__ = ["RouterProvider", "WithRouters"]

MAX_ENGINES = 1024  # routers come and go; engines are cheap to make again


class RouterProvider(Provider):
    """Makes an engine of each router. `connect` has to be called once the registry is there."""

    def __init__(self, routers: Routers, name: str = "router") -> None:
        super().__init__(ProviderSettings(name))
        self.routers = routers
        self._lookup: Lookup | None = None
        self._engines: dict[tuple[EngineKind, str], Any] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def connect(self, lookup: Lookup) -> None:
        """`lookup` finds the models that routers name: the registry."""
        self._lookup = lookup

    def models(self) -> Sequence[ModelInfo]:
        return tuple(ModelInfo(one.id, one.kind) for one in self.routers.definitions())

    def llm(self, model: str) -> Llm:
        found: Llm = self._engine("llm", model, RouterLlm)
        return found

    def stt(self, model: str) -> Stt:
        found: Stt = self._engine("stt", model, RouterStt)
        return found

    def tts(self, model: str) -> Tts:
        found: Tts = self._engine("tts", model, RouterTts)
        return found

    def context_tokens(self, model: str) -> int:
        """As many as the smallest of its models holds: any of them may have to answer."""
        sizes, lookup = [], self._lookup
        for name in self.routers.names("llm", model):
            if lookup is None:
                break
            with suppress(UnknownModelError, KeyError):
                found = canonical(lookup, "llm", name)
                if not self.routers.has("llm", found.partition("/")[2]):  # nor do routers ask it
                    sizes.append(lookup.context_tokens(found))
        return min(sizes, default=super().context_tokens(model))

    def _engine(self, kind: EngineKind, router_id: str, make: Callable[[str, Routers, Lookup], Any]) -> Any:
        if self._lookup is None:
            raise RuntimeError("the routers are not connected to a registry")
        if not self.routers.has(kind, router_id):
            raise UnknownModelError(f"there is no router '{router_id}' of kind {kind}")
        with self._lock:
            if (kind, router_id) not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[kind, router_id] = make(router_id, self.routers, self._lookup)
            return self._engines[kind, router_id]


class WithRouters(Provider):
    """A provider under whose name routers are found first, as `inworld/<router>` is.

    Where it is not configured (`own` is None) it has nothing but routers.
    """

    def __init__(self, name: str, routers: RouterProvider, own: Provider | None = None) -> None:
        super().__init__(own.settings if own is not None else ProviderSettings(name))
        self._routers = routers
        self._own = own

    @property
    def own(self) -> Provider | None:
        """The provider itself."""
        return self._own

    def models(self) -> Sequence[ModelInfo]:
        """Its own; routers are listed under the name of their own provider."""
        return () if self._own is None else self._own.models()

    def llm(self, model: str) -> Llm:
        return self._provider("llm", model).llm(model)

    def stt(self, model: str) -> Stt:
        return self._provider("stt", model).stt(model)

    def tts(self, model: str) -> Tts:
        return self._provider("tts", model).tts(model)

    def vad(self, model: str) -> Vad:
        return super().vad(model) if self._own is None else self._own.vad(model)

    def turn(self, model: str) -> TurnModel:
        return super().turn(model) if self._own is None else self._own.turn(model)

    def context_tokens(self, model: str) -> int:
        if self._own is None or self._routers.routers.has("llm", model):
            return self._routers.context_tokens(model)
        return self._own.context_tokens(model)

    async def aclose(self) -> None:
        if self._own is not None:
            await self._own.aclose()

    def _provider(self, kind: EngineKind, model: str) -> Provider:
        if self._routers.routers.has(kind, model):
            return self._routers
        if self._own is None:
            raise UnknownModelError(
                f"there is no router '{model[:100]}' of kind {kind}, and provider '{self.name}' has no key"
            )
        return self._own
