"""The driver of remote transcription: pieces, joined texts, broken connections, deadlines."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from providers.contracts import EndOfTurn, SttEvent, TranscriptDelta, TranscriptFinal, TranscriptGuess
from providers.errors import ConnectionFailedError, OverloadedError, TimedOutError
from providers.http import HttpClient, Timeouts
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, transcribe
from providers.websockets import Socket, SocketClosedError, connect

RATE = 8_000
FRAME = 2 * RATE // 10  # 100 ms


class Service:
    """Spells out what it hears, a letter for 100 ms. `deaths`: after how many pieces each socket dies."""

    def __init__(self, *deaths: int) -> None:
        self.deaths = list(deaths)
        self.heard: list[list[bytes]] = []  # pieces of each connection
        self.url = ""
        self.is_mute = False  # it settles nothing, and never finishes
        self.settles = True

    async def handle(self, http: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(http)
        pieces: list[bytes] = []
        self.heard.append(pieces)
        dies = self.deaths.pop(0) if self.deaths else None
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                if not self.is_mute:
                    rest = "" if self.settles else "".join(chr(piece[0]) for piece in pieces)
                    await socket.send_json({"text": rest, "until": len(pieces) / 10})
                    await socket.send_json({"done": True})
                continue
            pieces.append(message.data)
            if self.settles:
                text, until = chr(message.data[0]), len(pieces) / 10
                await socket.send_json({"guess": text})
                await socket.send_json({"text": text, "until": until})
            if len(pieces) == dies:
                await socket.close(code=1011)
        return socket


class Wire:
    frame_bytes = (FRAME, FRAME)

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    async def open(self) -> Socket:
        return await connect(self.http, "/listen")

    async def send(self, socket: Socket, pcm: bytes) -> None:
        await socket.send_bytes(pcm)

    async def finish(self, socket: Socket) -> None:
        await socket.send_json({})

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Reading]:
        assert isinstance(message, dict)
        if "done" in message:
            yield Details(languages=("en",))
            yield Done()
        elif "guess" in message:
            yield Guessed(message["guess"])
            yield EndOfTurn(0.5)
        else:
            yield Settled(message["text"], message["until"])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.add_routes([web.get("/listen", service.handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield service
    await runner.cleanup()


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Wire]:
    http = HttpClient("lab", service.url, timeouts=Timeouts(connect=5))
    yield Wire(http)
    await http.aclose()


def spoken(letters: str) -> bytes:
    return b"".join(letter.encode() * FRAME for letter in letters)


async def pieces(pcm: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for offset in range(0, len(pcm), size):
        yield pcm[offset : offset + size]
        await asyncio.sleep(0)


async def all_of(wire: Wire, pcm: bytes, done_within: float = 10) -> list[SttEvent]:
    async with asyncio.timeout(10):
        return [event async for event in transcribe(wire, pieces(pcm), rate=RATE, done_within=done_within)]


def deltas(events: list[SttEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TranscriptDelta))


async def test_text_grows_and_the_last_event_holds_all_of_it(service: Service, wire: Wire) -> None:
    events = await all_of(wire, spoken("abc"))

    assert events == [
        TranscriptGuess("a"),
        EndOfTurn(0.5),
        TranscriptDelta("a"),
        TranscriptGuess("ab"),
        EndOfTurn(0.5),
        TranscriptDelta("b"),
        TranscriptGuess("abc"),
        EndOfTurn(0.5),
        TranscriptDelta("c"),
        TranscriptFinal("abc", languages=("en",)),
    ]


async def test_the_last_piece_is_filled_up_with_silence(service: Service, wire: Wire) -> None:
    await all_of(wire, spoken("ab")[: FRAME + 10])

    assert service.heard == [[b"a" * FRAME, b"b" * 10 + bytes(FRAME - 10)]]


async def test_nobody_is_asked_about_no_audio(service: Service, wire: Wire) -> None:
    assert await all_of(wire, b"") == [TranscriptFinal("")]
    assert service.heard == []


async def test_a_connection_that_dies_is_replaced_without_loss_or_doubling(
    service: Service, wire: Wire
) -> None:
    service.deaths = [3, 2]

    events = await all_of(wire, spoken("abcdefgh"))

    assert deltas(events) == "abcdefgh"
    assert events[-1] == TranscriptFinal("abcdefgh", languages=("en",))
    assert [len(heard) for heard in service.heard][:2] == [3, 2]
    assert service.heard[1][0] == b"d" * FRAME


async def test_audio_that_was_never_settled_is_sent_again(service: Service, wire: Wire) -> None:
    service.settles, service.deaths = False, [4]

    events = await all_of(wire, spoken("abcdef"))

    assert events[-1] == TranscriptFinal("abcdef", languages=("en",))
    assert len(service.heard[1]) == 6


async def test_a_service_that_keeps_dying_is_given_up(service: Service, wire: Wire) -> None:
    service.settles, service.deaths = False, [1] * 9

    with pytest.raises(SocketClosedError) as caught:
        await all_of(wire, spoken("abc"))

    assert caught.value.close_code == 1011
    assert len(service.heard) == 3


async def test_a_service_that_was_never_reached_is_not_tried_again(service: Service) -> None:
    http = HttpClient("lab", "http://127.0.0.1:1")

    with pytest.raises(ConnectionFailedError):
        await all_of(Wire(http), spoken("a"))
    await http.aclose()


async def test_a_service_that_does_not_finish_is_late(service: Service, wire: Wire) -> None:
    service.is_mute, service.settles = True, False

    with pytest.raises(TimedOutError, match="did not finish in time"):
        await all_of(wire, spoken("a"), done_within=0.05)


async def test_text_that_is_settled_needs_no_end(service: Service, wire: Wire) -> None:
    service.is_mute = True

    events = await all_of(wire, spoken("ab"), done_within=0.05)

    assert events[-1] == TranscriptFinal("ab")


async def test_a_failure_that_the_service_reports_is_raised(service: Service, wire: Wire) -> None:
    def read(message: object) -> Iterable[Reading]:
        raise OverloadedError("lab is full")

    wire.read = read  # type: ignore[method-assign]

    with pytest.raises(OverloadedError, match="lab is full"):
        await all_of(wire, spoken("abc"))


async def test_closing_early_leaves_no_task_and_no_socket(service: Service, wire: Wire) -> None:
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield spoken("a")
        await endless.wait()

    before = asyncio.all_tasks()
    events = transcribe(wire, audio(), rate=RATE)
    assert await anext(events) == TranscriptGuess("a")
    await events.aclose()

    assert {
        task for task in asyncio.all_tasks() - before if task.get_name().startswith("remote stt")
    } == set()


async def test_the_text_does_not_wait_for_the_socket_to_close(
    service: Service, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_close = asyncio.Event()
    closing = Socket.aclose

    async def slowly(socket: Socket) -> None:
        await may_close.wait()
        await closing(socket)

    monkeypatch.setattr(Socket, "aclose", slowly)
    events = transcribe(wire, pieces(spoken("a")), rate=RATE)

    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, TranscriptFinal):
                break

    may_close.set()
    await events.aclose()
