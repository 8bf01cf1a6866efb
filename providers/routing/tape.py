"""Keeps what a stream was given, so that the next engine can be given it again from the beginning."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Generic, TypeVar

from providers.errors import ConnectionFailedError

__all__ = ["Tape"]

Item = TypeVar("Item", bound=str | bytes)


class Tape(Generic[Item]):
    """Reads `source` once, as fast as the fastest reader wants it, and gives every reader all of it.

    At most `limit` characters or bytes are kept; what is longer can no longer be read from the beginning.
    """

    def __init__(
        self, source: AsyncIterator[Item], limit: int, counts: Callable[[Item], bool] = lambda _: True
    ) -> None:
        self.started = asyncio.Event()  # something came that `counts`
        self.ended = asyncio.Event()  # the source is exhausted
        self.ended_at = 0.0  # when that was, by the loop's clock
        self._source = source
        self._limit = limit
        self._counts = counts
        self._items: deque[Item] = deque()
        self._size = 0
        self._first = 0  # number of the oldest item that is kept
        self._settled = False
        self._failure: Exception | None = None
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._pump())

    async def read(self) -> AsyncGenerator[Item, None]:
        """From the beginning. Raises what the source raised, or that the beginning is gone."""
        number = 0
        while True:
            if number < self._first:
                raise ConnectionFailedError("too much was sent before the engine failed to send it again")
            if number < self._first + len(self._items):
                item = self._items[number - self._first]
                number += 1
                if self._settled:
                    self._forget(number)
                yield item
            elif self.ended.is_set():
                if self._failure is not None:
                    raise self._failure
                return
            else:
                self._wanted.set()
                await self._changed.wait()

    def settle(self) -> None:
        """One reader is left: what it has read need not be kept."""
        self._settled = True

    async def aclose(self) -> None:
        """Stop reading the source."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _pump(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                item = await anext(self._source)
                self._items.append(item)
                self._size += len(item)
                while self._size > self._limit and len(self._items) > 1:
                    self._forget(self._first + 1)
                if self._counts(item):
                    self.started.set()
                self._tell()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - raised again where the tape is read
            self._failure = error
        finally:
            self.ended_at = asyncio.get_running_loop().time()
            self.ended.set()
            self._tell()

    def _forget(self, number: int) -> None:
        while self._first < number and self._items:
            self._size -= len(self._items.popleft())
            self._first += 1

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
