"""A WebSocket to a provider: JSON and binary frames, deadlines, and errors in our own words."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import orjson

from providers.errors import BadAnswerError, ConnectionFailedError, ProviderError, TimedOutError
from providers.http import HttpClient
from providers.problems import Problem, retry_after

__all__ = ["Socket", "SocketClosedError", "connect"]

MAX_FRAME_BYTES = 16 * 1024 * 1024
PING_S = 20.0  # a peer that answers no ping for half as long is gone
CLOSE_S = 0.3  # for the closing handshake: the peer was told, and whoever closes wants to go on


class SocketClosedError(ConnectionFailedError):
    """The peer closed the socket, or it broke. `close_code` is 1006 where no closing frame came."""

    def __init__(self, message: str, *, provider: str, close_code: int, reason: str) -> None:
        super().__init__(message, provider=provider)
        self.close_code = close_code
        self.reason = reason  # as the peer gave it, without secrets


class Socket:
    """One open connection. One task sends and one receives; `aclose` may come from anywhere."""

    def __init__(
        self,
        client: HttpClient,
        socket: aiohttp.ClientWebSocketResponse,
        close_statuses: Mapping[int, int] | None = None,
    ) -> None:
        self.provider = client.provider
        self.redactor = client.redactor
        self.gap = client.timeouts.gap  # seconds that `receive` waits unless told otherwise
        self._socket = socket
        self._close_statuses = close_statuses or {}
        self._sent_at = asyncio.get_running_loop().time()
        self._keeper: asyncio.Task[None] | None = None

    async def send_json(self, message: Mapping[str, Any]) -> None:
        """Send one text frame. Raises as `receive` does at the end of the connection."""
        await self._send(self._socket.send_str, orjson.dumps(message).decode())

    async def send_text(self, text: str) -> None:
        """Send one text frame as it is, for the few that are no JSON. Raises as `send_json`."""
        await self._send(self._socket.send_str, text)

    async def send_bytes(self, data: bytes) -> None:
        """Send one binary frame. Raises as `send_json`."""
        await self._send(self._socket.send_bytes, data)

    async def receive(self, within: float | None = None) -> dict[str, Any] | bytes:
        """The next frame: an object of JSON, or binary data.

        Raises `TimedOutError` when none comes within so many seconds (`inf`: however long it takes),
        `SocketClosedError` at the end of the connection, or what its code means to this peer,
        `BadAnswerError` for a text frame that holds no object. A call that is cancelled loses nothing.
        """
        seconds = self.gap if within is None else within
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                message = await self._socket.receive()
        except TimeoutError:
            raise TimedOutError(f"{self.provider} stopped answering", provider=self.provider) from None
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is aiohttp.WSMsgType.TEXT:
            try:
                value = orjson.loads(message.data)
            except orjson.JSONDecodeError:
                value = None
            if isinstance(value, dict):
                return value
            raise self.bad("sent something that is not a JSON object")
        raise self._closed(str(message.extra or ""))

    def keep_alive(self, say: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Call `say` whenever nothing was sent for so many seconds, until the connection ends."""
        self._keeper = asyncio.create_task(self._repeat(say, every_s), name="provider socket kept alive")

    async def aclose(self) -> None:
        """Close the connection; returns within 0.3 s, and never raises."""
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass

    def bad(self, what: str) -> BadAnswerError:
        """The error for a message that breaks the protocol."""
        return BadAnswerError(f"{self.provider} {what}", provider=self.provider)

    def problem(self, status: int, message: str, code: str = "") -> ProviderError:
        """The error for what the peer reported, going by the HTTP status that fits it."""
        return Problem(status, self.redactor.clean(message), code).to_error(self.provider)

    async def _send(self, send: Any, data: str | bytes) -> None:
        try:
            async with asyncio.timeout(self.gap):
                await send(data)
        except TimeoutError:
            raise TimedOutError(f"{self.provider} reads too slowly", provider=self.provider) from None
        except (aiohttp.ClientError, OSError, RuntimeError):
            raise self._closed("") from None
        self._sent_at = asyncio.get_running_loop().time()

    async def _repeat(self, say: Callable[[], Awaitable[None]], every_s: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(self._sent_at + every_s - loop.time())
                if loop.time() >= self._sent_at + every_s:
                    await say()
        except ProviderError:
            pass  # whoever uses the socket is told

    def _closed(self, reason: str) -> ProviderError:
        code = self._socket.close_code or 1006
        if (status := self._close_statuses.get(code)) is not None:
            return self.problem(status, reason or f"closed with {code}")
        reason = self.redactor.clean(reason)
        text = f"{self.provider} closed the connection ({code})" + (f": {reason}" if reason else "")
        return SocketClosedError(text, provider=self.provider, close_code=code, reason=reason)


async def connect(
    client: HttpClient,
    path: str,
    *,
    params: Mapping[str, str] | list[tuple[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    protocols: tuple[str, ...] = (),
    close_statuses: Mapping[int, int] | None = None,
) -> Socket:
    """Open a WebSocket below the client's base URL, within its connect deadline.

    `close_statuses` says which HTTP status fits a code that this peer closes with; others are
    `SocketClosedError`s. Raises `AuthenticationError`, `RateLimitError` or whatever else fits the status of
    a refused handshake, `TimedOutError` or `ConnectionFailedError`.
    """
    with client.translated("did not open a WebSocket"):
        async with asyncio.timeout(client.timeouts.connect):
            try:
                socket = await client.session().ws_connect(
                    client.base_url + path,
                    params=params,
                    headers=headers,
                    protocols=protocols,
                    heartbeat=PING_S,
                    max_msg_size=MAX_FRAME_BYTES,
                    compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
            except aiohttp.WSServerHandshakeError as error:
                # What the library says of a status is that it is not 101.
                message = "" if error.status != 101 else client.redactor.clean(error.message)
                wait = retry_after(error.headers or {})
                raise Problem(error.status, message, retry_after=wait).to_error(client.provider) from None
    return Socket(client, socket, close_statuses)
