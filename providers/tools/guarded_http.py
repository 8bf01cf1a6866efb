"""HTTP for the `mcp` package: to admitted addresses only, bounded, without cookies, proxies and compression.

Imports httpx2, which takes a while, so only `mcp_connection` imports this, and that off the event loop.
"""

import contextlib
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2
import orjson

from providers.tools.contracts import ToolFailedError
from providers.tools.limits import ToolLimits
from providers.tools.outbound import Endpoint, OutboundGuard, parse_endpoint

__all__ = ["Exchange", "GuardedTransport", "exchange", "open_client"]

MAX_ERROR_BYTES = 64 * 1024
# Calls of one session that run at once, the stream of the server's own messages, and one to end the session.
MAX_CONNECTIONS = 34
_SESSION_HEADER = "mcp-session-id"
STREAM_COST = 4096  # bytes that a stream of the server's own messages counts for before it has any
EVENT_COST = (
    512  # bytes that each event counts for beside its own: a small one takes about a millisecond, too
)
STREAM_REFILL = 16 * 1024  # bytes per second that a server may send of its own accord, in the long run


@dataclass(slots=True)
class Exchange:
    """What happened over HTTP to one request of the protocol, which the `mcp` package does not tell."""

    status: int = 0  # of the last answer
    failure: ToolFailedError | None = None
    was_sent: bool = False
    is_session_lost: bool = False  # the server has forgotten the session, so it has not looked at the request


# The exchange of whatever task sends; the package carries it over to the tasks that it makes.
exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects where the guard lets it. Failures are noted in the `Exchange` of the request."""

    def __init__(self, guard: OutboundGuard, limits: ToolLimits, tls: ssl.SSLContext) -> None:
        self.is_open = False  # whether the package has agreed with the server on the protocol
        self._limits = limits
        self._unasked = _Allowance(limits.max_response_bytes, STREAM_REFILL)
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=60.0,
                network_backend=_GuardedBackend(guard, encrypted=scheme == "https"),
            )
            for scheme in ("http", "https")
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        noted = exchange.get() or Exchange()
        noted.failure, noted.was_sent = None, True
        try:
            endpoint = parse_endpoint(str(request.url))
            if request.method == "GET" and not self._unasked.take(STREAM_COST):
                raise ToolFailedError(f"{endpoint} sends too much of its own accord", "http_error")
            response = await self._send(request, endpoint, noted)
        except ToolFailedError as failure:
            noted.failure = failure
            # The package gives up the whole connection over an exception, with all calls that it carries.
            if not self.is_open:
                raise
            return httpx2.Response(502)
        return response

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def _send(self, request: httpx2.Request, endpoint: Endpoint, noted: Exchange) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _translated(endpoint, noted):
            answer = await self._pools[endpoint.scheme].handle_async_request(sent)
        noted.status = answer.status
        assert isinstance(answer.stream, AsyncIterable)
        limit = MAX_ERROR_BYTES if answer.status >= 400 else self._limits.max_response_bytes
        # A stream of the server's own messages, the answer to a GET, has no end, but it has a pace.
        unasked = request.method == "GET" and answer.status < 400
        body = _Body(answer.stream, endpoint, noted, self._unasked if unasked else _Allowance(limit))
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"set-cookie"]
        response = httpx2.Response(answer.status, headers=headers, stream=body)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # A few bytes may decompress to any number of them.
            await body.aclose()
            raise ToolFailedError(f"{endpoint} answers in a compressed form", "http_error", answer.status)
        if answer.status < 400:
            return response
        return await self._refused(request, response, endpoint, noted)

    async def _refused(
        self, request: httpx2.Request, response: httpx2.Response, endpoint: Endpoint, noted: Exchange
    ) -> httpx2.Response:
        """Errors of the protocol are for the package; of others it would not tell the status."""
        status = response.status_code
        try:
            body = await response.aread()
        except (ToolFailedError, httpx2.StreamError):
            body = b""
        finally:
            await response.aclose()
        noted.is_session_lost = status == 404 and _SESSION_HEADER in request.headers
        if _is_protocol_error(body):
            return httpx2.Response(status, headers={"content-type": "application/json"}, content=body)
        noted.failure = ToolFailedError(f"{endpoint} answers {status}{_hint(status)}", "http_error", status)
        return httpx2.Response(status)


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Looks names up through the guard, and connects to what it admits."""

    def __init__(self, guard: OutboundGuard, *, encrypted: bool) -> None:
        self._guard = guard
        self._encrypted = encrypted
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._guard.admit(host, port, encrypted=self._encrypted)
        last: Exception | None = None
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(
                    address,
                    port,
                    None if timeout is None else timeout / len(addresses),
                    local_address,
                    socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        assert last is not None
        raise last

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)


class _Allowance:
    """Bytes that may still come; with `refill`, so many more per second, up to the first number."""

    def __init__(self, size: int, refill: float = 0.0) -> None:
        self.size = size
        self._refill = refill
        self._left = float(size)
        self._counted_at = 0.0

    def take(self, count: int) -> bool:
        """Whether there were so many left."""
        now = time.monotonic()
        self._left = min(self._left + self._refill * (now - self._counted_at), self.size) - count
        self._counted_at = now
        return self._left >= 0


@dataclass(slots=True)
class _Body(httpx2.AsyncByteStream):
    """A body as it arrives, as far as it may."""

    stream: AsyncIterable[bytes]
    endpoint: Endpoint
    noted: Exchange
    allowance: _Allowance

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            with _translated(self.endpoint, self.noted):
                async for chunk in self.stream:
                    if not self.allowance.take(len(chunk) + EVENT_COST * chunk.count(b"data:")):
                        text = f"{self.endpoint} answers with more than {self.allowance.size} bytes"
                        raise ToolFailedError(text, "http_error", self.noted.status)
                    yield chunk
        except ToolFailedError as failure:
            self.noted.failure = failure
            # The package fails the one request over this, and the whole connection over anything else.
            raise httpx2.StreamError(failure.message) from None

    async def aclose(self) -> None:
        if hasattr(self.stream, "aclose"):
            await self.stream.aclose()


def open_client(
    transport: GuardedTransport, headers: dict[str, str], limits: ToolLimits
) -> httpx2.AsyncClient:
    """A client for one MCP server, which closes its transport."""
    return httpx2.AsyncClient(
        headers={"User-Agent": "openparley", **headers, "Accept-Encoding": "identity"},
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(limits.call_timeout, connect=limits.connect_timeout),
    )


@contextlib.contextmanager
def _translated(endpoint: Endpoint, noted: Exchange) -> Iterator[None]:
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout) as error:
        raise ToolFailedError(f"{endpoint} cannot be reached: {_reason(error)}", "http_error") from None
    except httpcore2.TimeoutException:
        raise ToolFailedError(f"{endpoint} does not answer in time", "http_error") from None
    except (httpcore2.NetworkError, httpcore2.RemoteProtocolError):
        raise ToolFailedError(f"{endpoint} broke off the connection", "http_error") from None
    except (httpcore2.LocalProtocolError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol):
        raise ToolFailedError(f"the request to {endpoint} cannot be made", "http_error") from None


def _reason(error: BaseException) -> str:
    """In a few words. The texts of these errors name addresses, which are not for clients."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not valid"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused"
        cause = cause.__cause__ or cause.__context__
    return "there is no answer in time" if isinstance(error, httpcore2.TimeoutException) else "no connection"


def _is_protocol_error(body: bytes) -> bool:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "jsonrpc" in value and isinstance(value.get("error"), dict)


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": it does not accept the authorization"
    return ": there is no MCP server at this address" if status in (404, 405) else ""
