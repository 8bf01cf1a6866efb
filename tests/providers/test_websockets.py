"""The WebSocket to a provider: frames both ways, deadlines, and every end as the error that it is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.http import HttpClient, Timeouts
from providers.websockets import Socket, SocketClosedError, connect
from tests.fakes.echo_sockets import Echo
from tests.fakes.websocket import (
    Cut,
    Garbage,
    Plan,
    Stall,
)

KEY = "secret-key-0123456789"
FOREVER = float("inf")


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def client(echo: Echo) -> AsyncIterator[HttpClient]:
    client = HttpClient(
        "lab",
        echo.base_url,
        headers={"Authorization": f"Bearer {KEY}"},
        secrets=(KEY,),
        timeouts=Timeouts(connect=5, gap=5),
    )
    yield client
    await client.aclose()


@pytest.fixture
async def socket(client: HttpClient) -> AsyncIterator[Socket]:
    socket = await connect(client, "/talk")
    yield socket
    await socket.aclose()


async def test_frames_go_both_ways(echo: Echo, socket: Socket) -> None:
    await socket.send_json({"text": "grüß dich"})
    await socket.send_bytes(b"\x00\x01")
    assert await socket.receive() == {"text": "grüß dich"}
    assert await socket.receive() == b"\x00\x01"
    await socket.send_text("")

    exchange = await echo.exchange(0)
    await exchange.until(lambda: len(exchange.received) == 3)
    assert exchange.received[-1] == ""
    assert exchange.headers["authorization"] == f"Bearer {KEY}"


async def test_what_belongs_to_the_handshake_is_sent(echo: Echo, client: HttpClient) -> None:
    socket = await connect(
        client,
        "/talk",
        params=[("term", "a b"), ("term2", "ü&x")],
        headers={"X-Lab": "1"},
        protocols=("chat",),
    )
    await socket.aclose()

    exchange = await echo.exchange(0)
    assert exchange.query == {"term": "a b", "term2": "ü&x"}
    assert exchange.headers["x-lab"] == "1"
    assert exchange.headers["sec-websocket-protocol"] == "chat"
    assert exchange.headers["user-agent"] == "openparley"


async def test_closing_is_told_to_the_peer(echo: Echo, client: HttpClient) -> None:
    socket = await connect(client, "/talk")
    await socket.aclose()
    await socket.aclose()

    exchange = await echo.exchange(0)
    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert exchange.close_code == 1000


@pytest.mark.parametrize("data", ["not json", "[1]", '"text"', "5", "null", "", "{"])
async def test_text_that_is_no_object_is_a_bad_answer(echo: Echo, client: HttpClient, data: str) -> None:
    echo.script(Plan(None, Garbage(data=data)))
    socket = await connect(client, "/talk")
    await socket.send_json({"n": 1})

    with pytest.raises(BadAnswerError, match="lab sent something that is not a JSON object"):
        await socket.receive()
    assert await socket.receive() == {"n": 1}
    await socket.aclose()


async def test_a_peer_that_says_nothing_is_late(echo: Echo, client: HttpClient) -> None:
    echo.script(Plan(None, Stall()))
    client.timeouts = Timeouts(gap=0.1)
    socket = await connect(client, "/talk")
    await socket.send_json({})

    with pytest.raises(TimedOutError, match="lab stopped answering"):
        await socket.receive()
    with pytest.raises(TimedOutError):
        await socket.receive(within=0.01)
    await socket.aclose()


async def test_who_waits_without_a_deadline_waits(client: HttpClient, socket: Socket) -> None:
    task = asyncio.create_task(socket.receive(within=FOREVER))
    other = await connect(client, "/talk")
    with pytest.raises(TimedOutError):
        await other.receive(within=0.05)
    await other.aclose()
    assert not task.done()
    await socket.send_json({"n": 2})
    assert await task == {"n": 2}


async def test_a_cancelled_receive_loses_nothing(socket: Socket) -> None:
    for number in range(20):
        task = asyncio.create_task(socket.receive())
        await socket.send_json({"n": number})
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            assert await socket.receive() == {"n": number}
        else:
            assert task.result() == {"n": number}


@pytest.mark.parametrize(("code", "told"), [(1011, 1011), (4031, 4031), (1000, 1000), (1006, 1006)])
async def test_the_end_of_a_connection_has_its_code(
    echo: Echo, client: HttpClient, code: int, told: int
) -> None:
    echo.script(Plan(None, Cut(heard=1, code=code, reason=f"no room for {KEY}")))
    socket = await connect(client, "/talk")
    await socket.send_json({})

    with pytest.raises(SocketClosedError) as caught:
        await socket.receive()

    assert caught.value.close_code == told
    assert KEY not in str(caught.value)
    assert caught.value.reason == ("" if code == 1006 else "no room for [key]")
    assert caught.value.retryable
    with pytest.raises(SocketClosedError):
        await socket.receive()
    await socket.aclose()


async def test_a_code_may_mean_something_to_this_peer(echo: Echo, client: HttpClient) -> None:
    for code in (4001, 4002):
        echo.script(Plan(None, Cut(heard=1, code=code, reason="Not Authorized" if code == 4001 else "")))
    errors = []
    for _ in range(2):
        socket = await connect(client, "/talk", close_statuses={4001: 401, 4002: 429})
        await socket.send_json({})
        with pytest.raises(ProviderError) as caught:
            await socket.receive()
        errors.append(caught.value)
        await socket.aclose()

    assert [type(error) for error in errors] == [AuthenticationError, RateLimitError]
    assert "Not Authorized" in str(errors[0])
    assert "4002" in str(errors[1])


async def test_sending_into_a_closed_connection_is_told(echo: Echo, client: HttpClient) -> None:
    echo.script(Plan(None, Cut(heard=1, code=1011)))
    socket = await connect(client, "/talk")
    await socket.send_json({})
    with pytest.raises(SocketClosedError):
        await socket.receive()

    with pytest.raises(SocketClosedError) as caught:
        await socket.send_bytes(b"x")
    assert caught.value.close_code == 1011
    await socket.aclose()


async def test_sending_after_one_closed_it_oneself_is_told(socket: Socket) -> None:
    await socket.aclose()

    for send in (socket.send_json({}), socket.send_text("x"), socket.send_bytes(b"x")):
        with pytest.raises(SocketClosedError):
            await send


async def test_a_peer_that_reads_nothing_is_late() -> None:
    stuck = asyncio.Event()

    async def talk(http: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(http)
        assert http.transport is not None
        http.transport.pause_reading()
        await stuck.wait()
        return answer

    app = web.Application()
    app.add_routes([web.get("/talk", talk)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = HttpClient("lab", "http://{}:{}".format(*runner.addresses[0][:2]), timeouts=Timeouts(gap=0.1))
    socket = await connect(client, "/talk")

    async def flood() -> None:
        for _ in range(100):
            await socket.send_bytes(bytes(1 << 20))

    with pytest.raises(TimedOutError, match="lab reads too slowly"):
        await flood()
    before = asyncio.get_running_loop().time()
    await socket.aclose()
    assert asyncio.get_running_loop().time() - before < 5
    stuck.set()
    await client.aclose()
    await runner.cleanup()


async def test_a_quiet_connection_is_kept_alive_until_it_is_closed(echo: Echo, socket: Socket) -> None:
    said = asyncio.Semaphore(0)

    async def say() -> None:
        await socket.send_json({"type": "keepalive"})
        said.release()

    socket.keep_alive(say, 0.01)
    for _ in range(3):
        await asyncio.wait_for(said.acquire(), 5)
    await socket.aclose()
    await asyncio.sleep(0)

    assert not [task for task in asyncio.all_tasks() if "kept alive" in task.get_name()]
    exchange = await echo.exchange(0)
    assert exchange.received.count({"type": "keepalive"}) >= 3


async def test_whoever_sends_needs_no_other_sign_of_life(echo: Echo, socket: Socket) -> None:
    async def say() -> None:
        await socket.send_json({"type": "keepalive"})

    socket.keep_alive(say, 30)
    for number in range(5):
        await socket.send_json({"n": number})
    exchange = await echo.exchange(0)
    await exchange.until(lambda: len(exchange.received) == 5)

    assert {"type": "keepalive"} not in exchange.received


async def test_signs_of_life_end_with_the_connection(echo: Echo, client: HttpClient) -> None:
    echo.script(Plan(None, Cut(heard=1, code=1011)))
    socket = await connect(client, "/talk")

    async def say() -> None:
        await socket.send_json({"type": "keepalive"})

    socket.keep_alive(say, 0.01)
    with pytest.raises(SocketClosedError):
        await socket.receive(within=5)
    [keeper] = [task for task in asyncio.all_tasks() if "kept alive" in task.get_name()]
    await asyncio.wait([keeper], timeout=5)

    assert keeper.exception() is None
    await socket.aclose()


async def test_a_large_frame_comes_through_and_an_endless_one_does_not(
    echo: Echo, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.websockets.MAX_FRAME_BYTES", 1 << 20)
    socket = await connect(client, "/talk")
    await socket.send_bytes(bytes(1 << 19))
    assert await socket.receive(within=5) == bytes(1 << 19)
    await socket.send_bytes(bytes(1 << 21))

    with pytest.raises(ProviderError):
        await socket.receive(within=5)
    await socket.aclose()
