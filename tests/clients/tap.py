"""What really went over a client's connections: a relay of bytes that reads along, and judges."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tests.conformance.client import FRAME_LIMIT, Event
from tests.conformance.oracle import Oracle

__all__ = ["Connection", "tap"]

_CHUNK = 65_536  # bytes read at once
_HEADER_LINE = 16_384  # bytes; far above what clients send


@dataclass(slots=True)
class Connection:
    """One WebSocket connection: the events of both sides, in the order in which they passed."""

    sent: list[Event] = field(default_factory=list)  # by the client
    received: list[Event] = field(default_factory=list)  # by the client
    faults: list[str] = field(default_factory=list)  # what the server did wrong
    pings: int = 0  # events of that type, which come by the clock between any two others
    oracle: Oracle = field(default_factory=Oracle)

    @property
    def responses(self) -> list[Event]:
        """The responses that ended, as `response.done` had them."""
        return [event["response"] for event in self.received if event["type"] == "response.done"]

    @property
    def errors(self) -> list[Any]:
        """The errors that the server sent."""
        return [event["error"] for event in self.received if event["type"] == "error"]

    def client_said(self, data: bytes) -> None:
        """Note an event of the client."""
        event = json.loads(data)
        self.oracle.sent(event)
        self.sent.append(event)

    def server_said(self, data: bytes) -> None:
        """Note an event of the server, and judge it."""
        event = json.loads(data)
        if event["type"] == "ping":
            self.pings += 1
            return
        self.received.append(event)
        if len(data) >= FRAME_LIMIT and event["type"] != "conversation.item.retrieved":
            self.faults.append(f"{event['type']} has {len(data)} bytes")
        try:
            self.oracle.received(event)
        except AssertionError as error:
            self.faults.append(str(error))


@asynccontextmanager
async def tap(server_url: str) -> AsyncIterator[tuple[str, list[Connection]]]:
    """A URL like "http://127.0.0.1:43210" that leads to the server, and the connections made to it so far.

    Nothing is added, changed or answered on the way, so that a client meets the server's own handshake, pings
    and close codes.
    """
    connections: list[Connection] = []
    relays: dict[asyncio.Task[None], asyncio.StreamWriter] = {}  # with what leads to their clients
    server = urlsplit(server_url)

    async def relay(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # it is one: the listener's
        relays[task] = to_client
        connection = Connection()
        connections.append(connection)
        from_server, to_server = await asyncio.open_connection(server.hostname, server.port)
        try:
            await asyncio.gather(
                _pump(from_client, to_server, _Reader(connection.client_said, masked=True)),
                _pump(from_server, to_client, _Reader(connection.server_said, masked=False)),
            )
        finally:
            to_client.close()
            to_server.close()

    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with listener:
        try:
            yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", connections
        finally:
            for to_client in relays.values():
                to_client.close()
            await asyncio.gather(*relays)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, reader: "_Reader") -> None:
    """Carry bytes one way until their source ends."""
    with suppress(OSError):  # the other side left without a word
        while data := await source.read(_CHUNK):
            reader.feed(data)
            target.write(data)
            await target.drain()
        target.write_eof()


class _Reader:
    """Reads along in one direction: past the head of the handshake, then frame by frame."""

    def __init__(self, heard: Callable[[bytes], None], *, masked: bool) -> None:
        self._stream = StreamReader()
        self._heard = heard
        self._parser = self._parse(masked)
        next(self._parser)

    def feed(self, data: bytes) -> None:
        """Take in some bytes."""
        self._stream.feed_data(data)
        next(self._parser)

    def _parse(self, masked: bool) -> Generator[None, None, None]:
        while (yield from self._stream.read_line(_HEADER_LINE)) != b"\r\n":
            pass
        message = bytearray()
        while True:
            frame = yield from Frame.parse(self._stream.read_exact, mask=masked)
            if frame.opcode in (Opcode.TEXT, Opcode.CONT):
                message += frame.data
                if frame.fin:
                    self._heard(bytes(message))
                    message.clear()
