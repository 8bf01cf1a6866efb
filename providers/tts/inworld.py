"""Inworld's speech over WebSocket: each reply is a context, and each of its segments is flushed at once."""

import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.grpc_problems import grpc_error
from providers.http import HttpClient
from providers.socket_pool import SocketPool
from providers.tts.inworld_shape import (
    MAX_PIECE_CHARS,
    SAMPLE_RATE,
    SPEEDS,
    TAGS,
    VOICES,
    Steering,
    chunk_pcm,
    chunk_words,
    is_direction,
    is_voice,
    pieces,
    speech_settings,
)
from providers.tts.remote import Done, Mark, Pcm, Sound, speak
from providers.tts.words import WordFinder
from providers.websockets import Socket, connect

__all__ = ["InworldTts", "open_pool"]

PATH = "/tts/v1/voice:streamBidirectional"
IDLE_S = 300.0  # the service closes a socket after ten silent minutes
NOT_FOUND = 5  # gRPC's code


class InworldTts:
    """One model. Marks come at the end of each word, and of each segment."""

    sample_rate = SAMPLE_RATE
    voices: tuple[Voice, ...] | None = VOICES
    speeds = SPEEDS
    tags = TAGS

    def __init__(
        self,
        http: HttpClient,
        pool: SocketPool,
        model: str,
        *,
        temperature: float | None = None,
        delivery_mode: str | None = None,
    ) -> None:
        """`temperature` (up to 2) is for models of the first generation, `delivery_mode` for later ones."""
        self._http = http
        self._pool = pool
        self._model = model
        self._temperature = temperature
        self._delivery_mode = delivery_mode

    def knows_voice(self, voice: str) -> bool:
        """Any name, but those of OpenAI's voices: accounts have voices of their own."""
        return is_voice(voice)

    async def warm(self) -> None:
        """Have a socket ready."""
        await self._pool.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream cancels its context."""
        settings = speech_settings(
            self._model, options, temperature=self._temperature, delivery_mode=self._delivery_mode
        )
        stream = speak(
            self._pool,
            _Wire(settings, Steering(options.settings)),
            text,
            rate=SAMPLE_RATE,
            provider=self._http.provider,
            begins_within=self._http.timeouts.first_byte,
        )
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk


def open_pool(http: HttpClient) -> SocketPool:
    """The sockets of one account; any model and voice can be had over each."""

    async def open() -> Socket:
        return await connect(http, PATH)

    return SocketPool(open, idle_s=IDLE_S)


class _Wire:
    """One reply as a context."""

    def __init__(self, settings: Mapping[str, Any], steering: Steering) -> None:
        self._steering = steering
        # What is sent is flushed by us, so the service need not decide when it has enough.
        self._settings = {**settings, "bufferCharThreshold": MAX_PIECE_CHARS}

    async def begin(self, socket: Socket) -> None:
        self._socket = socket
        self._context = uuid.uuid4().hex
        self._words = WordFinder()
        self._held = ""  # tags that wait for the text behind them
        self._chars = 0  # of the text that was sent
        self._ends: deque[int] = deque()  # of the pieces that are not spoken yet, in characters of the text
        self._bytes = 0  # of all sound
        self._offset = 0.0  # seconds of sound before the piece that is being spoken
        await socket.send_json({"create": self._settings, "contextId": self._context})

    async def send(self, socket: Socket, text: str) -> None:
        text = self._held + text
        if is_direction(text):
            self._held = text
            return
        self._held = ""
        await self._say(socket, text)

    async def finish(self, socket: Socket) -> None:
        if self._held:
            await self._say(socket, self._held)
        await self._tell(socket, {"close_context": {}})

    async def _say(self, socket: Socket, text: str) -> None:
        longest = self._steering.max_chars
        for piece in pieces(text, longest):
            self._words.add(piece)
            self._chars += len(piece)
            self._ends.append(self._chars)
            # Pieces are joined as they are: a missing space would join two words.
            spaced = piece if piece[-1].isspace() or len(piece) == longest else piece + " "
            spaced = self._steering.applied(spaced)
            await self._tell(socket, {"send_text": {"text": spaced, "flush_context": {}}})

    async def cancel(self, socket: Socket) -> bool:
        await self._tell(socket, {"cancel_context": {}})
        return True  # what is still on its way bears the name of this context

    async def _tell(self, socket: Socket, message: Mapping[str, Any]) -> None:
        await socket.send_json({**message, "contextId": self._context})

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Sound]:
        if isinstance(message, bytes):
            raise self._socket.bad("sent binary data among its messages")
        if message.get("error"):
            raise grpc_error(message["error"], self._socket.redactor, self._socket.provider)
        result = message.get("result")
        if not isinstance(result, Mapping):
            raise self._socket.bad("sent a message without a result")
        context = result.get("contextId") or result.get("context_id")
        if context is not None and context != self._context:
            return
        self._check(result.get("status"), known=context is not None)
        if isinstance(chunk := result.get("audioChunk"), Mapping):
            yield from self._chunk(chunk)
        if "flushCompleted" in result:
            self._offset = self._bytes / 2 / SAMPLE_RATE
            if self._ends:
                yield Mark(self._ends.popleft(), self._offset)
        if "contextClosed" in result:
            yield Done()

    def _check(self, status: Any, *, known: bool) -> None:
        if not isinstance(status, Mapping) or not status.get("code"):
            return
        # A context that was cancelled when it had just ended is not there any more.
        if known or status.get("code") != NOT_FOUND:
            raise grpc_error(status, self._socket.redactor, self._socket.provider)

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[Sound]:
        pcm = chunk_pcm(chunk)
        if pcm is None:
            raise self._socket.bad("sent audio that is not base64")
        self._bytes += len(pcm)
        if pcm:
            yield Pcm(pcm)
        for word, seconds in chunk_words(chunk):
            if (chars := self._words.find(word)) is not None:
                yield Mark(chars, self._offset + seconds)
