"""Drives a remote speech service over WebSocket: text out, sound in, one leased socket for each reply."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from providers.contracts import SpeechChunk, TextMark
from providers.errors import ConnectionFailedError, ProviderError, TimedOutError
from providers.socket_pool import Lease, SocketPool
from providers.websockets import Socket, SocketClosedError

__all__ = ["Done", "Mark", "Pcm", "Sound", "TtsWire", "speak"]

MAX_ATTEMPTS = 3  # sockets for one reply, where each dies before it was of any use
MAX_WAITING = 32  # segments that were not sent yet; then no more text is asked for
MAX_EARLY = 16  # messages before any text
MAX_MARKS = 4096  # that wait for their audio
MAX_KEPT_CHARS = 32_768  # of text that is sent again; a reply that is longer gets one attempt
CANCEL_S = 1.0  # for telling the service that nobody listens any more
LAST_WORDS_S = 1.0  # for reading why a socket is closed that takes no more text

_WORD = re.compile(r"\w")
_POLICY_CLOSES = frozenset({1003, 1007, 1008})  # the peer minds what it was sent; another socket is no help
_REASONS = (
    (401, re.compile(r"(?i)api.?key|unauthori[sz]ed|authenticat|forbidden|permission")),
    (429, re.compile(r"(?i)quota|rate.?limit|too many|concurren|credits")),
)


@dataclass(frozen=True, slots=True)
class Pcm:
    """Speech as it came; may end in the middle of a sample."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Once so many seconds of this reply were played, the first `chars` characters of its text were heard."""

    chars: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """After `finish`: the service has said everything."""


Sound = Pcm | Mark | Done


class TtsWire(Protocol):
    """One reply in the words of one service. Made anew for each reply."""

    async def begin(self, socket: Socket) -> None:
        """Start from nothing: comes before the first `send`, and again when another socket is tried.

        A `ConnectionFailedError` from a socket that was used before has another one tried.
        """

    async def send(self, socket: Socket, text: str) -> None:
        """Send one segment so that it is spoken without waiting for more. It is never blank."""

    async def finish(self, socket: Socket) -> None:
        """Tell the service that no more text will come."""

    async def cancel(self, socket: Socket) -> bool:
        """Have the service stop at once; may come after `finish`. True where the socket can be used again."""

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Sound]:
        """What a message says; nothing for one of another reply. Raises `ProviderError` for a failure.

        Only called after `begin`.
        """


async def speak(
    pool: SocketPool,
    wire: TtsWire,
    text: AsyncIterator[str],
    *,
    rate: int,
    provider: str,
    begins_within: float = 30.0,
) -> AsyncGenerator[SpeechChunk, None]:
    """One reply, as `Tts.speak`. `rate` is that of the PCM in Hertz.

    The first sound must come `begins_within` so many seconds of the first words; later the socket's own gap
    counts, while sound is owed. A socket that waited in the pool may be dead: then the reply is said on
    another one.
    """
    script = _Script(text)
    reply = _Reply(wire, script, rate, provider, begins_within)
    try:
        while True:
            try:
                async with aclosing(reply.attempt(pool)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except ConnectionFailedError:
                if not reply.may_repeat:
                    raise
    finally:
        await script.aclose()


class _Script:
    """The text of one reply. It is read by a task of its own, which no broken socket ends."""

    def __init__(self, text: AsyncIterator[str]) -> None:
        self.chars = 0  # of all segments that `segments` has given
        self._waiting: asyncio.Queue[str | Exception | None] = asyncio.Queue(MAX_WAITING)
        self._given: list[str] | None = []  # None: it cannot be given again
        self._reader = asyncio.create_task(self._read(text), name="remote tts text")

    @property
    def is_kept(self) -> bool:
        """Whether `segments` could begin again."""
        return self._given is not None

    def forget(self) -> None:
        """The text will not be needed again."""
        self._given = None

    async def segments(self) -> AsyncGenerator[str, None]:
        """All segments from the first one on. Raises what the text raises."""
        for given in self._given or ():
            yield given
        while (segment := await self._waiting.get()) is not None:
            if isinstance(segment, Exception):
                raise segment
            self.chars += len(segment)
            if self.chars > MAX_KEPT_CHARS:
                self.forget()
            if self._given is not None:
                self._given.append(segment)
            yield segment
        await self._waiting.put(None)  # for another attempt

    async def aclose(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def _read(self, text: AsyncIterator[str]) -> None:
        try:
            async for segment in text:
                await self._waiting.put(segment)
            await self._waiting.put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the speech is read
            await self._waiting.put(error)


class _Reply:
    """What has become of one reply, over all the sockets that it took."""

    def __init__(
        self, wire: TtsWire, script: _Script, rate: int, provider: str, begins_within: float
    ) -> None:
        self._wire, self._script = wire, script
        self._rate, self._provider, self._begins_within = rate, provider, begins_within
        self._attempts = 0
        self._leased = False
        self._reused = False
        self._begun = False  # whether the service was told anything
        self._worded = False  # whether it was told anything that can be heard
        self._finished = False  # whether it was told everything
        self._failure: Exception | None = None  # of the task that sends
        self._due: float | None = None  # when a sound is missed, in the loop's time
        self._deadline: asyncio.Timeout | None = None  # of the read that is under way
        self._rest = b""  # half a sample
        self._samples = 0
        self._early: list[dict[str, Any] | bytes] = []  # messages that came before any text
        self._marks: list[TextMark] = []  # of audio that has not come yet
        self._last = TextMark(0, 0)

    @property
    def may_repeat(self) -> bool:
        """Whether the failure of the latest socket says nothing of the service, and nobody heard a sound."""
        innocent = self._leased and (self._reused or not self._begun)
        return innocent and self._samples == 0 and self._script.is_kept and self._attempts < MAX_ATTEMPTS

    async def attempt(self, pool: SocketPool) -> AsyncGenerator[SpeechChunk, None]:
        """Say everything over one socket."""
        self._attempts += 1
        self._leased = self._reused = self._begun = self._worded = self._finished = False
        self._failure, self._due, self._rest = None, None, b""
        self._marks.clear()
        self._early.clear()
        stopped: BaseException | None = None
        async with pool.lease() as lease:
            self._leased, self._reused = True, lease.reused
            sender = asyncio.create_task(self._send(lease.socket), name="remote tts")
            try:
                while (message := await self._receive(lease.socket)) is not None:
                    self._check_sender()
                    if not self._begun:
                        # Of an earlier reply, unless the socket is new.
                        if not self._reused and len(self._early) < MAX_EARLY:
                            self._early.append(message)
                        continue
                    done = False
                    for sound in self._wire.read(message):
                        done = done or isinstance(sound, Done)
                        chunk = self._take(sound)
                        if chunk is not None:
                            yield chunk
                        self._heard(lease.socket)
                    if done and not self._finished:
                        raise lease.socket.bad("ended the speech before its text")
                    if done:
                        break
                if self._worded and self._samples == 0:
                    raise lease.socket.bad("sent no audio")
                lease.keep()
            except SocketClosedError as error:
                # Services also close like that what was idle for too long.
                idle = self._reused and self.may_repeat
                raise error if idle else _meaning(lease.socket, error) from None
            except (GeneratorExit, asyncio.CancelledError) as error:
                stopped = error  # raised again once the socket is back in the pool
            finally:
                sender.cancel()
                await asyncio.wait([sender])
            if stopped is not None and await self._cancel(lease):
                lease.keep()
        if stopped is not None:
            raise stopped
        if self._script.chars > self._last.chars:
            yield SpeechChunk(b"", (TextMark(self._script.chars, self._samples),))

    # --- The task that sends ---------------------------------------------------------------------------

    async def _send(self, socket: Socket) -> None:
        try:
            await self._send_all(socket)
        except SocketClosedError as error:
            # What the peer said before it closed tells more, and can still be read.
            self._failure = error
            self._expect(LAST_WORDS_S)
        except Exception as error:  # noqa: BLE001 - raised again where the speech is read
            self._failure = error
            self._expect(0.0)

    async def _send_all(self, socket: Socket) -> None:
        blank = ""
        async with aclosing(self._script.segments()) as segments:
            async for segment in segments:
                if not segment.strip():
                    blank += segment
                    continue
                if not self._begun:
                    self._begun = True
                    await self._begin(socket)
                await self._wire.send(socket, blank + segment)
                blank = ""
                if _WORD.search(segment):
                    self._worded = True
                    self._owe(socket)
        self._finished = True
        if self._begun:
            self._owe(socket)
            await self._wire.finish(socket)
        else:
            self._expect(0.0)  # there is nothing to say

    async def _begin(self, socket: Socket) -> None:
        try:
            await self._wire.begin(socket)
        finally:
            # A refusal, perhaps: a wire can read only what comes after its beginning.
            for message in self._early:
                for _ in self._wire.read(message):
                    pass

    def _check_sender(self) -> None:
        if self._failure is not None and not isinstance(self._failure, SocketClosedError):
            raise self._failure

    def _owe(self, socket: Socket) -> None:
        """The service owes a sound from now on, unless it did before."""
        if self._due is None:
            self._expect(socket.gap if self._samples else self._begins_within)

    def _expect(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().time() + seconds
        if self._deadline is not None:
            self._deadline.reschedule(self._due)

    # --- The sounds ------------------------------------------------------------------------------------

    async def _receive(self, socket: Socket) -> dict[str, Any] | bytes | None:
        """The next message; None where there is nothing to say."""
        try:
            async with asyncio.timeout_at(self._due) as self._deadline:
                return await socket.receive(within=float("inf"))
        except TimeoutError:
            if self._failure is not None:
                raise self._failure from None
            if self._finished and not self._begun:
                return None
            what = "stopped speaking" if self._samples else "did not begin to speak in time"
            raise TimedOutError(f"{self._provider} {what}", provider=self._provider) from None
        finally:
            self._deadline = None

    def _heard(self, socket: Socket) -> None:
        """A sound came, and whoever listens has taken it. More is owed only where all of the text is sent."""
        if self._failure is None:
            self._due = None
            if self._finished:
                self._owe(socket)

    def _take(self, sound: Sound) -> SpeechChunk | None:
        match sound:
            case Pcm(data):
                data = self._rest + data
                whole = len(data) & ~1
                self._rest = data[whole:]
                self._samples += whole // 2
                if whole:
                    self._script.forget()
                chunk = SpeechChunk(data[:whole], self._reached())
            case Mark(chars, seconds):
                if len(self._marks) < MAX_MARKS:
                    self._marks.append(TextMark(min(chars, self._script.chars), round(seconds * self._rate)))
                chunk = SpeechChunk(b"", self._reached())
            case Done():
                return None
        return chunk if chunk.pcm or chunk.marks else None

    def _reached(self) -> tuple[TextMark, ...]:
        """Marks whose audio is there, in order; what steps back is dropped.

        Services report times for audio that they never send. A mark that waits for its audio cannot lie.
        """
        reached = []
        while self._marks and self._marks[0].samples <= self._samples:
            mark = self._marks.pop(0)
            if mark.chars > self._last.chars and mark.samples >= self._last.samples:
                reached.append(mark)
                self._last = mark
        return tuple(reached)

    async def _cancel(self, lease: Lease) -> bool:
        if not self._begun:
            return True
        with contextlib.suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                return await self._wire.cancel(lease.socket)
        return False


def _meaning(socket: Socket, error: SocketClosedError) -> ProviderError:
    """What the end of a socket says: some services report mistakes by the closing frame alone."""
    if error.close_code not in _POLICY_CLOSES:
        return error
    for status, pattern in _REASONS:
        if pattern.search(error.reason):
            return socket.problem(status, error.reason)
    return socket.problem(400, error.reason or f"closed with {error.close_code}")
