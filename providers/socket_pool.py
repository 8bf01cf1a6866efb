"""Keeps WebSockets open between two uses, and opens one ahead of the first."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from providers.errors import ProviderError
from providers.websockets import Socket

__all__ = ["Lease", "SocketPool"]

MAX_IDLE = 8  # more than that are closed when they come back


class Lease:
    """A socket for one use. It goes back to the pool only where `keep` was called."""

    def __init__(self, socket: Socket, *, reused: bool) -> None:
        self.socket = socket
        self.reused = reused  # it may have died unnoticed: a failure before the first answer is worth a retry
        self.is_kept = False

    def keep(self) -> None:
        """Say that the exchange ended as it should, so that the socket can serve another one."""
        self.is_kept = True


class _Idle:
    """A socket that nobody uses. It is read all the time: pings are answered, and its end is noticed."""

    def __init__(
        self,
        socket: Socket,
        idle_s: float,
        keep_alive: Callable[[Socket], Awaitable[None]] | None,
        every_s: float,
    ) -> None:
        self.socket = socket
        self._idle_s, self._keep_alive, self._every_s = idle_s, keep_alive, every_s
        self.is_alive = True
        self._task = asyncio.create_task(self._watch(), name="idle provider socket")

    async def take(self) -> Socket | None:
        """The socket, or None when it has just ended."""
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            await self.socket.aclose()
            raise
        return self.socket if self.is_alive else None

    async def aclose(self) -> None:
        await self.take()
        await self.socket.aclose()

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(self._idle_s), asyncio.TaskGroup() as tasks:
                if self._keep_alive is not None:
                    tasks.create_task(self._repeat(), name="idle provider socket, kept alive")
                while True:
                    # What comes now belongs to an exchange that is over.
                    await self.socket.receive(within=float("inf"))
        except (TimeoutError, ExceptionGroup):
            self.is_alive = False
            await self.socket.aclose()

    async def _repeat(self) -> None:
        assert self._keep_alive is not None
        while True:
            await asyncio.sleep(self._every_s)
            await self._keep_alive(self.socket)


class SocketPool:
    """Sockets of one engine, each used by one exchange at a time. Use it on one event loop."""

    def __init__(
        self,
        open: Callable[[], Awaitable[Socket]],
        *,
        idle_s: float = 60.0,
        keep_alive: Callable[[Socket], Awaitable[None]] | None = None,
        every_s: float = 10.0,
    ) -> None:
        """`open` connects one; idle ones are closed after `idle_s`, and told `keep_alive` every `every_s`."""
        self._open = open
        self._idle_s, self._keep_alive, self._every_s = idle_s, keep_alive, every_s
        self._idle: list[_Idle] = []
        self._warming = False
        self._closed = False

    async def warm(self) -> None:
        """Have one idle socket ready. Never raises: who uses the pool next is told what is wrong."""
        if self._warming or any(idle.is_alive for idle in self._idle):
            return
        self._warming = True
        try:
            await self._put(await self._open())
        except ProviderError:
            pass
        finally:
            self._warming = False

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[Lease, None]:
        """A socket of one's own, fresh or idle before. Raises as `open` does."""
        lease = await self._take()
        try:
            yield lease
        except BaseException:
            lease.is_kept = False
            raise
        finally:
            if lease.is_kept:
                await self._put(lease.socket)
            else:
                await lease.socket.aclose()

    async def aclose(self) -> None:
        """Close the idle sockets; those in use are closed when they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for one in idle:
            await one.aclose()

    async def _take(self) -> Lease:
        while self._idle:
            socket = await self._idle.pop().take()  # the one used last is the likeliest to live
            if socket is not None:
                return Lease(socket, reused=True)
        return Lease(await self._open(), reused=False)

    async def _put(self, socket: Socket) -> None:
        self._idle = [idle for idle in self._idle if idle.is_alive]
        if self._closed or len(self._idle) >= MAX_IDLE:
            await socket.aclose()
        else:
            self._idle.append(_Idle(socket, self._idle_s, self._keep_alive, self._every_s))
