"""Streaming transcription by a model that hears whole stretches: the growing utterance, again and again."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from providers.contracts import (
    SttEvent,
    SttOptions,
    TranscriptDelay,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
)
from providers.errors import ProviderError
from providers.stt.moonshine_model import SAMPLE_RATE, Hypothesis
from providers.stt.utterance import STEP, Job, Utterance
from providers.workers import WorkerPool

__all__ = ["STEPS", "Ear", "WindowedStt"]

# Somebody waits for a final; a window keeps a later final short; a partial is a courtesy.
URGENCY = {"final": 0, "window": 1, "partial": 2}
# Samples of speech without a pause after which another look is taken.
STEPS: Mapping[TranscriptDelay | None, int] = {
    "minimal": SAMPLE_RATE * 4 // 10,
    "low": SAMPLE_RATE * 8 // 10,
    "medium": STEP,
    None: STEP,
    "high": SAMPLE_RATE * 2,
    "xhigh": SAMPLE_RATE * 4,
}
PIECE = 2 * SAMPLE_RATE  # bytes of audio looked at in one go on the event loop: one second, 50 us

CLOSED = "transcription has been shut down"


class Ear(Protocol):
    """Hears one utterance, in any thread; a call that was given up may still be running in another."""

    def transcribe(
        self, pcm: bytes, stop: Callable[[], bool] = ..., *, logprobs: bool = ...
    ) -> Hypothesis | None:
        """The words in `pcm` (16 kHz); None when `stop` became true on the way."""


class _Run:
    """One job on its way through the pool."""

    def __init__(self, job: Job, ear: Ear, pool: WorkerPool, *, logprobs: bool) -> None:
        self.job = job
        self._logprobs = logprobs
        self._ear = ear
        self._pool = pool
        self._stopped = threading.Event()
        self._wanted = threading.Event()  # someone waits for this very result
        if job.kind != "partial":
            self._wanted.set()
        try:
            self.result = pool.submit(self._work, URGENCY[job.kind])
        except RuntimeError:
            raise ProviderError(CLOSED) from None

    def _work(self) -> Hypothesis | None:
        return self._ear.transcribe(self.job.pcm, self._in_the_way, logprobs=self._logprobs)

    def _in_the_way(self) -> bool:
        if self._wanted.is_set():
            return self._stopped.is_set()
        return self._stopped.is_set() or self._pool.waits(URGENCY["final"])

    def want(self) -> None:
        """Do not give way to others any more."""
        self._wanted.set()

    def stop(self) -> None:
        """Give it up: at once if it waits, at its next token if it runs. Nothing is waited for."""
        self._stopped.set()
        self.result.cancel()


class WindowedStt:
    """Implements `contracts.Stt` around a model.

    Deltas come when two successive hypotheses agree. A hypothesis is made at each pause of the speaker, at
    the latest every 1.2 s or what `delay` makes of that, and only while a thread is free: load costs deltas,
    it never delays finals. Probabilities come with the final, which is the only text that is sure to stay.
    """

    sample_rate = SAMPLE_RATE
    streaming = True

    def __init__(self, name: str, threads: int) -> None:
        """`name` is that of the threads. `aclose` ends them."""
        self._pool = WorkerPool(threads, name)

    def begin(self, options: SttOptions) -> Ear:
        """What hears one utterance; subclasses say."""
        raise NotImplementedError

    def step(self, options: SttOptions) -> int:
        """After how many samples of speech without a pause another look is taken."""
        return STEPS[options.delay]

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Yield deltas while `audio` comes in, then one final; closing it drops the work it has queued.

        Memory stays below a megabyte for live audio of any length. Raises `ProviderError` when inference
        fails.
        """
        ear = self.begin(options)
        utterance = Utterance(self.step(options))
        chunk: asyncio.Task[bytes | None] | None = asyncio.create_task(_next(audio))
        run: _Run | None = None
        try:
            while True:
                if run is None:
                    job = utterance.next_job(ended=chunk is None)
                    if job is None and chunk is None:
                        break
                    if job is not None and job.known is not None:
                        if delta := utterance.finished(job, job.known):
                            yield TranscriptDelta(delta)
                        continue
                    if job is not None and (job.kind != "partial" or self._pool.idle):
                        run = _Run(job, ear, self._pool, logprobs=options.logprobs)
                elif chunk is None and run.job.kind == "partial":
                    if utterance.covered(run.job):
                        run.want()
                    else:
                        run.stop()
                        run = None
                        continue

                waiting: list[asyncio.Future[Any]] = [] if chunk is None else [chunk]
                if run is not None:
                    waiting.append(run.result)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

                if run is not None and run.result.done():
                    heard, job, run = _result(run), run.job, None
                    if heard is not None:
                        if delta := utterance.finished(job, heard):
                            yield TranscriptDelta(delta)
                        yield TranscriptGuess(utterance.text)
                if chunk is not None and chunk.done():
                    pcm = chunk.result()
                    chunk = None if pcm is None else asyncio.create_task(_next(audio))
                    for start in range(0, len(pcm or b""), PIECE):
                        utterance.feed((pcm or b"")[start : start + PIECE])
                        if start:
                            await asyncio.sleep(0)
            delta, text = utterance.finish()
            if delta:
                yield TranscriptDelta(delta)
            yield TranscriptFinal(text, utterance.logprobs, utterance.languages)
        finally:
            if run is not None:
                run.stop()
            if chunk is not None:
                chunk.cancel()
                await asyncio.wait([chunk])
                if not chunk.cancelled():
                    chunk.exception()  # looked at, so that nobody logs it as lost: the stream is over anyway

    async def aclose(self) -> None:
        """End the threads, each after the inference that it is in."""
        await asyncio.to_thread(self._pool.close)


async def _next(audio: AsyncIterator[bytes]) -> bytes | None:
    return await anext(audio, None)


def _result(run: _Run) -> Hypothesis | None:
    try:
        return run.result.result()
    except asyncio.CancelledError:
        raise ProviderError(CLOSED) from None
    except Exception as error:
        raise ProviderError(f"transcription failed: {error}") from error
