"""The file of traces: JSON Lines, written by a thread, so that a slow disk holds nobody up."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from pipeline.session import Session
from server.settings import LogSettings
from server.spans import SessionTracer
from server.startup import StartupError

__all__ = ["Traces", "check_traces"]

log = logging.getLogger(__name__)

_MAX_WAITING = 1000  # spans; more are dropped, because memory is for the callers
_PATIENCE_S = 5.0  # for what waits when the server ends
_MAX_LINE = 1024 * 1024  # bytes: metadata is as large as a client likes


class Traces:
    """The traces of one server, if any are written. Use as a context manager: leaving it writes what waits.

    Entering raises `StartupError`. Several processes may append to one file, and it may be emptied meanwhile.
    """

    def __init__(self, settings: LogSettings, on_dropped: Callable[[], None]) -> None:
        self._path = settings.traces
        self._content = settings.trace_content
        self._on_dropped = on_dropped
        self._spans: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._failing = False

    def __enter__(self) -> Self:
        if self._path is not None:
            file = _open(self._path)
            self._thread = threading.Thread(
                target=self._write_all, args=(file, self._path), name="parley-traces", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            with suppress(queue.Full):  # of a disk that takes nothing any more
                self._spans.put(None, timeout=_PATIENCE_S)
            self._thread.join(_PATIENCE_S)

    @contextmanager
    def watching(self, session: Session) -> Iterator[None]:
        """Trace a session as long as it lasts."""
        if self._path is None:
            yield
            return
        tracer = SessionTracer(session.id, self.write, content=self._content)
        session.watch(tracer)
        try:
            yield
        finally:
            tracer.close()

    def write(self, span: Mapping[str, Any]) -> None:
        """Take a span, or drop and count it. Never blocks, never raises."""
        try:
            self._spans.put_nowait(span)
        except queue.Full:
            self._on_dropped()

    def _write_all(self, file: int, path: Path) -> None:
        while (span := self._spans.get()) is not None:
            line = orjson.dumps(span, option=orjson.OPT_APPEND_NEWLINE)
            if len(line) > _MAX_LINE or not self._write(file, path, line):
                self._on_dropped()
        os.close(file)

    def _write(self, file: int, path: Path, line: bytes) -> bool:
        try:
            # One call, so that the lines of several processes do not mix.
            complete = os.write(file, line) == len(line)
        except OSError as error:
            if not self._failing:  # a full disk stays full for a while
                log.error("log.traces: %s cannot be written: %s", path, error.strerror)
            self._failing = True
            return False
        self._failing = False
        return complete


def check_traces(settings: LogSettings) -> None:
    """Raises `StartupError` where traces are wanted and could not be written."""
    if settings.traces is not None:
        os.close(_open(settings.traces))


def _open(path: Path) -> int:
    try:
        # What people said may be in it, which other users of the machine have no business with.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"log.traces: {path} cannot be written: {error.strerror}") from None
