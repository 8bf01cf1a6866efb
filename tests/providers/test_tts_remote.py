"""The driver of remote speech: order, marks, sockets that are used again, deadlines and every early end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from providers.contracts import SpeechChunk, TextMark
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
from providers.socket_pool import SocketPool
from providers.tts.remote import Done, Mark, Pcm, Sound, speak
from providers.websockets import Socket, SocketClosedError, connect
from tests.fakes.elevenlabs_api import ramp
from tests.fakes.websocket import Cut, FakeSockets, Hesitate, Line, Message, Plan, Stall
from tests.providers.speaking import marks_of, pcm_of, segments

RATE = 1000
PER_CHAR = 10  # samples


class PlainWire:
    """The simplest service there could be."""

    def __init__(self, *, reusable: bool = True) -> None:
        self._reusable = reusable

    async def begin(self, socket: Socket) -> None:
        self._socket = socket
        await socket.send_json({"begin": True})

    async def send(self, socket: Socket, text: str) -> None:
        await socket.send_json({"say": text})

    async def finish(self, socket: Socket) -> None:
        await socket.send_json({"end": True})

    async def cancel(self, socket: Socket) -> bool:
        await socket.send_json({"stop": True})
        return self._reusable

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Sound]:
        if isinstance(message, bytes):
            yield Pcm(message)
            return
        if "mark" in message:
            yield Mark(*message["mark"])
        if "fail" in message:
            raise self._socket.problem(message["fail"], "out of order")
        if "done" in message:
            yield Done()


class FakeSpeech(FakeSockets):
    """Says each text at once, in pieces of `reply` bytes; or answers each message by a script of its own."""

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/speak", self._speak)]

    async def _speak(self, line: Line) -> None:
        samples = chars = 0
        while isinstance(message := await line.receive(), dict):
            if isinstance(line.reply, dict):
                for key in message:
                    for answer in line.reply.get(key, ()):
                        await line.send(answer)
                continue
            if message.get("begin"):
                samples = chars = 0
            if text := message.get("say"):
                pcm = ramp(samples, PER_CHAR * len(text))
                samples += PER_CHAR * len(text)
                chars += len(text)
                size = line.reply
                for start in range(0, len(pcm), size):
                    await line.send(pcm[start : start + size])
                await line.send({"mark": [chars, samples / RATE]})
            if message.get("end"):
                await line.send({"done": True})


@pytest.fixture
async def fake() -> AsyncGenerator[FakeSpeech, None]:
    async with FakeSpeech(default=100) as server:
        yield server


@pytest.fixture
async def client(fake: FakeSpeech) -> AsyncGenerator[HttpClient, None]:
    made = HttpClient("lab", fake.base_url, timeouts=Timeouts(connect=5.0, gap=5.0))
    yield made
    await made.aclose()


@pytest.fixture
async def pool(client: HttpClient) -> AsyncGenerator[SocketPool, None]:
    made = SocketPool(lambda: connect(client, "/speak"))
    yield made
    await made.aclose()


def say(
    pool: SocketPool, *texts: str, wire: PlainWire | None = None, begins_within: float = 5.0
) -> AsyncGenerator[SpeechChunk, None]:
    wire = wire or PlainWire()
    return speak(pool, wire, segments(*texts), rate=RATE, provider="lab", begins_within=begins_within)


async def collect(stream: AsyncGenerator[SpeechChunk, None]) -> list[SpeechChunk]:
    return [chunk async for chunk in stream]


async def collect_until_failure(
    stream: AsyncGenerator[SpeechChunk, None],
) -> tuple[list[SpeechChunk], ProviderError | None]:
    chunks: list[SpeechChunk] = []
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - what came before the failure counts
    except ProviderError as error:
        return chunks, error
    return chunks, None


def heard(messages: Sequence[Message]) -> list[str]:
    return [message["say"] for message in messages if isinstance(message, dict) and "say" in message]


# --- Sound and marks ---------------------------------------------------------------------------------


async def test_all_text_is_spoken_and_every_mark_kept(fake: FakeSpeech, pool: SocketPool) -> None:
    chunks = await collect(say(pool, "One, ", "two."))

    assert pcm_of(chunks) == ramp(0, PER_CHAR * 9)
    assert marks_of(chunks) == [TextMark(5, 50), TextMark(9, 90)]
    assert fake.exchanges[0].received == [{"begin": True}, {"say": "One, "}, {"say": "two."}, {"end": True}]


async def test_sound_comes_while_text_is_awaited(fake: FakeSpeech, pool: SocketPool) -> None:
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    stream = speak(pool, PlainWire(), text(), rate=RATE, provider="lab")
    async with aclosing(stream):
        first = await anext(stream)
        assert first.pcm == ramp(0, 50)
        assert heard(fake.exchanges[0].received) == ["First. "]
        more.set()
        rest = await collect(stream)
    assert first.pcm + pcm_of(rest) == ramp(0, PER_CHAR * 14)


@pytest.mark.parametrize("size", [1, 3, 7, 33])
async def test_samples_stay_whole(fake: FakeSpeech, pool: SocketPool, size: int) -> None:
    fake.default = size

    chunks = await collect(say(pool, "Whole samples."))

    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert pcm_of(chunks) == ramp(0, PER_CHAR * 14)


async def test_marks_wait_for_their_audio_and_never_step_back(fake: FakeSpeech, pool: SocketPool) -> None:
    pcm = ramp(0, 50)
    said = [{"mark": [2, 0.03]}, pcm, {"mark": [1, 0.04]}, {"mark": [99, 0.05]}, {"mark": [3, 7.0]}]
    fake.script(Plan({"say": said, "end": [pcm, {"done": True}]}))

    chunks = await collect(say(pool, "Hello"))

    samples = 0
    for chunk in chunks:
        samples += len(chunk.pcm) // 2
        assert all(mark.samples <= samples for mark in chunk.marks)
    assert marks_of(chunks) == [TextMark(2, 30), TextMark(5, 50)]


async def test_a_service_without_marks_gets_one_at_the_end(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan({"say": [ramp(0, 40)], "end": [{"done": True}]}))

    assert marks_of(await collect(say(pool, "Hello ", "you", "\n\n"))) == [TextMark(11, 80)]


async def test_blank_segments_are_not_sent_alone(fake: FakeSpeech, pool: SocketPool) -> None:
    chunks = await collect(say(pool, " \n", "Hello", "\n", "you", " "))

    assert heard(fake.exchanges[0].received) == [" \nHello", "\nyou"]
    assert marks_of(chunks)[-1].chars == 12


@pytest.mark.parametrize("texts", [(), ("",), (" ", "\n")])
async def test_nothing_to_say_costs_no_message(
    fake: FakeSpeech, pool: SocketPool, texts: tuple[str, ...]
) -> None:
    chunks = await collect(say(pool, *texts))
    assert pcm_of(chunks) == b""
    assert marks_of(chunks) == ([TextMark(2, 0)] if len(texts) == 2 else [])

    await collect(say(pool, "Something."))
    assert len(fake.exchanges) == 1
    assert heard(fake.exchanges[0].received) == ["Something."]


# --- Sockets -----------------------------------------------------------------------------------------


async def test_a_socket_serves_one_reply_after_the_other(fake: FakeSpeech, pool: SocketPool) -> None:
    for text in ("One.", "Two.", "Three."):
        assert pcm_of(await collect(say(pool, text))) == ramp(0, PER_CHAR * len(text))

    assert len(fake.exchanges) == 1


async def test_two_replies_at_once_have_two_sockets(fake: FakeSpeech, pool: SocketPool) -> None:
    texts = ("One of them.", "Two.")
    both = await asyncio.gather(*(collect(say(pool, text)) for text in texts))

    assert [pcm_of(chunks) for chunks in both] == [ramp(0, PER_CHAR * len(text)) for text in texts]
    assert len(fake.exchanges) == 2


@pytest.mark.parametrize("heard_before_death", [4, 5])
async def test_a_socket_that_died_in_the_pool_is_replaced(
    fake: FakeSpeech, pool: SocketPool, heard_before_death: int
) -> None:
    fake.script(Plan(100, Cut(heard=heard_before_death)))
    await collect(say(pool, "One."))

    chunks = await collect(say(pool, "Again, ", "in full."))

    assert pcm_of(chunks) == ramp(0, PER_CHAR * 15)
    assert marks_of(chunks) == [TextMark(7, 70), TextMark(15, 150)]
    assert heard(fake.exchanges[1].received) == ["Again, ", "in full."]


async def test_text_is_read_once_over_all_attempts(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100, Cut(heard=5)))
    await collect(say(pool, "One."))
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    stream = speak(pool, PlainWire(), text(), rate=RATE, provider="lab")
    first = await anext(stream)
    assert len(fake.exchanges) == 2
    more.set()
    assert first.pcm + pcm_of(await collect(stream)) == ramp(0, PER_CHAR * 14)


async def test_a_wire_may_ask_for_another_socket(fake: FakeSpeech, pool: SocketPool) -> None:
    """Some services end a socket after so many messages, which only their wire can count."""

    class Choosy(PlainWire):
        refusals = 0

        async def begin(self, socket: Socket) -> None:
            if not self.refusals:
                self.refusals += 1
                raise ConnectionFailedError("used up", provider="lab")
            await super().begin(socket)

    await collect(say(pool, "One."))
    assert pcm_of(await collect(say(pool, "Two.", wire=Choosy()))) == ramp(0, PER_CHAR * 4)
    assert len(fake.exchanges) == 2
    await fake.exchanges[0].finished.wait()
    with pytest.raises(ConnectionFailedError, match="used up"):
        await collect(say(SocketPool(pool._open), "Three.", wire=Choosy()))


async def test_many_broken_sockets_are_not_all_tried(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(*[Plan(100, Cut(heard=4)) for _ in range(5)])
    await asyncio.gather(*(collect(say(pool, "One.")) for _ in range(5)))
    assert fake.most_open == 5

    with pytest.raises(SocketClosedError):
        await collect(say(pool, "Two."))
    assert pcm_of(await collect(say(pool, "Three."))) == ramp(0, PER_CHAR * 6)


async def test_a_long_text_is_not_kept_for_another_attempt(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100_000, Cut(heard=4 + 32)))
    await collect(say(pool, "One."))
    said = ["word " * 250 for _ in range(40)]

    class Silent(PlainWire):
        def read(self, message: dict[str, Any] | bytes) -> Iterable[Sound]:
            return ()

    with pytest.raises(SocketClosedError):
        await collect(say(pool, *said, wire=Silent()))
    assert len(fake.exchanges) == 1


async def test_a_fresh_socket_that_dies_is_a_failure(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100, Cut(heard=2)))

    with pytest.raises(SocketClosedError, match="lab closed the connection"):
        await collect(say(pool, "One."))
    assert len(fake.exchanges) == 1


async def test_nothing_is_said_twice_once_a_sound_was_heard(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100, Cut(sent=4)))
    await collect(say(pool, "One."))

    chunks, error = await collect_until_failure(say(pool, "This is longer than what comes."))
    assert isinstance(error, ConnectionFailedError)
    assert pcm_of(chunks) == ramp(0, 50)
    assert len(fake.exchanges) == 1


async def test_who_cannot_be_reached_is_asked_once() -> None:
    asked = 0

    async def open() -> Socket:
        nonlocal asked
        asked += 1
        raise ConnectionFailedError("lab cannot be reached", provider="lab")

    with pytest.raises(ConnectionFailedError):
        await collect(say(SocketPool(open), "One."))
    assert asked == 1


async def test_a_socket_that_closes_before_any_text_is_replaced(fake: FakeSpeech, pool: SocketPool) -> None:
    """The model thinks for so long that the service gives up waiting."""

    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        await more.wait()
        yield "At last."

    collecting = asyncio.create_task(
        collect(speak(pool, PlainWire(), text(), rate=RATE, provider="lab", begins_within=5.0))
    )
    exchange = await fake.exchange(0)
    for socket in list(fake._sockets):
        await socket.close(code=1001)
    await exchange.finished.wait()
    await fake.exchange(1)
    more.set()
    assert pcm_of(await collecting) == ramp(0, PER_CHAR * 8)


# --- Deadlines ---------------------------------------------------------------------------------------


async def test_a_late_first_sound_is_a_failure(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100, Stall(sent=0)))

    with pytest.raises(TimedOutError, match="did not begin to speak in time"):
        await collect(say(pool, "One.", begins_within=0.3))
    await fake.all_closed()


async def test_a_stall_is_a_failure_once_the_text_is_complete(
    fake: FakeSpeech, client: HttpClient, pool: SocketPool
) -> None:
    client.timeouts = Timeouts(connect=5.0, gap=0.3)
    fake.script(Plan(100, Stall(sent=2)))

    chunks, error = await collect_until_failure(say(pool, "Longer than two pieces."))
    assert isinstance(error, TimedOutError)
    assert str(error) == "lab stopped speaking"
    assert pcm_of(chunks) == ramp(0, 100)
    await fake.all_closed()


async def test_a_slow_listener_is_not_the_fault_of_the_service(client: HttpClient, pool: SocketPool) -> None:
    client.timeouts = Timeouts(connect=2.0, gap=0.05)
    chunks = []
    async for chunk in say(pool, "One.", "Two."):
        await asyncio.sleep(0.1)  # what takes so long is the listener's work
        chunks.append(chunk)
    assert pcm_of(chunks) == ramp(0, PER_CHAR * 8)


async def test_a_slow_writer_is_not_the_fault_of_the_service(client: HttpClient, pool: SocketPool) -> None:
    client.timeouts = Timeouts(connect=2.0, gap=0.05)

    async def text() -> AsyncIterator[str]:
        for part in ("One.", "Two."):
            await asyncio.sleep(0.15)  # a model that thinks
            yield part

    stream = speak(pool, PlainWire(), text(), rate=RATE, provider="lab", begins_within=0.1)
    assert pcm_of(await collect(stream)) == ramp(0, PER_CHAR * 8)


# --- Early ends --------------------------------------------------------------------------------------


async def test_closing_early_cancels_and_keeps_the_socket(fake: FakeSpeech, pool: SocketPool) -> None:
    forever = asyncio.Event()
    fake.script(Plan(100, Hesitate(sent=2, until=forever)))
    before = asyncio.all_tasks()

    stream = say(pool, "This would take a while.")
    await anext(stream)
    await stream.aclose()

    # What is left is the task that watches the idle socket.
    left = asyncio.all_tasks() - before
    assert [task.get_name() for task in left if "provider" in task.get_name()] == ["idle provider socket"]
    assert not [task for task in left if "remote tts" in task.get_name()]
    forever.set()
    await fake.exchanges[0].until(lambda: {"stop": True} in fake.exchanges[0].received)


async def test_cancelling_the_listener_cancels_the_reply(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan(100, Stall(sent=2)))
    begun = asyncio.Event()

    async def listen() -> None:
        async with aclosing(say(pool, "This would take a while.")) as stream:
            async for _ in stream:
                begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    exchange = fake.exchanges[0]
    await exchange.until(lambda: {"stop": True} in exchange.received)


async def test_a_socket_that_cannot_go_on_is_closed(fake: FakeSpeech, pool: SocketPool) -> None:
    stream = say(pool, "This would take a while.", wire=PlainWire(reusable=False))
    await anext(stream)
    await stream.aclose()

    await fake.all_closed()


async def test_a_failure_of_the_text_ends_the_speech(fake: FakeSpeech, pool: SocketPool) -> None:
    async def text() -> AsyncIterator[str]:
        yield "One."
        raise OverloadedError("the model is tired", provider="model")

    with pytest.raises(OverloadedError, match="the model is tired"):
        await collect(speak(pool, PlainWire(), text(), rate=RATE, provider="lab"))
    await fake.all_closed()


async def test_an_end_before_the_text_is_complete_is_a_failure(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan({"say": [ramp(0, 10), {"done": True}]}))

    async def text() -> AsyncIterator[str]:
        yield "One."
        await asyncio.Event().wait()

    with pytest.raises(BadAnswerError, match="ended the speech before its text"):
        await collect(speak(pool, PlainWire(), text(), rate=RATE, provider="lab"))


async def test_words_without_sound_are_a_failure(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan({"end": [{"done": True}]}), Plan({"end": [{"done": True}]}))

    with pytest.raises(BadAnswerError, match="sent no audio"):
        await collect(say(pool, "One."))
    assert marks_of(await collect(say(pool, "..."))) == [TextMark(3, 0)]


# --- Failures that the service reports ---------------------------------------------------------------


async def test_a_reported_failure_is_raised(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan({"say": [ramp(0, 10), {"fail": 429}]}))

    with pytest.raises(RateLimitError, match="out of order"):
        await collect(say(pool, "One."))
    await fake.all_closed()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1008, "A valid API key is required", AuthenticationError),
        (1008, "You exceeded your quota", RateLimitError),
        (1008, "Voice is not fine", InvalidRequestError),
        (1003, "", InvalidRequestError),
        (1011, "something broke", SocketClosedError),
        (1006, "", SocketClosedError),
    ],
)
async def test_a_closing_frame_says_what_is_wrong(
    fake: FakeSpeech, pool: SocketPool, code: int, reason: str, kind: type[ProviderError]
) -> None:
    fake.script(Plan(100, Cut(heard=2, code=code, reason=reason)))

    with pytest.raises(kind, match=reason or "clos"):
        await collect(say(pool, "One."))


async def test_last_words_are_read_although_no_text_can_be_sent(fake: FakeSpeech, pool: SocketPool) -> None:
    fake.script(Plan({"begin": [{"fail": 400}]}, Cut(sent=1, code=1011)))
    exchange = asyncio.create_task(fake.exchange(0))

    async def text() -> AsyncIterator[str]:
        yield "One."
        await (await exchange).finished.wait()
        for _ in range(20):
            yield "More."

    with pytest.raises(InvalidRequestError, match="out of order"):
        await collect(speak(pool, PlainWire(), text(), rate=RATE, provider="lab"))
