"""Inworld's speech over HTTP, for networks that let no WebSocket through: one request for each segment."""

import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from providers.contracts import SpeechChunk, TextMark, TtsOptions, Voice
from providers.grpc_problems import grpc_error
from providers.http import Answer, HttpClient
from providers.tts.inworld_shape import (
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
from providers.tts.words import WordFinder

__all__ = ["InworldHttpTts"]

PATH = "/tts/v1/voice:stream"
MAX_LINE_BYTES = 16 * 1024 * 1024  # the service's own limit for an answer


class InworldHttpTts:
    """One model. Marks come at the end of each word, and of each segment."""

    sample_rate = SAMPLE_RATE
    voices: tuple[Voice, ...] | None = VOICES
    speeds = SPEEDS
    tags = TAGS

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        temperature: float | None = None,
        delivery_mode: str | None = None,
    ) -> None:
        """As `InworldTts`."""
        self._http = http
        self._model = model
        self._temperature = temperature
        self._delivery_mode = delivery_mode

    def knows_voice(self, voice: str) -> bool:
        """Any name, but those of OpenAI's voices: accounts have voices of their own."""
        return is_voice(voice)

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its connection.

        A segment is asked for when the one before it has come, which is long before that has been played.
        """
        settings = speech_settings(
            self._model, options, temperature=self._temperature, delivery_mode=self._delivery_mode
        )
        reply, steering = _Reply(), Steering(options.settings)
        async for segment in _with_directions(text):
            for piece in pieces(segment, steering.max_chars):
                reply.begin(piece)
                if piece.strip():
                    body = {"text": steering.applied(piece.strip()), **settings}
                    async with aclosing(self._piece(body, reply)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                if (border := reply.end()) is not None:
                    yield border

    async def _piece(self, body: Mapping[str, Any], reply: "_Reply") -> AsyncGenerator[SpeechChunk, None]:
        before = reply.samples
        async with self._http.post_json(PATH, body) as answer:
            if answer.status != 200:
                raise (await answer.problem()).to_error(self._http.provider)
            async with aclosing(self._lines(answer)) as lines:
                async for line in lines:
                    chunk = reply.take(answer, self._result(answer, line))
                    if chunk.pcm or chunk.marks:
                        yield chunk
            if reply.samples == before and re.search(r"\w", re.sub(TAGS, "", body["text"])):
                raise answer.bad("sent no audio")

    async def _lines(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """The lines of the body; the last one may lack its end."""
        parts: list[bytes] = []
        size = 0
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                *whole, rest = chunk.split(b"\n")
                for line in whole:
                    yield b"".join((*parts, line))
                    parts, size = [], 0
                parts.append(rest)
                size += len(rest)
                if size > MAX_LINE_BYTES:
                    raise answer.bad("sent a line without end")
        yield b"".join(parts)

    def _result(self, answer: Answer, line: bytes) -> Mapping[str, Any]:
        if not line.strip():
            return {}
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise answer.bad("sent a line that is not JSON") from None
        if not isinstance(message, Mapping):
            raise answer.bad("sent a line that is not an object")
        if message.get("error"):
            raise grpc_error(message["error"], self._http.redactor, self._http.provider)
        result = message.get("result")
        if not isinstance(result, Mapping):
            raise answer.bad("sent a line without a result")
        return result


async def _with_directions(text: AsyncIterator[str]) -> AsyncIterator[str]:
    """The segments; one of nothing but tags goes with the next one."""
    held = ""
    async for segment in text:
        held += segment
        if not is_direction(held):
            yield held
            held = ""
    if held:
        yield held


class _Reply:
    """Counts the text and the samples of one reply."""

    def __init__(self) -> None:
        self.samples = 0
        self._chars = 0
        self._offset = 0  # samples before this piece
        self._rest = b""  # half a sample
        self._words = WordFinder()
        self._marks: deque[TextMark] = deque()  # whose sound has not come yet
        self._last = TextMark(0, 0)

    def begin(self, piece: str) -> None:
        self._words.add(piece)
        self._chars += len(piece)
        self._offset = self.samples
        self._rest = b""

    def take(self, answer: Answer, result: Mapping[str, Any]) -> SpeechChunk:
        pcm = chunk_pcm(result)
        if pcm is None:
            raise answer.bad("sent audio that is not base64")
        data = self._rest + pcm
        whole = len(data) & ~1
        self._rest = data[whole:]
        self.samples += whole // 2
        for word, seconds in chunk_words(result):
            if (chars := self._words.find(word)) is not None:
                self._marks.append(TextMark(chars, self._offset + round(seconds * SAMPLE_RATE)))
        return SpeechChunk(data[:whole], tuple(self._reached()))

    def end(self) -> SpeechChunk | None:
        """The border behind the piece; a time that was reported for sound that never came is dropped."""
        self._marks.clear()
        border = TextMark(self._chars, self.samples)
        if border == self._last:
            return None
        self._last = border
        return SpeechChunk(b"", (border,))

    def _reached(self) -> Iterator[TextMark]:
        """Marks whose sound is there, in order; what steps back is dropped."""
        while self._marks and self._marks[0].samples <= self.samples:
            mark = self._marks.popleft()
            if mark.chars > self._last.chars and mark.samples >= self._last.samples:
                self._last = mark
                yield mark
