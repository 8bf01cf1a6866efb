"""Pools of sockets by the address that they need, where a service takes the voice in its address."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from providers.socket_pool import SocketPool

__all__ = ["PoolsByKey"]

Key = TypeVar("Key")


@dataclass(slots=True)
class _Entry:
    pool: SocketPool
    users: int = 0


class PoolsByKey(Generic[Key]):
    """One pool for each of the keys used last. Use it on one event loop."""

    def __init__(self, make: Callable[[Key], SocketPool], *, most: int = 16) -> None:
        """`most` idle pools are kept: keys come from clients."""
        self._make = make
        self._most = most
        self._entries: dict[Key, _Entry] = {}  # the one used last is the last

    @asynccontextmanager
    async def use(self, key: Key) -> AsyncGenerator[SocketPool, None]:
        """The pool of one key; it is not closed as long as somebody uses it."""
        entry = self._entries.pop(key, None) or _Entry(self._make(key))
        self._entries[key] = entry
        entry.users += 1
        try:
            yield entry.pool
        finally:
            entry.users -= 1
            await self._trim()

    async def warm(self) -> bool:
        """Have a socket ready for the key used last; false where none was used. Never raises."""
        if not self._entries:
            return False
        await next(reversed(self._entries.values())).pool.warm()
        return True

    async def aclose(self) -> None:
        """Close all idle sockets."""
        entries, self._entries = self._entries, {}
        await asyncio.gather(*(entry.pool.aclose() for entry in entries.values()))

    async def _trim(self) -> None:
        unused = [key for key, entry in self._entries.items() if not entry.users]
        for key in unused[: max(0, len(self._entries) - self._most)]:
            await self._entries.pop(key).pool.aclose()
