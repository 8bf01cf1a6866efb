"""What all fakes share that speak WebSocket: one server on a free loopback port, scripts, faults, records.

A fake derives from `FakeSockets` and says in `routes` which path leads to which conversation:

    class FakeEars(FakeSockets):
        def routes(self):
            return [self.socket("/listen", self._listen)]

        def refusal(self, http):
            return None if http.headers.get("Authorization") == self.api_key else Refusal(401, "who are you?")

        async def _listen(self, line: Line) -> None:
            while (message := await line.receive()) is not None: ...
                await line.send({"text": "..."})

    async with FakeEars() as fake:
        fake.script(Plan(("hello",), Cut(heard=3, code=1011)), Plan(faults=Refusal(429, retry_after=2)))
        ... connect below fake.base_url ...
        exchange = await fake.exchange(0)
        await exchange.until(lambda: len(exchange.received) == 3)

Free of any test framework.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

__all__ = [
    "Cut",
    "Exchange",
    "FakeSockets",
    "Fault",
    "Garbage",
    "GoneError",
    "Hesitate",
    "Line",
    "Message",
    "NoHandshake",
    "Plan",
    "Refusal",
    "Stall",
]

Message = dict[str, Any] | str | bytes  # text that holds no JSON object stays text


# --- Faults: `sent` and `heard` count the messages of one connection, each way --------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """The handshake is answered by an HTTP error."""

    status: int = 401
    body: str | dict[str, Any] = ""
    retry_after: float | None = None
    reason: str | None = None  # the phrase behind the status; None: the usual one


@dataclass(frozen=True, slots=True)
class NoHandshake:
    """The handshake is never answered."""


@dataclass(frozen=True, slots=True)
class Hesitate:
    """Before the message with this number, from 0, is sent, some time goes by, or something must happen."""

    sent: int = 0
    seconds: float = 0.0
    until: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """After so many messages nothing is sent any more; the connection stays open, and is read."""

    sent: int = 0


@dataclass(frozen=True, slots=True)
class Garbage:
    """Before the message with this number, from 0, another frame is sent."""

    sent: int = 0
    data: str | bytes = '{"type": '


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends once so many messages were sent, or heard. 1006: without a closing frame."""

    sent: int | None = None
    heard: int | None = None
    code: int = 1006
    reason: str = ""


Fault = Refusal | NoHandshake | Hesitate | Stall | Garbage | Cut


class Plan:
    """What one connection is for: what to say, in the terms of the fake, and what goes wrong."""

    def __init__(self, reply: Any = None, *faults: Fault) -> None:
        self.reply = reply
        self.faults = faults


class GoneError(ConnectionError):
    """The connection is over, by a fault or by the client."""


# --- One connection -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Exchange:
    """What went over one connection, and how it ended."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    reply: Any  # of its plan
    received: list[Message] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when each was received, on the loop's clock
    refused: Refusal | None = None
    close_code: int | None = None  # of the client's closing frame; 1006 where none came
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def audio(self) -> bytes:
        """All binary messages in one."""
        return b"".join(message for message in self.received if isinstance(message, bytes))

    @property
    def texts(self) -> list[Any]:
        """All messages but the binary ones."""
        return [message for message in self.received if not isinstance(message, bytes)]

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until what was received or sent fulfils this."""
        async with self._news:
            await self._news.wait_for(predicate)

    async def tell(self) -> None:
        """Wake up who waits."""
        async with self._news:
            self._news.notify_all()


class Line:
    """The server's end of one connection; its plan's faults happen here."""

    def __init__(
        self, exchange: Exchange, http: web.Request, socket: web.WebSocketResponse, faults: Iterable[Fault]
    ) -> None:
        self.exchange = exchange
        self.reply = exchange.reply
        self.query = exchange.query
        self._http = http
        self._socket = socket
        self._faults = tuple(faults)
        self._happened: set[int] = set()

    async def receive(self, within: float | None = None) -> Message | None:
        """The next message; None at the end. Raises `TimeoutError` after so many seconds of silence."""
        async with asyncio.timeout(within):
            frame = await self._socket.receive()
        if frame.type is WSMsgType.BINARY:
            message: Message = bytes(frame.data)
        elif frame.type is WSMsgType.TEXT:
            message = _decoded(frame.data)
        else:
            return None
        self.exchange.received.append(message)
        self.exchange.times.append(asyncio.get_running_loop().time())
        await self.exchange.tell()
        await self._cut()
        return message

    async def send(self, message: Message) -> None:
        """Send a message, unless a fault has other plans. Raises `GoneError`."""
        number = len(self.exchange.sent)
        for index, fault in enumerate(self._faults):
            match fault:
                case Hesitate(sent, seconds, event) if sent == number and self._first(index):
                    await asyncio.sleep(seconds)
                    if event is not None:
                        await event.wait()
                case Garbage(sent, data) if sent == number and self._first(index):
                    await self._put(data)
                case Stall(sent) if sent <= number:
                    return
        self.exchange.sent.append(message)
        await self._put(json.dumps(message) if isinstance(message, dict) else message)
        await self.exchange.tell()
        await self._cut()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection as a service would; the conversation is over. Raises `GoneError`."""
        await self._end(code, reason)

    async def linger(self) -> None:
        """After a stall: take what the client still sends, until it goes."""
        if any(isinstance(fault, Stall) for fault in self._faults):
            while await self.receive() is not None:
                pass

    async def _put(self, data: str | bytes) -> None:
        if self._socket.closed:
            raise GoneError
        await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
        await asyncio.sleep(0)

    async def _cut(self) -> None:
        for fault in self._faults:
            if isinstance(fault, Cut) and (
                fault.sent == len(self.exchange.sent) or fault.heard == len(self.exchange.received)
            ):
                await self._end(fault.code, fault.reason)

    async def _end(self, code: int, reason: str) -> None:
        if code == 1006:
            if self._http.transport is not None:
                self._http.transport.abort()
        else:
            await self._socket.close(code=code, message=reason.encode())
        raise GoneError

    def _first(self, index: int) -> bool:
        first = index not in self._happened
        self._happened.add(index)
        return first


def _decoded(text: str) -> Message:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


# --- The server -----------------------------------------------------------------------------------------


class FakeSockets:
    """The server; everything about it ends with the `async with` block."""

    def __init__(self, *, api_key: str = "fake-key-0123456789abcdef", default: Any = None) -> None:
        """`default` is the reply of the connections that no script was made for."""
        self.api_key = api_key
        self.base_url = ""  # http://127.0.0.1:port, without a path
        self.default = default
        self.exchanges: list[Exchange] = []  # all connections, refused ones too, in order
        self.open = 0  # WebSockets open right now
        self.most_open = 0
        self.unexpected: list[BaseException] = []  # faults of the fake itself
        self._plans: deque[Plan] = deque()
        self._news = asyncio.Condition()
        self._closing = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    def routes(self) -> list[web.RouteDef]:
        """The paths, most of them made by `socket`."""
        raise NotImplementedError

    def refusal(self, http: web.Request) -> Refusal | None:
        """Why this handshake is refused, such as for its key."""
        return None

    def protocols(self) -> tuple[str, ...]:
        """Subprotocols that the service speaks."""
        return ()

    def socket(self, path: str, converse: Callable[[Line], Awaitable[None]]) -> web.RouteDef:
        """A path for WebSockets. The connection is closed with 1000 when the conversation returns."""

        async def handle(http: web.Request) -> web.StreamResponse:
            return await self._handle(http, converse)

        return web.get(path, handle)

    def script(self, *plans: Plan) -> None:
        """Use these for the next connections, in order."""
        self._plans.extend(plans)

    async def exchange(self, number: int) -> Exchange:
        """The connection with this number, from 0, once it has come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.exchanges) > number)
        return self.exchanges[number]

    async def all_closed(self) -> None:
        """Until no WebSocket is open."""
        async with self._news:
            await self._news.wait_for(lambda: self.open == 0)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self.routes())
        # Cancelling the handler is how a client that hangs up during a handshake is noticed at once.
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
        for socket in list(self._sockets):
            await socket.close(code=1001)
        if self._runner is not None:
            await self._runner.cleanup()
        if kind is None and self.unexpected:
            raise self.unexpected[0]

    async def _handle(
        self, http: web.Request, converse: Callable[[Line], Awaitable[None]]
    ) -> web.StreamResponse:
        refusal = self.refusal(http)
        plan = self._plans.popleft() if refusal is None and self._plans else Plan(self.default)
        headers = {name.lower(): value for name, value in http.headers.items()}
        exchange = Exchange(http.path, dict(http.query), headers, plan.reply)
        self.exchanges.append(exchange)
        await self._tell()
        try:
            for fault in plan.faults if refusal is None else ():
                if isinstance(fault, NoHandshake):
                    await self._closing.wait()
                elif isinstance(fault, Refusal):
                    refusal = fault
            if refusal is not None:
                exchange.refused = refusal
                return _refuse(refusal)
            socket = web.WebSocketResponse(timeout=1.0, protocols=self.protocols(), max_msg_size=0)
            await socket.prepare(http)
            await self._converse(Line(exchange, http, socket, plan.faults), socket, converse)
            return socket
        finally:
            exchange.finished.set()

    async def _converse(
        self, line: Line, socket: web.WebSocketResponse, converse: Callable[[Line], Awaitable[None]]
    ) -> None:
        self._sockets.add(socket)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await converse(line)
            await line.linger()
        except* ConnectionError:
            pass  # by a fault, or by the client
        except* Exception as group:  # noqa: BLE001 - told when the fake ends
            self.unexpected.extend(group.exceptions)
        finally:
            line.exchange.close_code = socket.close_code
            await socket.close()
            self._sockets.discard(socket)
            self.open -= 1
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _refuse(refusal: Refusal) -> web.Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": f"{refusal.retry_after:g}"}
    if isinstance(refusal.body, dict):
        return web.json_response(refusal.body, status=refusal.status, headers=headers, reason=refusal.reason)
    return web.Response(text=refusal.body, status=refusal.status, headers=headers, reason=refusal.reason)
