"""`POST {base}/audio/speech`: one request per segment of text, the next one under way before it is needed."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from providers.contracts import SpeechChunk, TextMark, TtsOptions, Voice
from providers.http import Answer, HttpClient
from providers.openai_quirks import Quirks

__all__ = ["MAX_INPUT_CHARS", "OPENAI_VOICES", "OpenAISpeechTts"]

MAX_INPUT_CHARS = 4096  # of one request, as OpenAI documents it
MAX_ATTEMPTS = 3
# The segment being spoken and the next one; more would only cost money when the user interrupts.
REQUESTS_AHEAD = 2
# Chunks that a prefetched segment may hold; behind them the upstream has to wait. About 64 KiB each.
QUEUED_CHUNKS = 32

_VOICE_NAMES = "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar"
OPENAI_VOICES = tuple(Voice(name, name.capitalize()) for name in _VOICE_NAMES.split())

_OPTIONAL = frozenset({"instructions", "speed"})
_RIFF_LIMIT = 64 * 1024  # a header longer than this is no header


@dataclass(slots=True)
class _Segment:
    text: str
    queue: "asyncio.Queue[bytes | BaseException | None]" = field(
        default_factory=lambda: asyncio.Queue(QUEUED_CHUNKS)
    )


class OpenAISpeechTts:
    """One model behind the speech endpoint. Marks come at the end of each segment: it sends no timings."""

    speeds = (0.25, 4.0)
    tags = ""

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        voices: tuple[Voice, ...] | None = None,
        sample_rate: int = 24_000,
        max_input_chars: int = MAX_INPUT_CHARS,
    ) -> None:
        self.sample_rate = sample_rate
        self.voices = voices
        self._http = http
        self._model = model
        self._max_input_chars = max_input_chars
        self._quirks = Quirks(_OPTIONAL)

    def knows_voice(self, voice: str) -> bool:
        """Whether the voice may be asked for; custom voices of an account cannot be listed."""
        if self.voices is None:
            return bool(voice)
        return voice.startswith("voice_") or any(known.id == voice for known in self.voices)

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes all its connections."""
        segments: asyncio.Queue[_Segment | BaseException | None] = asyncio.Queue()
        slots = asyncio.Semaphore(REQUESTS_AHEAD)
        tasks: set[asyncio.Task[None]] = set()
        reader = asyncio.create_task(self._request_all(text, options, segments, slots, tasks))
        chars = samples = 0
        try:
            while (segment := await segments.get()) is not None:
                if isinstance(segment, BaseException):
                    raise segment
                while (chunk := await segment.queue.get()) is not None:
                    if isinstance(chunk, BaseException):
                        raise chunk
                    samples += len(chunk) // 2
                    yield SpeechChunk(chunk)
                slots.release()
                chars += len(segment.text)
                yield SpeechChunk(b"", (TextMark(chars, samples),))
        finally:
            # The reader first, and to its end: until then it may start further requests.
            for group in ([reader], tasks):
                for task in group:
                    task.cancel()
                await asyncio.gather(*group, return_exceptions=True)

    async def _request_all(
        self,
        text: AsyncIterator[str],
        options: TtsOptions,
        segments: "asyncio.Queue[_Segment | BaseException | None]",
        slots: asyncio.Semaphore,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        try:
            async for whole in text:
                for part in _split(whole, self._max_input_chars):
                    await slots.acquire()
                    segment = _Segment(part)
                    segments.put_nowait(segment)
                    task = asyncio.create_task(self._fetch(segment, options))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            segments.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - raised again where the speech is read
            segments.put_nowait(error)

    async def _fetch(self, segment: _Segment, options: TtsOptions) -> None:
        try:
            if segment.text.strip():
                async with aclosing(self._pcm(segment.text.strip(), options)) as chunks:
                    async for chunk in chunks:
                        await segment.queue.put(chunk)
            await segment.queue.put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the speech is read
            await segment.queue.put(error)

    async def _pcm(self, text: str, options: TtsOptions) -> AsyncGenerator[bytes, None]:
        voice: Any = {"id": options.voice} if options.voice.startswith("voice_") else options.voice
        whole = {"model": self._model, "input": text, "voice": voice, "response_format": "pcm"}
        if options.speed != 1.0:
            whole["speed"] = options.speed
        if options.instructions:
            whole["instructions"] = options.instructions
        for attempt in range(1, MAX_ATTEMPTS + 1):
            body = self._quirks.apply(whole)
            async with self._http.post_json("/audio/speech", body) as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS and self._quirks.learn(body, problem):
                        continue
                    raise problem.to_error(self._http.provider)
                spoken = False
                async with aclosing(self._whole_samples(answer)) as chunks:
                    async for chunk in chunks:
                        spoken = True
                        yield chunk
                if not spoken and re.search(r"\w", text):
                    raise answer.bad("sent no audio")
                return

    async def _whole_samples(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """The PCM in whole samples: a chunk may end in the middle of one."""
        if answer.content_type in ("application/json", "text/html", "audio/mpeg", "text/event-stream"):
            raise answer.bad(f"answered with {answer.content_type} where pcm was asked for")
        rest = b""
        in_header = True
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                data = rest + chunk if rest else chunk
                if in_header:
                    if b"RIFF".startswith(data[:4]) and len(data) < _RIFF_LIMIT:
                        start = self._after_header(answer, data)
                        if start is None:
                            rest = data
                            continue
                        data = data[start:]
                    in_header = False
                whole = len(data) & ~1
                rest = data[whole:]
                if whole:
                    yield data[:whole]

    def _after_header(self, answer: Answer, data: bytes) -> int | None:
        """Where the samples of a WAV begin, which some servers send regardless; None while unknown."""
        position = 12
        while len(data) >= position + 8:
            name, size = (
                data[position : position + 4],
                int.from_bytes(data[position + 4 : position + 8], "little"),
            )
            if name == b"data":
                return position + 8
            if name == b"fmt " and len(data) >= position + 24:
                channels, rate = _little(data, position + 10, 2), _little(data, position + 12, 4)
                bits = _little(data, position + 22, 2)
                if (channels, rate, bits) != (1, self.sample_rate, 16):
                    raise answer.bad(f"sent WAV of {rate} Hz, {channels} channels, {bits} bits")
            position += 8 + size + (size & 1)
        return None


def _little(data: bytes, start: int, count: int) -> int:
    return int.from_bytes(data[start : start + count], "little")


def _split(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most `limit` characters, at a sentence, a clause or a space if possible."""
    while len(text) > limit:
        head = text[:limit]
        cut = limit
        for border in (r".*[.!?]\s", r".*[,;:]\s", r".*\s"):
            if match := re.match(border, head, re.DOTALL):
                cut = match.end()
                break
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text
