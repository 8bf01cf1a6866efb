"""Drives a remote transcription service over WebSocket: audio out, text in, no loss when a socket dies."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from providers.contracts import (
    EndOfTurn,
    SttEvent,
    SttUsage,
    TokenLogprob,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
)
from providers.errors import ConnectionFailedError, OverloadedError, TimedOutError
from providers.stt.tape import Tape
from providers.websockets import Socket

__all__ = ["Details", "Done", "Guessed", "Reading", "Settled", "SttWire", "transcribe"]

MAX_RECONNECTS = 2  # within one utterance
SECOND_PAUSE_S = 0.25  # a service that dies twice in a row is given a moment
MAX_WAITING = 256  # readings that nobody has taken yet; then the service is read no further


@dataclass(frozen=True, slots=True)
class Settled:
    """Text that will not change, to be appended as it is, with its own spaces, to what was settled before."""

    text: str
    until: float | None = None  # seconds of this connection's audio that are settled; None: all that was sent
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Guessed:
    """Everything behind the settled text as it looks now: whole, and with its own spaces."""

    text: str


@dataclass(frozen=True, slots=True)
class Details:
    """What belongs to the final transcript besides its text; None says nothing new."""

    languages: tuple[str, ...] | None = None
    usage: SttUsage | None = None
    voice_profile: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """After `finish`: the service has said everything."""


Reading = Settled | Guessed | EndOfTurn | Details | Done


class SttWire(Protocol):
    """One utterance in the words of one service. Made anew for each; `open` begins a new connection."""

    frame_bytes: tuple[int, int]  # shortest and longest piece of PCM that `send` is given

    async def open(self) -> Socket:
        """Connect and configure, so that audio may follow."""

    async def send(self, socket: Socket, pcm: bytes) -> None:
        """Send a piece of audio, as it is said in `frame_bytes`."""

    async def finish(self, socket: Socket) -> None:
        """Have the service end its work at once: no more audio will come."""

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Reading]:
        """What a message says; raises `ProviderError` for one that reports a failure, or makes no sense."""


async def transcribe(
    wire: SttWire, audio: AsyncIterator[bytes], *, rate: int, done_within: float = 10.0
) -> AsyncGenerator[SttEvent, None]:
    """One utterance, as `Stt.transcribe`. The text must be there `done_within` so many seconds of its end.

    A connection that breaks is replaced, and what was not settled is sent again. Where no audio comes, nobody
    is asked.
    """
    tape = Tape(rate, wire.frame_bytes)
    readings: asyncio.Queue[Reading | None] = asyncio.Queue(MAX_WAITING)
    work = asyncio.create_task(_work(wire, tape, audio, readings, done_within), name="remote stt")
    story = _Story()
    try:
        while (reading := await readings.get()) is not None and not isinstance(reading, Done):
            for event in story.tell(reading):
                yield event
        if reading is None:
            await work
        for event in story.end():  # before the socket is closed, which takes another round trip
            yield event
    finally:
        work.cancel()
        await asyncio.wait([work])


class _Story:
    """The transcript as far as it is known."""

    def __init__(self) -> None:
        self._settled = ""
        self._guess = ""
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._details = Details()

    def tell(self, reading: Reading) -> Iterator[SttEvent]:
        match reading:
            case Settled(text, _, logprobs):
                self._guess = ""
                self._logprobs += logprobs
                text = text if self._settled else text.lstrip()
                if text:
                    self._settled += text
                    yield TranscriptDelta(text, logprobs)
            case Guessed(text):
                is_news, self._guess = text != self._guess, text
                whole = (self._settled + text).strip()
                if whole and is_news:
                    yield TranscriptGuess(whole)
            case EndOfTurn():
                yield reading
            case Details(languages, usage, voice_profile):
                known = self._details
                self._details = Details(
                    languages or known.languages, usage or known.usage, voice_profile or known.voice_profile
                )

    def end(self) -> Iterator[SttEvent]:
        """What was guessed last is as good as it gets."""
        yield from self.tell(Settled(self._guess))
        known = self._details
        yield TranscriptFinal(
            self._settled.strip(), self._logprobs, known.languages, known.usage, known.voice_profile
        )


async def _work(
    wire: SttWire,
    tape: Tape,
    audio: AsyncIterator[bytes],
    readings: asyncio.Queue[Reading | None],
    done_within: float,
) -> None:
    try:
        recorder = asyncio.create_task(tape.record(audio), name="remote stt audio")
        try:
            if await tape.has_begun():
                await _converse(wire, tape, readings, done_within)
            await recorder
        finally:
            recorder.cancel()
            await asyncio.wait([recorder])
    finally:
        # Where nobody takes readings any more there may be no room, and no need.
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            await readings.put(None)


async def _converse(
    wire: SttWire,
    tape: Tape,
    readings: asyncio.Queue[Reading | None],
    done_within: float,
) -> None:
    """Connections, one after the other, until one of them came to its end."""
    for attempt in range(MAX_RECONNECTS + 1):
        socket = None
        try:
            socket = await wire.open()
            tape.rewind()
            await _exchange(wire, socket, tape, readings, done_within)
            return
        except (ConnectionFailedError, OverloadedError):
            if tape.is_settled:
                return
            # A service that was never reached is down: whoever asked may know another one.
            if attempt == MAX_RECONNECTS or (socket is None and attempt == 0):
                raise
            await readings.put(Guessed(""))
            await asyncio.sleep(SECOND_PAUSE_S * attempt)
        finally:
            if socket is not None:
                await socket.aclose()


async def _exchange(
    wire: SttWire, socket: Socket, tape: Tape, readings: asyncio.Queue[Reading | None], done_within: float
) -> None:
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(None)
    finished = False

    async def send() -> None:
        nonlocal finished
        async for piece in tape.play():
            await wire.send(socket, piece)
        finished = True
        deadline.reschedule(loop.time() + done_within)
        await wire.finish(socket)

    async def read() -> None:
        try:
            async with deadline:
                while True:
                    for reading in wire.read(await socket.receive(within=float("inf"))):
                        if isinstance(reading, Settled):
                            tape.settle(reading.until)
                        if finished or not isinstance(reading, Done):
                            await readings.put(reading)
                        if finished and isinstance(reading, Done):
                            return
        except TimeoutError:
            if tape.is_settled:  # what is missing are only words about the text
                return
            raise TimedOutError(
                f"{socket.provider} did not finish in time", provider=socket.provider
            ) from None

    await _both(read(), send())


async def _both(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all to their ends; the first failure, in this order where there are several, ends the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
