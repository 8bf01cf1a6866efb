"""A small pool of threads for inference: the most urgent job first, cancelled jobs never begun."""

import asyncio
import heapq
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

__all__ = ["WorkerPool"]

T = TypeVar("T")


class WorkerPool:
    """Runs jobs in `threads` threads, lower `urgency` numbers first, in order within one urgency.

    The threads start with the first job and end with `close`.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._size = threads
        self._name = name
        self._jobs: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._order = count()  # keeps jobs of one urgency in order, and futures out of comparisons
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether a job given now would start at once."""
        with self._changed:
            return self._running + self._waiting() < self._size

    def waits(self, urgency: int) -> bool:
        """Whether a job of that urgency, or a more urgent one, waits for a thread."""
        with self._changed:
            return any(job[0] <= urgency and not job[2].cancelled() for job in self._jobs)

    def submit(self, job: Callable[[], T], urgency: int) -> "asyncio.Future[T]":
        """Queue `job`; cancelling the result drops it if it has not begun.

        Raises `RuntimeError` once the pool is closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the {self._name} threads have been stopped")
            heapq.heappush(self._jobs, (urgency, next(self._order), future, job))
            if len(self._threads) < min(self._size, self._running + len(self._jobs)):
                # Daemons: a process that ends without `close` must not hang on a job.
                name = f"{self._name}-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
            self._changed.notify()
        return asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop what waits, let what runs finish, end the threads; returns when they have ended."""
        with self._changed:
            self._closed = True
            for *_, future, _job in self._jobs:
                future.cancel()
            self._jobs.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _waiting(self) -> int:
        return sum(not job[2].cancelled() for job in self._jobs)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                _, _, future, job = heapq.heappop(self._jobs)
                if not future.set_running_or_notify_cancel():
                    continue
                self._running += 1
            error: BaseException | None = None
            result: Any = None
            try:
                result = job()
            except BaseException as raised:  # noqa: BLE001 - it is raised again where the result is awaited
                error = raised
            with self._changed:
                self._running -= 1  # before anybody learns of the result, and asks whether the pool is idle
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
            # Nothing of a job may be kept alive by a thread that waits for the next one.
            del future, job, result, error
