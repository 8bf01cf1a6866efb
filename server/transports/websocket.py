"""One WebSocket connection: reads client events into a session, writes its events back."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pipeline.errors import InvalidRequest
from pipeline.events import ErrorRaised, Event
from pipeline.session import Session
from server.protocol.decoding import AppendAudio, Decoder
from server.protocol.encoding import Encoder
from server.protocol.pings import ping_frame

__all__ = ["Ending", "WebSocketPeer"]

log = logging.getLogger(__name__)

_HIGH_WATER = 1024 * 1024  # unsent bytes at which speech waits for the client to catch up
_SEND_DEADLINE_S = 30.0  # for one event; a client that takes none for so long is gone
_NOTICE_S = 60.0  # before a session has lived its time, the log says so
_FAREWELL_S = 5.0  # to tell a client why it is disconnected; one that does not read does not hear it

Ending = Literal["left", "expired", "idle", "slow_reader"]


class IdleError(Exception):
    """The client has sent nothing for too long."""


class SlowReaderError(Exception):
    """The client does not read what it is sent."""


class WebSocketPeer:
    """A client of one session. Bounded: it never holds more than `max_outbox_bytes` of unsent events."""

    def __init__(
        self,
        websocket: WebSocket,
        encoder: Encoder,
        decoder: Decoder,
        *,
        max_outbox_bytes: int,
        events_per_second: float,
        lifetime: float,
        idle: float | None = None,
        ping_every: float | None = None,
    ) -> None:
        self._websocket = websocket
        self._encoder = encoder
        self._decoder = decoder
        self._max_outbox_bytes = max_outbox_bytes
        self._events_per_second = events_per_second
        self._lifetime = lifetime  # seconds
        self._idle = idle  # seconds without an event from the client; None: it may be silent
        self._ping_every = ping_every  # seconds; None: never
        self._outbox: deque[str] = deque()
        self._unsent = 0
        self._overflowed = False
        self._has_events = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    # --- the session's side ---------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        """Queue an event. A client that lets too much pile up is disconnected."""
        if self._overflowed:
            return
        self._queue(self._encoder.encode(event))

    def _queue(self, frames: Iterable[str]) -> None:
        for text in frames:
            self._unsent += len(text)
            if self._unsent > self._max_outbox_bytes and len(self._outbox) > 1:
                self._overflowed = True
            self._outbox.append(text)
            self._has_events.set()
        if self._unsent > _HIGH_WATER:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until the client has read most of what it was sent. Safe to cancel."""
        await self._has_room.wait()

    # --- the socket's side ----------------------------------------------------------------------------

    async def serve(self, session: Session) -> Ending:
        """Exchange events until the client leaves or is made to; says which."""
        notice = asyncio.get_running_loop().call_later(
            max(0.0, self._lifetime - _NOTICE_S), self._announce_end, session
        )
        writer = asyncio.create_task(self._write(), name=f"{session.id} writer")
        reader = asyncio.create_task(self._read(session), name=f"{session.id} reader")
        tasks = [reader, writer]
        if self._ping_every is not None:
            pinger = self._ping(self._ping_every)
            tasks.append(asyncio.create_task(pinger, name=f"{session.id} pings"))
        try:
            session.join(self)
            done, _ = await asyncio.wait(
                (reader, writer), timeout=self._lifetime, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            notice.cancel()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if not done:
            await self._dismiss(
                session,
                f"Your session hit the maximum duration of {_duration(self._lifetime)}. "
                "Connect again for another one.",
                code="session_expired",
            )
            return "expired"
        for result in results:
            if isinstance(result, SlowReaderError):
                log.warning("session %s: %s", session.id, result)
                await self._close(1008, "client reads too slowly")
                return "slow_reader"
            if isinstance(result, IdleError):
                await self._dismiss(
                    session,
                    f"Your session received no event for {self._idle:g} seconds, which is the limit of this "
                    "server. Connect again when there is something to say.",
                    code="session_idle_timeout",
                )
                return "idle"
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result
        return "left"

    async def _read(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        second, count = loop.time(), 0
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._take(message.get("text"), session)
            except Exception:
                # Our own fault, which must cost the client no more than this one event.
                log.exception("session %s: an event could not be read", session.id)
                error = InvalidRequest(
                    "The server had an unexpected error while it read this event.", code=None
                )
                self.send(ErrorRaised(error, None, "server_error"))
            # Over the rate nothing is refused or lost; the client just finds the socket full for a while.
            count += 1
            now = loop.time()
            if now - second >= 1:
                second, count = now, 0
            elif count > self._events_per_second:
                await asyncio.sleep(second + 1 - now)

    async def _take(self, text: str | None, session: Session) -> None:
        """One frame, whose text is None where it is binary."""
        command = self._decoder.refuse_binary() if text is None else self._decoder.decode(text)
        if isinstance(command, AppendAudio):
            await session.append_audio(command.data, command.event_id)
        else:
            await session.receive(command)

    async def _receive(self) -> Message:
        """The next frame. Only the wait for it counts as idle, not the time in which we do not read."""
        if self._idle is None:
            return await self._websocket.receive()
        try:
            async with asyncio.timeout(self._idle):
                return await self._websocket.receive()
        except TimeoutError:
            raise IdleError from None

    async def _write(self) -> None:
        while True:
            await self._has_events.wait()
            self._has_events.clear()
            while self._outbox:
                text = self._outbox[0]
                try:
                    async with asyncio.timeout(_SEND_DEADLINE_S):
                        await self._websocket.send_text(text)
                except TimeoutError:
                    raise SlowReaderError(f"the client read nothing for {_SEND_DEADLINE_S:.0f} s") from None
                self._outbox.popleft()
                self._unsent -= len(text)
                if self._unsent <= _HIGH_WATER // 2:
                    self._has_room.set()
                if self._overflowed:
                    raise SlowReaderError(f"the client left more than {self._max_outbox_bytes} bytes unread")

    async def _ping(self, every: float) -> None:
        """Tell the client now and then that we are here, unless it is behind with what it reads already."""
        while True:
            await asyncio.sleep(every)
            if not self._unsent:
                self._queue([ping_frame(time.time_ns() // 1_000_000)])

    def _announce_end(self, session: Session) -> None:
        seconds = min(_NOTICE_S, self._lifetime)
        log.warning("session %s reaches its maximum duration in %g seconds", session.id, seconds)

    async def _dismiss(self, session: Session, why: str, *, code: str) -> None:
        """Tell the client why it is disconnected, and do it."""
        log.warning("session %s is ended: %s", session.id, code)
        error = ErrorRaised(InvalidRequest(why, code=code), None)
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(_FAREWELL_S):
                for text in self._encoder.encode(error):
                    await self._websocket.send_text(text)
                await self._close(1001, f"{error.kind}.{code}")

    async def _close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(code, reason)


def _duration(seconds: float) -> str:
    return f"{seconds:g} seconds" if seconds < 60 else f"{seconds / 60:g} minutes"
