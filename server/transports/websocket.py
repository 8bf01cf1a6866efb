"""One WebSocket connection: reads client events into a session, writes its events back."""

import asyncio
import logging
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pipeline.errors import InvalidRequest
from pipeline.events import ErrorRaised, Event
from pipeline.session import Session
from server.protocol.decoding import AppendAudio, Decoder
from server.protocol.encoding import Encoder

__all__ = ["WebSocketPeer"]

log = logging.getLogger(__name__)

_HIGH_WATER = 1024 * 1024  # unsent bytes at which speech waits for the client to catch up
_SEND_DEADLINE_S = 30.0  # for one event; a client that takes none for so long is gone


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
    ) -> None:
        self._websocket = websocket
        self._encoder = encoder
        self._decoder = decoder
        self._max_outbox_bytes = max_outbox_bytes
        self._events_per_second = events_per_second
        self._lifetime = lifetime  # seconds
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
        text = self._encoder.encode(event)
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

    async def serve(self, session: Session) -> None:
        """Exchange events until the client leaves or is made to."""
        writer = asyncio.create_task(self._write(), name=f"{session.id} writer")
        reader = asyncio.create_task(self._read(session), name=f"{session.id} reader")
        try:
            session.join(self)
            done, _ = await asyncio.wait(
                (reader, writer), timeout=self._lifetime, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (reader, writer):
                task.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
        if not done:
            await self._expire(session)
        for result in results:
            if isinstance(result, SlowReaderError):
                log.warning("session %s: %s", session.id, result)
                await self._close(1008, "client reads too slowly")
            elif isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    async def _read(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        second, count = loop.time(), 0
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            command = self._decoder.refuse_binary() if text is None else self._decoder.decode(text)
            if isinstance(command, AppendAudio):
                await session.append_audio(command.data, command.event_id)
            else:
                await session.receive(command)
            # Over the rate nothing is refused or lost; the client just finds the socket full for a while.
            count += 1
            now = loop.time()
            if now - second >= 1:
                second, count = now, 0
            elif count > self._events_per_second:
                await asyncio.sleep(second + 1 - now)

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

    async def _expire(self, session: Session) -> None:
        log.warning("session %s has reached its maximum duration", session.id)
        error = InvalidRequest(
            f"Your session hit the maximum duration of {self._lifetime / 60:g} minutes.",
            code="session_expired",
        )
        await self._websocket.send_text(self._encoder.encode(ErrorRaised(error, None)))
        await self._close(1001, "invalid_request_error.session_expired")

    async def _close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(code, reason)
