"""Pings: how often, to whom, and not to a client that is behind. Time is the loop's, and passes at once."""

import asyncio
import json
import selectors
from collections.abc import Coroutine
from typing import Any, cast

from starlette.types import Message
from starlette.websockets import WebSocket

from pipeline.session import Session
from server.protocol.decoding import Decoder
from server.protocol.encoding import Encoder
from server.protocol.pings import PING_EVERY_S
from server.transports.websocket import Ending, WebSocketPeer


class _Skipping(selectors.DefaultSelector):
    """Adds up what a loop would have waited for."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        assert ready or timeout is not None, "the loop would wait forever"
        if not ready:
            self.now += timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes at once where nothing is to be done."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


class Line:
    """A client that stays until a second, and does not read while it is asked not to."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.is_connected = False
        self.told: list[tuple[float, dict[str, Any]]] = []  # when, and what
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self) -> Message:
        if not self.is_connected:
            self.is_connected = True
            return {"type": "websocket.connect"}
        await asyncio.sleep(self.until - asyncio.get_running_loop().time())
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "websocket.send":
            self.told.append((asyncio.get_running_loop().time(), json.loads(message["text"])))

    async def serve(self, ping_every: float | None, idle: float | None = None) -> Ending:
        socket = WebSocket({"type": "websocket"}, self.receive, self.send)
        await socket.accept()
        peer = WebSocketPeer(
            socket,
            Encoder("sess_1", 0),
            Decoder(max_append_bytes=1000, max_item_bytes=1000),
            max_outbox_bytes=10_000,
            events_per_second=10,
            lifetime=3600,
            idle=idle,
            ping_every=ping_every,
        )
        return await peer.serve(cast(Session, _Quiet()))


class _Quiet:
    """A session that says nothing of itself."""

    id = "sess_1"

    def join(self, peer: object) -> None:
        """Nothing to tell."""


def test_a_ping_comes_every_quarter_of_a_minute_with_the_time() -> None:
    async def main() -> None:
        line = Line(until=61)
        ending = await line.serve(PING_EVERY_S)

        assert ending == "left"
        assert [when for when, _ in line.told] == [15, 30, 45, 60]
        events = [event for _, event in line.told]
        assert all(set(event) == {"type", "event_id", "timestamp"} for event in events)
        assert {event["type"] for event in events} == {"ping"}
        assert len({event["event_id"] for event in events}) == 4
        assert all(isinstance(e["timestamp"], int) and e["timestamp"] > 1_700_000_000_000 for e in events)

    run(main())


def test_who_did_not_ask_for_pings_gets_none() -> None:
    async def main() -> None:
        line = Line(until=3000)

        assert (await line.serve(None), line.told) == ("left", [])

    run(main())


def test_a_client_that_is_behind_is_spared() -> None:
    async def main() -> None:
        line = Line(until=80)
        loop = asyncio.get_running_loop()
        loop.call_later(14, line.reads.clear)  # the ping of 15 s stays on its way until 40 s
        loop.call_later(40, line.reads.set)
        await line.serve(PING_EVERY_S)

        assert [when for when, _ in line.told] == [40, 45, 60, 75]

    run(main())


def test_pings_do_not_keep_an_idle_client() -> None:
    async def main() -> None:
        line = Line(until=300)
        ending = await line.serve(PING_EVERY_S, idle=40)

        assert ending == "idle"
        assert [event["type"] for _, event in line.told] == ["ping", "ping", "error"]

    run(main())
