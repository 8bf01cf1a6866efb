"""Runs the application under uvicorn in the running event loop, for `parley serve` and for tests alike."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Literal

import uvicorn

from server.app import create_app
from server.settings import ServerSettings, Settings
from server.startup import Prepared, StartupError, prepare
from server.tls import server_context
from server.traces import check_traces

__all__ = ["Server", "bind", "new_event_loop", "serve", "url_of"]

GRACE = 5  # seconds that open connections get to end before their tasks are cancelled
PING_INTERVAL = 20.0  # seconds; proxies drop connections that are silent for longer, often after 60


class Server(uvicorn.Server):
    """uvicorn's server with a callback for the moment when it listens, and without its signal handlers."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[["Server"], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening(self)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal once more after a clean end, which then looks like a crash.
        yield

    def stop(self) -> None:
        """End gracefully; safe in any thread."""
        self.should_exit = True


async def serve(
    settings: Settings,
    sock: socket.socket,
    environ: Mapping[str, str],
    *,
    on_ready: Callable[[Prepared, Server], None],
    signals: bool = False,
) -> None:
    """Load and warm everything, then listen on `sock` (from `bind`) until told to stop.

    `on_ready` is called once clients can connect. With `signals`, SIGINT and SIGTERM end the server
    gracefully: open sessions are closed and get five seconds; a second SIGINT does not wait. Raises
    `StartupError`, or `asyncio.CancelledError` when a signal comes before the server is ready.
    """
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(_prepare(settings, environ))
    server: Server | None = None

    def stop(signum: int, frame: FrameType | None) -> None:
        if server is None:
            loop.call_soon_threadsafe(starting.cancel)
        else:
            server.handle_exit(signum, frame)

    with _handled(stop) if signals else contextlib.nullcontext(), contextlib.closing(sock):
        prepared, tls = await starting
        config = _config(create_app(settings, prepared), settings, tls)
        server = Server(config, lambda ready: on_ready(prepared, ready))
        try:
            await server.serve(sockets=[sock])
        except OSError as error:  # somebody else began to listen while the models were loading
            await prepared.registry.aclose()
            raise _taken(settings.server.host, settings.server.port, error) from error


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds the address and does not listen yet. Raises `StartupError` when it cannot be had.

    So a port that is taken is noticed at once, while nobody can connect before the models are warm.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"--host: '{host}' is not an address: {error.strerror}") from error
    # "localhost" may mean both: clients that are given 127.0.0.1 must find it.
    family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise _taken(host, port, error) from error
    return sock


def url_of(sock: socket.socket, settings: ServerSettings) -> str:
    """`http://HOST:PORT`, or https, for clients on this machine: an address for "any" becomes loopback."""
    scheme = "http" if settings.tls_cert is None else "https"
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop of the fastest kind that there is for this system."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def _prepare(settings: Settings, environ: Mapping[str, str]) -> tuple[Prepared, ssl.SSLContext | None]:
    tls = server_context(settings.server)  # first, because the models take longer
    check_traces(settings.log)
    return await prepare(settings, environ), tls


def _config(app: Any, settings: Settings, tls: ssl.SSLContext | None) -> uvicorn.Config:
    http: Literal["httptools"] = "httptools"
    return uvicorn.Config(
        app,
        http=http,
        ws="websockets-sansio",
        ws_max_size=settings.server.limits.max_message_bytes,
        ws_ping_interval=PING_INTERVAL,
        ws_ping_timeout=PING_INTERVAL,
        ws_per_message_deflate=False,  # costs 100 us per audio delta and saves little
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ssl_context_factory=None if tls is None else lambda config, default: tls,
    )


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _taken(host: str, port: int, error: OSError) -> StartupError:
    return StartupError(
        f"Cannot listen on {host}:{port}: {error.strerror or error}. Stop what uses that port, or choose"
        " another one with --port (0 picks any that is free)."
    )
