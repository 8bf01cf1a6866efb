"""What the checks of all kinds share: the error that they raise, and streams that are watched."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

from providers.errors import ProviderError

__all__ = ["LIMIT_S", "Check", "ContractError", "collect", "expect", "first_of", "nothing_left", "stream"]

LIMIT_S = 30.0  # for one stream; an engine that needs longer for a sentence is of no use in a conversation

Engine = TypeVar("Engine")
Item = TypeVar("Item")

Check = Callable[[Engine], Awaitable[None]]


class ContractError(AssertionError):
    """An engine does not do what its contract says. The message names the clause."""


def expect(holds: bool, clause: str) -> None:
    """Raise `ContractError` unless it holds."""
    if not holds:
        raise ContractError(clause)


@contextmanager
def _own_errors_only() -> Iterator[None]:
    try:
        yield
    except (ProviderError, ContractError, asyncio.CancelledError):
        raise
    except TimeoutError:
        raise ContractError(f"a stream must get on within {LIMIT_S:.0f} s") from None
    except Exception as error:
        name = type(error).__name__
        raise ContractError(f"failures are raised as ProviderError, not as {name}: {error}") from error


async def collect(events: AsyncGenerator[Item, None]) -> list[Item]:
    """All that a stream yields; raises what the engine raises, if it may raise that."""
    with _own_errors_only():
        async with asyncio.timeout(LIMIT_S), aclosing(events):
            return [event async for event in events]


async def first_of(events: AsyncGenerator[Item, None], count: int = 1) -> list[Item]:
    """The first things that a stream yields; then it is closed, as the server does when nobody listens."""
    found: list[Item] = []
    with _own_errors_only():
        async with asyncio.timeout(LIMIT_S), aclosing(events):
            async for event in events:
                found.append(event)
                if len(found) == count:
                    break
    return found


async def stream(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items, with a moment for others between two of them."""
    for item in items:
        yield item
        await asyncio.sleep(0)


async def nothing_left(before: set[asyncio.Task[Any]], *, turns: int = 100) -> None:
    """Raise `ContractError` if tasks are still at work that were not there before.

    Tasks of pooled connections may stay: they are told by a name that begins with "idle". So may those of a
    fake that runs on the same event loop, if their names begin with "fake", or if aiohttp's server made them.
    """
    left: set[asyncio.Task[Any]] = set()
    for _ in range(turns):  # what was cancelled needs a few turns of the loop to end
        left = {task for task in asyncio.all_tasks() - before if not _may_stay(task)}
        if not left:
            return
        await asyncio.sleep(0.01)
    names = ", ".join(sorted(f"{task.get_name()} ({_name(task)})" for task in left))
    raise ContractError(f"closing a stream stops its work and leaves no task; still there: {names}")


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def _may_stay(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return task.get_name().startswith(("idle", "fake")) or (
        code is not None and code.co_filename.endswith("web_protocol.py")
    )
