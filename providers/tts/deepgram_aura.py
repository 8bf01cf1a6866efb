"""Deepgram's speech over WebSocket (`/v1/speak`): one socket for many replies, one address for each voice."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any
from weakref import WeakKeyDictionary

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.deepgram_socket import failure
from providers.errors import ConnectionFailedError
from providers.http import HttpClient
from providers.socket_pool import SocketPool
from providers.tts.deepgram_voices import FAMILIES, controls, family_of, is_voice, voices_of
from providers.tts.pools import PoolsByKey
from providers.tts.remote import Done, Mark, Pcm, Sound, speak
from providers.websockets import Socket, connect

__all__ = ["SAMPLE_RATE", "DeepgramAuraTts"]

SAMPLE_RATE = 24_000
MAX_CHARS = 2000  # of one message, as documented
MAX_POOLS = 4  # voices whose idle sockets are kept: an account may have 45 sockets open
IDLE_S = 60.0
CLOSE_STATUSES = {1009: 413}  # the HTTP status that fits a text that is too long

# Deepgram answers 20 flushes a minute and socket; what is flushed too often also sounds worse. So later
# segments of a reply that has used up its share wait for more text, or for the end of the reply.
FLUSH_WINDOW_S = 60.0
MAX_FLUSHES = 20
MAX_EARLY_FLUSHES = 14  # the others are for ends of replies

MAX_USED_UP = 2  # sockets that a reply passes over because they were flushed too often

_PRONUNCIATION = r"\\\{\s*\"word\"\s*:[^{}]{1,300}\\\}"
_BORDERS = (r".*[.!?]\s", r".*[,;:]\s", r".*\s")

PoolKey = tuple[str, str]  # the voice, and the pace or ""


class _Flushes:
    """When a socket was flushed lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MAX_FLUSHES)
        self.unanswered = 0  # of a reply that was cut short; their answers may still come

    def count(self, now: float) -> int:
        while self._times and now - self._times[0] >= FLUSH_WINDOW_S:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        self._times.append(now)


class DeepgramAuraTts:
    """A family of voices, such as "aura-2", or one voice as a model of its own, such as "aura-2-thalia-en".

    Voices go by their whole names or by what is particular to them, such as "thalia". A model of one voice
    speaks with that one, whichever is asked for. There are no timings: marks come at the ends of segments.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        begins_within: float = 30.0,
    ) -> None:
        """`query` is added as it is; `begins_within` is the time in seconds from words to sound."""
        self._http = http
        self._model = model
        self._query = query
        self._begins_within = begins_within
        self._is_family = model in FAMILIES
        known = voices_of(model if self._is_family else family_of(model) or FAMILIES[0])
        if not self._is_family:
            known = tuple(voice for voice in known if voice.id == model) or (Voice(model, model),)
        self.voices: tuple[Voice, ...] | None = known
        self._ids = {voice.name.casefold(): voice.id for voice in known}
        # Only some languages of a family have a pace of their own.
        self.speeds = (0.7, 1.5) if controls(model) else (1.0, 1.0)
        self.tags = _PRONUNCIATION if model == "aura-2" or controls(model) else ""
        self._pools = PoolsByKey[PoolKey](self._pool, most=MAX_POOLS)
        self._flushes: WeakKeyDictionary[Socket, _Flushes] = WeakKeyDictionary()

    def knows_voice(self, voice: str) -> bool:
        """Whether it is one of the family; any name for a model of one voice."""
        if not self._is_family:
            return bool(voice.strip())
        return voice.casefold() in self._ids or (is_voice(voice) and family_of(voice) == self._model)

    async def warm(self) -> None:
        """Have a socket ready for the only voice, or the one used last; else reach the service at least."""
        if not self._is_family:
            async with self._pools.use((self._model, "")) as pool:
                await pool.warm()
        elif not await self._pools.warm():
            await self._http.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream clears what is still to be said."""
        voice = self._ids.get(options.voice.casefold(), options.voice) if self._is_family else self._model
        slowest, fastest = self.speeds
        speed = min(fastest, max(slowest, options.speed))
        async with self._pools.use((voice, "" if speed == 1.0 else f"{speed:g}")) as pool:
            stream = speak(
                pool,
                _Wire(self._flushes),
                text,
                rate=SAMPLE_RATE,
                provider=self._http.provider,
                begins_within=self._begins_within,
            )
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def aclose(self) -> None:
        """Close the idle sockets."""
        await self._pools.aclose()

    def _pool(self, key: PoolKey) -> SocketPool:
        voice, speed = key
        query = [("model", voice), ("encoding", "linear16"), ("sample_rate", str(SAMPLE_RATE))]
        query += [("speed", speed)] if speed else []

        async def open() -> Socket:
            return await connect(
                self._http, "/v1/speak", params=[*query, *self._query], close_statuses=CLOSE_STATUSES
            )

        return SocketPool(open, idle_s=IDLE_S)


class _Wire:
    """One reply."""

    def __init__(self, flushes: "WeakKeyDictionary[Socket, _Flushes]") -> None:
        self._all_flushes = flushes
        self._used_up = 0

    async def begin(self, socket: Socket) -> None:
        self._socket = socket
        self._flushes = self._all_flushes.setdefault(socket, _Flushes())
        self._chars = 0  # of the text sent
        self._bytes = 0  # of the sound received
        self._owed: deque[int] = deque()  # the characters sent before each flush that was not answered
        self._clears = 0  # that were not answered
        self._unflushed = False
        self._finishing = False
        if self._flushes.count(_now()) >= MAX_EARLY_FLUSHES and self._used_up < MAX_USED_UP:
            self._used_up += 1
            raise ConnectionFailedError(f"{socket.provider} was asked too often", provider=socket.provider)

    async def send(self, socket: Socket, text: str) -> None:
        for piece in _pieces(text):
            await socket.send_json({"type": "Speak", "text": piece})
        self._chars += len(text)
        self._unflushed = True
        if self._flushes.count(_now()) < MAX_EARLY_FLUSHES:
            await self._flush(socket)

    async def finish(self, socket: Socket) -> None:
        self._finishing = True
        if self._unflushed:
            await self._flush(socket)
        elif not self._owed:
            # Everything was said before the end was known. This is answered at once, and counts as no flush.
            await self._clear(socket)

    async def cancel(self, socket: Socket) -> bool:
        await self._clear(socket)
        while self._clears:  # what was under way must not be heard in another reply
            message = await socket.receive()
            kind = message.get("type") if isinstance(message, dict) else None
            if kind == "Cleared":
                self._clears -= 1
            elif kind == "Flushed" and self._owed:
                self._owed.popleft()
        self._flushes.unanswered += len(self._owed)
        return True

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Sound]:
        if isinstance(message, bytes):
            self._bytes += len(message)
            yield Pcm(message)
            return
        kind = message.get("type")
        if kind == "Flushed":
            yield from self._flushed()
        elif kind == "Cleared" and self._clears:
            self._clears = 0
            yield Done()
        elif kind == "Warning":
            self._warned(message)
        elif kind == "Error" or "err_code" in message or "error_code" in message:
            raise failure(self._socket, message)

    async def _clear(self, socket: Socket) -> None:
        self._clears += 1
        await socket.send_json({"type": "Clear"})

    async def _flush(self, socket: Socket) -> None:
        self._unflushed = False
        self._owed.append(self._chars)
        self._flushes.add(_now())
        await socket.send_json({"type": "Flush"})

    def _flushed(self) -> Iterator[Sound]:
        if self._flushes.unanswered and not self._bytes:
            self._flushes.unanswered -= 1
            return
        if not self._owed:
            return
        self._flushes.unanswered = 0  # answers come in order
        yield Mark(self._owed.popleft(), self._bytes / 2 / SAMPLE_RATE)
        if self._finishing and not self._owed and not self._unflushed:
            yield Done()

    def _warned(self, message: dict[str, Any]) -> None:
        code, told = message.get("code"), message.get("description")
        text = " ".join(part for part in (code, told) if isinstance(part, str))
        if self._finishing and "flush" in text.lower():
            raise self._socket.problem(429, text)  # the rest would never come


def _pieces(text: str) -> Iterator[str]:
    """The text in messages of the size allowed, cut at a sentence, a clause or a space if possible."""
    while len(text) > MAX_CHARS:
        head = text[:MAX_CHARS]
        cut = next(
            (found.end() for border in _BORDERS if (found := re.match(border, head, re.DOTALL))), MAX_CHARS
        )
        yield text[:cut]
        text = text[cut:]
    yield text


def _now() -> float:
    return asyncio.get_running_loop().time()
