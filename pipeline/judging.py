"""One judge of turns for the whole process: says by its sound how finished a turn is, off the event loop.

The model takes some 40 ms of one core, and batches do not make it cheaper, so judgements are made one after
the other in a thread of low priority: speech detection and voices must never wait for it. What cannot be
judged soon is not judged at all, since the pause will be over.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.audio.resample import resample
from providers.contracts import TurnModel

__all__ = ["Judgement", "TurnJudge"]

log = logging.getLogger(__name__)

_NICENESS = 5
_MAX_WAITING = 32  # judgements; more would come later than anybody waits
_STALE_S = 1.0  # a judgement that could not even begin in this time is left out


@dataclass(frozen=True, slots=True)
class Judgement:
    probability: float | None  # that the turn is over; None: it could not be judged
    inference_ms: float


_NONE = Judgement(None, 0.0)


class TurnJudge:
    """Use as a context manager. Without a model every judgement is that nobody knows."""

    def __init__(self, model: TurnModel | None) -> None:
        self._model = model
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="turns", initializer=_be_modest)
        self._waiting = 0

    def __enter__(self) -> "TurnJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def has_model(self) -> bool:
        return self._model is not None

    @property
    def window_seconds(self) -> float:
        """How much of the end of a turn is listened to."""
        return self._model.window_seconds if self._model is not None else 0.0

    async def judge(self, pcm: bytes, rate: int) -> Judgement:
        """How finished a turn sounds, from its PCM16 audio at `rate` Hertz, its pause included.

        Never raises: a turn that cannot be judged, or only too late, has no probability.
        """
        if self._model is None or self._waiting >= _MAX_WAITING:
            return _NONE
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._executor, self._run, self._model, pcm, rate, time.monotonic()
            )
        except Exception:  # one turn that cannot be judged must not cost the session more than that
            log.exception("a turn could not be judged")
            return _NONE
        finally:
            self._waiting -= 1

    def _run(self, model: TurnModel, pcm: bytes, rate: int, asked: float) -> Judgement:
        began = time.monotonic()
        if began - asked > _STALE_S:
            return _NONE
        probability = model.probability(resample(pcm, rate, model.sample_rate))
        return Judgement(probability, 1000 * (time.monotonic() - began))


def _be_modest() -> None:
    if sys.platform == "linux":  # where each thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
