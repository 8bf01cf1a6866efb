"""All routers of a process by id, and what the models that they ask were like of late."""

import threading
from collections.abc import Callable, Mapping

from providers.errors import InvalidRequestError
from providers.names import EngineKind
from providers.routing.choosing import CompiledRouter, names_of
from providers.routing.definition import RouterDefinition
from providers.routing.scoreboard import Scoreboard

__all__ = ["Routers"]


class Routers:
    """Changes take effect with the next request. Safe in any thread."""

    def __init__(self, boards: Callable[[], Scoreboard] = Scoreboard) -> None:
        self.boards: Mapping[EngineKind, Scoreboard] = {
            "llm": boards(),
            "stt": boards(),
            "tts": boards(),
        }
        self._routers: dict[str, CompiledRouter] = {}
        self._lock = threading.Lock()

    def put(self, definition: RouterDefinition) -> None:
        """Add a router, or replace the one of that id. Compiles its conditions."""
        compiled = CompiledRouter(definition)
        with self._lock:
            self._routers = {**self._routers, definition.id: compiled}

    def remove(self, router_id: str) -> None:
        """Forget a router; requests to it fail from now on."""
        with self._lock:
            self._routers = {key: value for key, value in self._routers.items() if key != router_id}

    def definitions(self) -> tuple[RouterDefinition, ...]:
        return tuple(router.definition for router in self._routers.values())

    def has(self, kind: EngineKind, router_id: str) -> bool:
        router = self._routers.get(router_id)
        return router is not None and router.definition.kind == kind

    def names(self, kind: EngineKind, router_id: str) -> tuple[str, ...]:
        """Every model that a router names; none when there is no such router (any more)."""
        router = self._routers.get(router_id)
        if router is None or router.definition.kind != kind:
            return ()
        variants = router.definition.variants()
        return tuple(dict.fromkeys(name for variant in variants for name in names_of(variant)))

    def get(self, kind: EngineKind, router_id: str) -> CompiledRouter:
        """Raises `InvalidRequestError` when there is none (any more)."""
        router = self._routers.get(router_id)
        if router is None or router.definition.kind != kind:
            raise InvalidRequestError(f"there is no router '{router_id}' of kind {kind}")
        return router
