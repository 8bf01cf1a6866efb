"""HTTP with TLS to an address that our own lookup has found."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from providers.tools.contracts import ToolFailedError
from providers.tools.guarded_http import GuardedTransport, open_client
from providers.tools.limits import ToolLimits
from providers.tools.outbound import AllowList, OutboundGuard
from tests.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), "tools.example")


@asynccontextmanager
async def https_server(certificates: Certificates) -> AsyncIterator[int]:
    """One that tells the host it was asked for; its port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.host, headers={"Set-Cookie": "a=b"})

    async def cookies(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Cookie", "none"))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    app = web.Application()
    app.add_routes([web.get("/", answer), web.get("/cookies", cookies)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def fetch(url: str, certificates: Certificates | None, *paths: str) -> list[str]:
    """What each path answers, to one client that takes every name for 127.0.0.1."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    trusted = None if certificates is None else str(certificates.authority)
    guard = OutboundGuard(AllowList.parse(["127.0.0.1"]), look_up)
    limits = ToolLimits()
    transport = GuardedTransport(guard, limits, ssl.create_default_context(cafile=trusted))
    async with open_client(transport, {}, limits) as client:
        return [(await client.get(url + path)).text for path in paths]


async def test_certificates_are_for_the_name_and_not_for_the_address(certificates: Certificates) -> None:
    async with https_server(certificates) as port:
        assert await fetch(f"https://tools.example:{port}", certificates, "/") == [f"tools.example:{port}"]
        for name in ("other.example", "127.0.0.1"):
            with pytest.raises(ToolFailedError, match="its certificate is not valid"):
                await fetch(f"https://{name}:{port}", certificates, "/")


async def test_certificates_of_strangers_are_not_trusted(certificates: Certificates) -> None:
    async with https_server(certificates) as port:
        with pytest.raises(ToolFailedError, match="its certificate is not valid") as caught:
            await fetch(f"https://tools.example:{port}", None, "/")

    assert (caught.value.kind, caught.value.code) == ("http_error", 0)


async def test_proxies_of_the_environment_are_not_used(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    async with https_server(certificates) as port:
        assert await fetch(f"https://tools.example:{port}", certificates, "/") == [f"tools.example:{port}"]


async def test_cookies_are_not_kept(certificates: Certificates) -> None:
    async with https_server(certificates) as port:
        _, sent = await fetch(f"https://tools.example:{port}", certificates, "/", "/cookies")

    assert sent == "none"


async def test_the_next_address_is_tried_where_one_does_not_answer(certificates: Certificates) -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # the server listens on the second one only

    guard = OutboundGuard(AllowList.parse(["127.0.0.0/8"]), look_up)
    limits = ToolLimits()
    context = ssl.create_default_context(cafile=str(certificates.authority))
    async with (
        https_server(certificates) as port,
        open_client(GuardedTransport(guard, limits, context), {}, limits) as client,
    ):
        assert (await client.get(f"https://tools.example:{port}/")).status_code == 200
