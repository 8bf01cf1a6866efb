"""Prepares the models that a router asks first."""

import asyncio
from contextlib import suppress

from providers.contracts import Warmable
from providers.errors import ProviderError, UnknownModelError
from providers.names import EngineKind
from providers.routing.choosing import names_of
from providers.routing.lookup import Lookup, canonical, engine
from providers.routing.routers import Routers

__all__ = ["warm_first"]

MAX_WARMED = 4


async def warm_first(lookup: Lookup, routers: Routers, kind: EngineKind, router_id: str) -> None:
    """Warm the first choice of each variant, a few at most. Never raises."""
    with suppress(ProviderError):
        variants = routers.get(kind, router_id).definition.variants()
        names = dict.fromkeys(names_of(variant)[0] for variant in variants)
        async with asyncio.TaskGroup() as tasks:
            for name in list(names)[:MAX_WARMED]:
                tasks.create_task(_warm(lookup, kind, name))


async def _warm(lookup: Lookup, kind: EngineKind, name: str) -> None:
    with suppress(ProviderError, UnknownModelError):
        found = await engine(lookup, kind, canonical(lookup, kind, name))
        if isinstance(found, Warmable):
            await found.warm()
