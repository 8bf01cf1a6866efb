"""What every failure of a remote service has to look like to a session."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from typing import Any

from openparley.testing.common import ContractError, collect, expect, nothing_left
from providers.errors import ProviderError

__all__ = ["check_failure"]


async def check_failure(
    run: Callable[[], AsyncGenerator[Any, None]],
    kind: type[ProviderError] | tuple[type[ProviderError], ...] = ProviderError,
    *,
    secrets: Collection[str] = (),
) -> ProviderError:
    """Run a stream whose service fails, and return the error that it ended with.

    It has to be a `ProviderError` of that kind, with a message that says something and holds none of the
    secrets, and nothing may be left of the stream.
    """
    before = asyncio.all_tasks()
    try:
        await collect(run())
    except ProviderError as error:
        expect(
            isinstance(error, kind), f"this failure is a {_name(kind)}, not a {type(error).__name__}: {error}"
        )
        expect(bool(error.message.strip()), "an error says what went wrong")
        for secret in secrets:
            expect(secret not in error.message, "no error holds a key")
        await nothing_left(before)
        return error
    raise ContractError("a service that fails ends the stream with a ProviderError")


def _name(kind: type[ProviderError] | tuple[type[ProviderError], ...]) -> str:
    return " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
