"""A real server in a thread of this process, for tests and for `parley talk` without a server to talk to."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from server.serving import GRACE, Server, bind, new_event_loop, serve, url_of
from server.settings import Settings
from server.startup import Prepared

__all__ = ["running_server"]

PATIENCE = GRACE + 10  # seconds to wait for a clean end


@contextmanager
def running_server(settings: Settings, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve `settings` on a free loopback port, whatever host and port they name, and yield the URL.

    The URL is like "http://127.0.0.1:43210", or https where they name a certificate; clients can connect at
    once. Leaving the block ends the server and waits for it. Raises `StartupError` when it cannot start.
    `environ` (default: this process's) is where provider keys are looked up.
    """
    local = settings.server.model_copy(update={"host": "127.0.0.1", "port": 0})
    settings = settings.model_copy(update={"server": local})
    keys = os.environ if environ is None else environ
    sock = bind(local.host, local.port)
    url = url_of(sock, local)
    started: Future[Server] = Future()
    abandoned = threading.Event()  # the caller was interrupted while it waited

    def on_ready(prepared: Prepared, server: Server) -> None:
        if abandoned.is_set():
            server.stop()
        started.set_result(server)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve(settings, sock, keys, on_ready=on_ready))
            if not started.done():
                started.set_exception(RuntimeError("the server ended before it was ready"))
        except BaseException as error:
            if started.done():
                raise
            # uvicorn leaves with SystemExit when the application does not start; its log has the reason.
            exited = isinstance(error, SystemExit)
            started.set_exception(RuntimeError("the application did not start") if exited else error)

    thread = threading.Thread(target=run, name="parley-server", daemon=True)
    thread.start()
    try:
        server = started.result()
    except BaseException:
        abandoned.set()
        thread.join(PATIENCE)
        raise
    try:
        yield url
    finally:
        server.stop()
        thread.join(PATIENCE)
        if thread.is_alive():
            raise RuntimeError(f"the server did not end within {PATIENCE} seconds")
