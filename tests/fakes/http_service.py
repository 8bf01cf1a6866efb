"""What fakes of HTTP services share: a server on a free loopback port, scripts, faults, recorded requests."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from tests.fakes.openai_api import RecordedRequest, Reply
from tests.fakes.sending import send_reply

__all__ = ["Exchange", "HttpService", "Renders", "as_json"]

MAX_BODY_BYTES = 64 * 1024 * 1024


class Renders(Protocol):
    """A script that makes its answer out of the request."""

    def render(self, body: Mapping[str, Any]) -> Reply: ...


class Exchange:
    """The scripts of one path and the requests that it saw."""

    def __init__(self, default: Reply | Renders) -> None:
        self.default = default  # once the scripts are used up
        self.requests: list[RecordedRequest] = []
        self._scripts: deque[Reply | Renders] = deque()
        self._arrived = asyncio.Condition()

    def script(self, *replies: Reply | Renders) -> None:
        """Answer the next requests with these, in order; a refusal uses none of them up."""
        self._scripts.extend(replies)

    async def wait_for_requests(self, count: int) -> None:
        """Until so many requests have come in, since the start."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    @asynccontextmanager
    async def answering(
        self, request: RecordedRequest, refusal: Reply | None = None
    ) -> AsyncGenerator[Reply, None]:
        """What to answer; notes what becomes of it."""
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()
        try:
            script = refusal or (self._scripts.popleft() if self._scripts else self.default)
            yield script if isinstance(script, Reply) else script.render(request.body)
        except (asyncio.CancelledError, ConnectionError):
            request.aborted = True
            raise
        finally:
            request.finished.set()


class HttpService:
    """A server; everything about it ends with the `async with` block. Subclasses bring the routes."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.base_url = ""  # without a path
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    def routes(self) -> Sequence[web.RouteDef]:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(self.routes())
        # Cancelling the handler is how a client that hangs up is noticed at once.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def record(self, http: web.Request) -> RecordedRequest:
        """The request with its JSON body; raises `ValueError` where it has none."""
        body = json.loads(await http.read())
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")
        headers = {name.lower(): value for name, value in http.headers.items()}
        peer = http.transport.get_extra_info("peername") if http.transport is not None else ("", 0)
        now = asyncio.get_running_loop().time()
        return RecordedRequest(http.path_qs, headers, body, (peer[0], peer[1]), now)

    async def send(self, http: web.Request, reply: Reply) -> web.StreamResponse:
        return await send_reply(http, reply, self._closing)


def as_json(value: Any) -> bytes:
    """JSON as the services write it: no escapes for what UTF-8 can say."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
