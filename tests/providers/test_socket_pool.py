"""The pool of a provider's sockets: whose they are, how long they live, and what becomes of dead ones."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from providers.errors import ConnectionFailedError, ProviderError
from providers.http import HttpClient
from providers.socket_pool import MAX_IDLE, SocketPool
from providers.websockets import Socket, connect
from tests.fakes.echo_sockets import Echo
from tests.fakes.websocket import Cut, NoHandshake, Plan, Refusal


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def client(echo: Echo) -> AsyncIterator[HttpClient]:
    client = HttpClient("lab", echo.base_url)
    yield client
    await client.aclose()


@pytest.fixture
async def pool(client: HttpClient) -> AsyncIterator[SocketPool]:
    pool = SocketPool(lambda: connect(client, "/talk"))
    yield pool
    await pool.aclose()


async def use(pool: SocketPool, text: str = "hi", *, keep: bool = True) -> bool:
    """One exchange; whether its socket was used before."""
    async with asyncio.timeout(5), pool.lease() as lease:
        await lease.socket.send_json({"text": text})
        assert await lease.socket.receive() == {"text": text}
        if keep:
            lease.keep()
        return lease.reused


def idle_tasks() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "idle provider socket"]


async def test_a_kept_socket_is_used_again(echo: Echo, pool: SocketPool) -> None:
    assert [await use(pool, text) for text in ("one", "two", "three")] == [False, True, True]
    assert len(echo.exchanges) == 1


async def test_a_socket_that_is_not_kept_is_closed(echo: Echo, pool: SocketPool) -> None:
    assert [await use(pool, keep=False) for _ in range(2)] == [False, False]

    await asyncio.wait_for(echo.all_closed(), 5)
    assert len(echo.exchanges) == 2


async def test_a_failed_exchange_keeps_nothing(echo: Echo, pool: SocketPool) -> None:
    async def fail() -> None:
        async with pool.lease() as lease:
            lease.keep()
            raise RuntimeError("mid-way")

    with pytest.raises(RuntimeError, match="mid-way"):
        await fail()
    await asyncio.wait_for(echo.all_closed(), 5)
    assert await use(pool) is False


async def test_a_cancelled_exchange_keeps_nothing(echo: Echo, pool: SocketPool) -> None:
    async def wait() -> None:
        async with pool.lease() as lease:
            lease.keep()
            await lease.socket.receive(within=float("inf"))

    task = asyncio.create_task(wait())
    exchange = await echo.exchange(0)
    task.cancel()
    await asyncio.wait([task])

    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert task.cancelled()


async def test_exchanges_at_once_have_sockets_of_their_own(echo: Echo, pool: SocketPool) -> None:
    texts = [f"text {number}" for number in range(6)]
    assert not any(await asyncio.gather(*(use(pool, text) for text in texts)))
    assert echo.most_open == 6

    assert all(await asyncio.gather(*(use(pool, text) for text in texts)))
    assert len(echo.exchanges) == 6


async def test_no_more_than_a_few_are_kept(echo: Echo, pool: SocketPool) -> None:
    async def hold(go: asyncio.Event) -> None:
        async with pool.lease() as lease:
            lease.keep()
            await go.wait()

    go = asyncio.Event()
    tasks = [asyncio.create_task(hold(go)) for _ in range(MAX_IDLE + 4)]
    await echo.exchange(MAX_IDLE + 3)
    go.set()
    await asyncio.gather(*tasks)

    assert len(idle_tasks()) == MAX_IDLE


async def test_one_is_opened_ahead(echo: Echo, pool: SocketPool) -> None:
    await asyncio.gather(pool.warm(), pool.warm())
    await pool.warm()

    assert len(echo.exchanges) == 1
    assert await use(pool) is True


async def test_warming_hides_what_is_wrong_until_it_matters(echo: Echo, pool: SocketPool) -> None:
    echo.script(Plan(None, Refusal(503)), Plan(None, Refusal(401)))
    await pool.warm()

    with pytest.raises(ProviderError):
        await use(pool)
    await pool.warm()
    assert await use(pool) is True


async def test_a_socket_that_died_in_idleness_is_not_handed_out(echo: Echo, pool: SocketPool) -> None:
    echo.script(Plan(None, Cut(sent=1, code=1001)))
    async with pool.lease() as lease:
        await lease.socket.send_json({"text": "hi"})
        assert await lease.socket.receive() == {"text": "hi"}
        lease.keep()
    [watch] = idle_tasks()
    await asyncio.wait([watch], timeout=5)

    assert await use(pool) is False
    assert len(echo.exchanges) == 2


async def test_what_comes_in_idleness_is_not_taken_for_an_answer(echo: Echo, pool: SocketPool) -> None:
    async with pool.lease() as lease:
        await lease.socket.send_json({"text": "late"})
        lease.keep()
    exchange = await echo.exchange(0)
    await exchange.until(lambda: len(exchange.sent) == 1)
    for _ in range(20):
        await asyncio.sleep(0)

    assert await use(pool, "new") is True


async def test_an_idle_socket_is_closed_in_time(echo: Echo, client: HttpClient) -> None:
    pool = SocketPool(lambda: connect(client, "/talk"), idle_s=0.02)
    await use(pool)

    exchange = await echo.exchange(0)
    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert await use(pool) is False
    await pool.aclose()


async def test_an_idle_socket_is_kept_alive(echo: Echo, client: HttpClient) -> None:
    async def keep_alive(socket: Socket) -> None:
        await socket.send_json({"type": "ping"})

    pool = SocketPool(lambda: connect(client, "/talk"), keep_alive=keep_alive, every_s=0.01)
    await pool.warm()
    exchange = await echo.exchange(0)
    await asyncio.wait_for(exchange.until(lambda: exchange.received.count({"type": "ping"}) >= 3), 5)

    async with pool.lease() as lease:
        assert lease.reused
    await pool.aclose()


async def test_a_sign_of_life_that_fails_ends_the_socket(echo: Echo, client: HttpClient) -> None:
    async def keep_alive(socket: Socket) -> None:
        raise ConnectionFailedError("it is gone")

    pool = SocketPool(lambda: connect(client, "/talk"), keep_alive=keep_alive, every_s=0.01)
    await pool.warm()

    exchange = await echo.exchange(0)
    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert await use(pool) is False
    await pool.aclose()


async def test_closing_ends_what_is_idle_and_later_what_is_in_use(echo: Echo, client: HttpClient) -> None:
    pool = SocketPool(lambda: connect(client, "/talk"))
    async with pool.lease() as lease:
        await use(pool)
        await pool.aclose()
        assert echo.open == 1
        lease.keep()

    await asyncio.wait_for(echo.all_closed(), 5)
    assert idle_tasks() == []


async def test_closing_while_one_is_opened_ahead_leaves_none(echo: Echo, client: HttpClient) -> None:
    opening, go = asyncio.Event(), asyncio.Event()

    async def open() -> Socket:
        opening.set()
        await go.wait()
        return await connect(client, "/talk")

    pool = SocketPool(open)
    task = asyncio.create_task(pool.warm())
    await opening.wait()
    await pool.aclose()
    go.set()
    await task

    await asyncio.wait_for(echo.all_closed(), 5)
    assert idle_tasks() == []


async def test_giving_up_while_a_socket_is_taken_leaves_none(echo: Echo, pool: SocketPool) -> None:
    await pool.warm()

    async def take() -> None:
        async with pool.lease():
            raise AssertionError("it was cancelled before")

    task = asyncio.create_task(take())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    await asyncio.wait_for(echo.all_closed(), 5)
    assert idle_tasks() == []


async def test_giving_up_while_one_is_opened_leaves_none(echo: Echo, pool: SocketPool) -> None:
    echo.script(Plan(None, NoHandshake()))
    task = asyncio.create_task(use(pool))
    exchange = await echo.exchange(0)
    task.cancel()
    await asyncio.wait([task])

    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert await use(pool) is False
