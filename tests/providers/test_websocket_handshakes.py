"""Opening a WebSocket to a provider: what is sent, and each refusal as the error that it is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.http import HttpClient, Timeouts
from providers.websockets import Socket, connect
from tests.fakes.echo_sockets import Echo
from tests.fakes.websocket import (
    Fault,
    NoHandshake,
    Plan,
    Refusal,
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
        timeouts=Timeouts(connect=5),
    )
    yield client
    await client.aclose()


@pytest.fixture
async def socket(client: HttpClient) -> AsyncIterator[Socket]:
    socket = await connect(client, "/talk")
    yield socket
    await socket.aclose()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refusal(401), AuthenticationError),
        (Refusal(403), AuthenticationError),
        (Refusal(429, retry_after=3), RateLimitError),
        (Refusal(400, f"the key {KEY} is bad"), InvalidRequestError),
        (Refusal(404), InvalidRequestError),
        (Refusal(503), OverloadedError),
        (Refusal(200, "a page"), BadAnswerError),
        (Refusal(302), BadAnswerError),
        (NoHandshake(), TimedOutError),
    ],
)
async def test_a_refused_handshake_is_told(
    echo: Echo, client: HttpClient, fault: Fault, kind: type[ProviderError]
) -> None:
    echo.script(Plan(None, fault))
    if kind is TimedOutError:
        client.timeouts = Timeouts(connect=0.2)

    with pytest.raises(ProviderError) as caught:
        await connect(client, "/talk")

    assert type(caught.value) is kind
    assert caught.value.provider == "lab"
    assert KEY not in str(caught.value)
    assert len(echo.exchanges) == 1
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 3


async def test_a_server_that_is_not_there_is_told() -> None:
    client = HttpClient("lab", "http://127.0.0.1:1")

    with pytest.raises(ConnectionFailedError, match=r"lab cannot be reached at 127\.0\.0\.1:1"):
        await connect(client, "/talk")
    await client.aclose()


async def raw_server(*answers: bytes | None) -> tuple[asyncio.Server, list[bytes]]:
    """Answers its connections with these bytes, one after the other; None hangs up without any."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        answer = answers[min(len(requests), len(answers)) - 1]
        if answer is not None:
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0), requests


@pytest.mark.parametrize(
    ("answer", "kind", "attempts"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", BadAnswerError, 1),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", BadAnswerError, 1),
        (None, ConnectionFailedError, 2),
    ],
)
async def test_a_server_that_speaks_something_else_is_told(
    answer: bytes | None, kind: type[ProviderError], attempts: int
) -> None:
    server, requests = await raw_server(answer)
    host, port = server.sockets[0].getsockname()
    client = HttpClient("lab", f"http://{host}:{port}")

    with pytest.raises(ProviderError) as caught:
        await connect(client, "/")
    await client.aclose()
    server.close()
    await server.wait_closed()

    assert type(caught.value) is kind
    assert len(requests) == attempts


async def test_a_cancelled_handshake_leaves_nothing(echo: Echo, client: HttpClient) -> None:
    echo.script(Plan(None, NoHandshake()))
    task = asyncio.create_task(connect(client, "/talk"))
    exchange = await echo.exchange(0)
    task.cancel()

    await asyncio.wait_for(exchange.finished.wait(), 5)
    assert task.cancelled() or task.cancelling()
