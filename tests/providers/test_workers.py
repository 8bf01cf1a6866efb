"""The pool of inference threads: order, cancellation, failure, end."""

import asyncio
import threading
from functools import partial

import pytest

from providers.workers import WorkerPool


async def begun(pool: WorkerPool, gate: threading.Event) -> "asyncio.Future[bool]":
    """A job that keeps a thread until the gate opens, once it has begun."""
    started = threading.Event()

    def hold() -> bool:
        started.set()
        return gate.wait()

    job = pool.submit(hold, urgency=2)
    await asyncio.to_thread(started.wait)
    return job


async def test_the_most_urgent_job_is_next_and_a_cancelled_one_never_runs() -> None:
    pool = WorkerPool(1, "test")
    gate, order = threading.Event(), list[str]()
    first = await begun(pool, gate)
    later = [
        pool.submit(partial(order.append, name), urgency)
        for name, urgency in (("late", 2), ("dropped", 0), ("early", 0), ("later", 2), ("middle", 1))
    ]

    later.pop(1).cancel()
    await asyncio.sleep(0)  # a cancellation reaches the pool with the loop's next turn
    waits = pool.waits(0), pool.idle
    gate.set()
    await first
    await asyncio.gather(*later)

    assert order == ["early", "middle", "late", "later"]
    assert waits == (True, False)
    assert pool.idle
    pool.close()


async def test_what_a_job_raises_is_raised_where_it_is_awaited_and_the_thread_goes_on() -> None:
    pool = WorkerPool(1, "test")

    with pytest.raises(ZeroDivisionError):
        await pool.submit(lambda: 1 // 0, urgency=0)

    assert await pool.submit(lambda: 7, urgency=0) == 7
    pool.close()


async def test_closing_drops_what_waits_and_refuses_more() -> None:
    pool = WorkerPool(2, "test")
    gate = threading.Event()
    running = [await begun(pool, gate) for _ in range(2)]
    waiting = pool.submit(lambda: None, urgency=0)

    closing = threading.Thread(target=pool.close)
    closing.start()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    closing.join()

    assert [await job for job in running] == [True, True]
    with pytest.raises(RuntimeError, match="stopped"):
        pool.submit(lambda: None, urgency=0)
