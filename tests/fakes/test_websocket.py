"""The base of the fakes that speak WebSocket: records, and every fault as a client meets it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.fakes.websocket import (
    Cut,
    FakeSockets,
    Garbage,
    Hesitate,
    Line,
    NoHandshake,
    Plan,
    Refusal,
    Stall,
)


class Parrot(FakeSockets):
    """Says its line, and repeats what it hears."""

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/talk", self._talk)]

    def refusal(self, http: web.Request) -> Refusal | None:
        return None if http.headers.get("Authorization") == self.api_key else Refusal(401, "no such key")

    async def _talk(self, line: Line) -> None:
        await line.send({"line": line.reply})
        while (message := await line.receive()) is not None:
            if message == "":
                await line.close(4000, "as you say")
            await line.send(message)


@pytest.fixture
async def parrot() -> AsyncIterator[Parrot]:
    async with Parrot(default="hello") as parrot:
        yield parrot


@asynccontextmanager
async def client(parrot: Parrot, key: str | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"Authorization": key or parrot.api_key}
    async with (
        asyncio.timeout(10),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{parrot.base_url}/talk?a=1&b=x%20y", headers=headers) as socket,
    ):
        yield socket


async def test_both_directions_are_recorded(parrot: Parrot) -> None:
    parrot.script(Plan("hi"))
    async with client(parrot) as socket:
        await socket.send_json({"n": 1})
        await socket.send_bytes(b"\x01\x02")
        await socket.send_bytes(b"\x03")
        await socket.send_str("plain")
        exchange = await parrot.exchange(0)
        await exchange.until(lambda: len(exchange.sent) == 5)

    await exchange.finished.wait()
    assert exchange.received == [{"n": 1}, b"\x01\x02", b"\x03", "plain"]
    assert exchange.sent == [{"line": "hi"}, *exchange.received]
    assert exchange.audio == b"\x01\x02\x03"
    assert exchange.texts == [{"n": 1}, "plain"]
    assert exchange.query == {"a": "1", "b": "x y"}
    assert exchange.close_code == 1000
    assert exchange.times == sorted(exchange.times)


async def test_connections_are_counted(parrot: Parrot) -> None:
    async with client(parrot) as one, client(parrot) as two:
        await one.receive()
        await two.receive()
        assert (parrot.open, parrot.most_open) == (2, 2)
    await parrot.all_closed()
    assert [exchange.reply for exchange in parrot.exchanges] == ["hello", "hello"]


async def test_a_wrong_key_uses_up_no_plan(parrot: Parrot) -> None:
    parrot.script(Plan("kept"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with client(parrot, "wrong"):
            pass
    async with client(parrot) as socket:
        assert await socket.receive_json() == {"line": "kept"}

    assert caught.value.status == 401
    assert parrot.exchanges[0].refused == Refusal(401, "no such key")


async def test_a_handshake_can_be_refused(parrot: Parrot) -> None:
    parrot.script(Plan(None, Refusal(429, {"error": "slowly"}, retry_after=2.5)))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with client(parrot):
            pass

    assert caught.value.status == 429
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "2.5"


async def test_a_handshake_can_be_left_unanswered(parrot: Parrot) -> None:
    parrot.script(Plan(None, NoHandshake()))
    task = asyncio.create_task(client(parrot).__aenter__())
    exchange = await parrot.exchange(0)
    assert not task.done()
    task.cancel()

    await asyncio.wait_for(exchange.finished.wait(), 5)


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Cut(sent=1, code=1011, reason="full"), 1011), (Cut(heard=1, code=4031), 4031), (Cut(heard=1), 1006)],
)
async def test_a_connection_can_be_cut(parrot: Parrot, fault: Cut, code: int) -> None:
    parrot.script(Plan("hi", fault))
    async with client(parrot) as socket:
        assert await socket.receive_json() == {"line": "hi"}
        await socket.send_json({})
        end = await socket.receive()

    assert end.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
    assert socket.close_code == code
    assert end.extra == fault.reason or not fault.reason


async def test_a_service_can_close_by_itself(parrot: Parrot) -> None:
    async with client(parrot) as socket:
        await socket.receive()
        await socket.send_str("")
        end = await socket.receive()

    assert (end.data, end.extra) == (4000, "as you say")


async def test_garbage_comes_in_between(parrot: Parrot) -> None:
    parrot.script(Plan("hi", Garbage(sent=1, data="}{")))
    async with client(parrot) as socket:
        await socket.send_bytes(b"a")
        assert [(await socket.receive()).data for _ in range(3)] == ['{"line": "hi"}', "}{", b"a"]


async def test_a_stalled_service_still_reads(parrot: Parrot) -> None:
    parrot.script(Plan("hi", Stall(sent=1)))
    async with client(parrot) as socket:
        await socket.receive()
        for number in range(3):
            await socket.send_json({"n": number})
        exchange = await parrot.exchange(0)
        await exchange.until(lambda: len(exchange.received) == 3)

    await exchange.finished.wait()
    assert exchange.sent == [{"line": "hi"}]


async def test_a_service_can_hesitate(parrot: Parrot) -> None:
    event = asyncio.Event()
    parrot.script(Plan("hi", Hesitate(until=event)))
    async with client(parrot) as socket:
        exchange = await parrot.exchange(0)
        assert exchange.sent == []
        event.set()
        assert await socket.receive_json() == {"line": "hi"}


async def test_a_mistake_in_a_fake_fails_the_test() -> None:
    class Broken(Parrot):
        async def _talk(self, line: Line) -> None:
            raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        async with Broken() as broken, client(broken) as socket:
            await socket.receive()
