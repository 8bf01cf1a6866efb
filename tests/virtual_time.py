"""Tests in virtual time: an hour passes at once, and exactly."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["in_virtual_time"]

Result = TypeVar("Result")


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: it moves the clock to when the next timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for something that never comes"
            self.now += max(0.0, timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, Result]]) -> Callable[..., Result]:
    """Runs a test on a loop whose clock jumps; no task may be left behind."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> Result:
        async def whole() -> Result:
            result = await test(*args, **kwargs)
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left
            return result

        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            return runner.run(whole())

    return run
