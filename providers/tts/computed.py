"""What neural voices in this process share: text by pieces through threads, stopped in mid-inference."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.contracts import SpeechChunk, TextMark
from providers.errors import ProviderError
from providers.tts.espeak import pieces
from providers.workers import WorkerPool

__all__ = ["Computed", "Stop", "StoppableSession", "pcm16", "speak_pieces", "word_ends"]

UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
CLOSED = "speech has been shut down"


@dataclass(frozen=True, slots=True)
class Computed:
    """Some speech of a piece of text."""

    pcm: bytes
    # Pairs of characters of the piece and samples of this audio, where the model says when words end.
    words: tuple[tuple[int, int], ...] = ()


class Stop:
    """Tells a thread to give up, also while it is inside of a model."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._running: Any = None

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        with self._lock:
            self._event.set()
            if self._running is not None:
                self._running.terminate = True

    @contextmanager
    def run_options(self) -> Iterator[Any]:
        """Options for one inference, which ends with an exception once `set` was called."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        with self._lock:
            self._running = options
            options.terminate = self._event.is_set()
        try:
            yield options
        finally:
            with self._lock:
                self._running = None


class StoppableSession:
    """An `onnxruntime.InferenceSession` for libraries that run it themselves and cannot be told to stop."""

    def __init__(self, session: Any, path: str) -> None:
        self._session = session
        self._model_path = path  # the name that sessions have it by
        self._local = threading.local()

    @contextmanager
    def until(self, stop: Stop) -> Iterator[None]:
        """Runs of this thread end when `stop` is set."""
        self._local.stop = stop
        try:
            yield
        finally:
            self._local.stop = None

    def run(self, outputs: Sequence[str] | None, inputs: dict[str, Any]) -> Any:
        """As of the session itself."""
        stop: Stop | None = getattr(self._local, "stop", None)
        if stop is None:
            return self._session.run(outputs, inputs)
        with stop.run_options() as options:
            return self._session.run(outputs, inputs, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


async def speak_pieces(
    name: str,
    pool: WorkerPool,
    text: AsyncIterator[str],
    compute: Callable[[str, Stop], Iterator[Computed]],
    *,
    rate: int,
    pause: Callable[[str], float] = lambda piece: 0.0,
) -> AsyncGenerator[SpeechChunk, None]:
    """Speech for each segment, marked at the ends of words where they are known and of segments.

    `compute` gets pieces of at most 240 letters in a thread of `pool`, and gives what is ready one after
    another; `pause` says how many seconds of silence follow a piece. Closing the stream stops the thread.
    Raises `ProviderError` for whatever `compute` raises.
    """
    chars = samples = silence = 0
    async for segment in text:
        for piece in pieces(UNSPEAKABLE.sub(" ", segment)):
            if any(character.isalnum() for character in piece):
                if silence:
                    yield SpeechChunk(bytes(2 * silence))
                    samples += silence
                async for computed in _compute(name, pool, piece, compute):
                    marks = tuple(TextMark(chars + end, samples + at) for end, at in computed.words)
                    # A second at a time, so that nobody has to take more in one go.
                    for start in range(0, len(computed.pcm), 2 * rate):
                        yield SpeechChunk(computed.pcm[start : start + 2 * rate], () if start else marks)
                    samples += len(computed.pcm) // 2
                silence = round(pause(piece) * rate)
            chars += len(piece)
        yield SpeechChunk(b"", (TextMark(chars, samples),))


async def _compute(
    name: str, pool: WorkerPool, piece: str, compute: Callable[[str, Stop], Iterator[Computed]]
) -> AsyncGenerator[Computed, None]:
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[Computed | None] = asyncio.Queue()  # bounded by the length of the piece
    stop = Stop()

    def work() -> None:
        if stop.is_set():
            return
        for computed in compute(piece, stop):
            if stop.is_set():
                return
            loop.call_soon_threadsafe(ready.put_nowait, computed)

    try:
        done = pool.submit(work, urgency=0)
    except RuntimeError:
        raise ProviderError(CLOSED) from None
    done.add_done_callback(lambda _: ready.put_nowait(None))
    try:
        while (computed := await ready.get()) is not None:
            yield computed
        if done.cancelled():
            raise ProviderError(CLOSED)
        try:
            done.result()
        except ProviderError:
            raise
        except Exception as error:
            raise ProviderError(f"{name} failed: {error}") from error
    finally:
        stop.set()
        done.cancel()


def word_ends(text: str, groups: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The characters at which words end, each with what `groups` says of it in samples.

    Nothing where there are not as many groups as words, as when a number was spoken as several: a mark too
    few does no harm, one at the wrong place does.
    """
    ends = [match.end() for match in re.finditer(r"\S+", text) if any(map(str.isalnum, match[0]))]
    return tuple(zip(ends, groups, strict=True)) if len(ends) == len(groups) else ()


def pcm16(audio: NDArray[Any]) -> bytes:
    """Samples between -1 and 1 as PCM16."""
    samples = np.nan_to_num(np.asarray(audio, np.float32).ravel())
    pcm: bytes = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    return pcm
