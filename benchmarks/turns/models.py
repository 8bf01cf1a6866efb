"""What the models make of the corpus, each question asked once and its answer kept on disk.

So the decisions of a turn detector can be replayed within seconds, with other thresholds as often as
wanted. How long a model would have taken is not measured but modelled, on the clock of the audio: results are
the same on a busy machine.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from benchmarks.turns.corpus import Clip
from providers.contracts import VadFrame
from providers.errors import ProviderError
from providers.stt.moonshine_model import Hypothesis, MoonshineModel
from providers.turn.smart_turn import SmartTurn
from providers.vad.silero import SileroVad

__all__ = ["JUDGE_MS", "VAD_MS", "Ear", "stt_ms"]

_FRAME_BYTES = 1024
_STREAMS = 32  # scored together

# On one core of a small server.
VAD_MS = 5.0  # from the end of a frame until its score is known: it waits 4 ms for company
JUDGE_MS = 40.0  # of Smart Turn, its features included


def stt_ms(pcm: bytes) -> float:
    """How long Moonshine tiny works on a stretch of audio: 30 / 60 / 155 ms for 1.5 / 3 / 8 s."""
    return 10.0 + 18.0 * len(pcm) / 32_000


class Ear:
    """Silero, Smart Turn and Moonshine behind one memory. Use `save` at the end."""

    def __init__(self, memory: Path, weights: Path | None = None) -> None:
        """`memory`: a JSON file, made if need be. `weights`: of Smart Turn; None: as installed."""
        self._file = memory
        self._weights = weights
        self._known: dict[str, object] = json.loads(memory.read_text()) if memory.exists() else {}
        self._changed = False
        self.asked = 0  # questions that a model had to answer

    @cached_property
    def _turn(self) -> SmartTurn:
        return SmartTurn(self._weights)

    @cached_property
    def _stt(self) -> MoonshineModel:
        return MoonshineModel()

    @property
    def has_turn_model(self) -> bool:
        try:
            return self._turn is not None
        except ProviderError:
            return False

    def save(self) -> None:
        """Keep all answers for the next run."""
        if self._changed:
            making = self._file.with_suffix(".new")
            making.write_text(json.dumps(self._known))
            making.replace(self._file)
            self._changed = False

    def listen(self, clips: Sequence[Clip], progress: Callable[[int], None] = lambda done: None) -> None:
        """Score all frames of these clips, many clips at once; `progress` is told how many are done."""
        waiting = [clip for clip in clips if _key("vad", clip.pcm) not in self._known]
        progress(len(clips) - len(waiting))
        for first in range(0, len(waiting), _STREAMS):
            self._listen(waiting[first : first + _STREAMS])
            progress(min(_STREAMS, len(waiting) - first))

    def _listen(self, clips: Sequence[Clip]) -> None:
        vad = SileroVad()
        streams = [vad.new_stream() for _ in clips]
        scores: list[list[float]] = [[] for _ in clips]
        for at in range(0, max(len(clip.pcm) for clip in clips) - _FRAME_BYTES + 1, _FRAME_BYTES):
            alive = [index for index, clip in enumerate(clips) if at + _FRAME_BYTES <= len(clip.pcm)]
            frames = [VadFrame(streams[index], clips[index].pcm[at : at + _FRAME_BYTES]) for index in alive]
            for index, score in zip(alive, vad.infer(frames), strict=True):
                scores[index].append(round(score, 4))
        for clip, series in zip(clips, scores, strict=True):
            self._remember(_key("vad", clip.pcm), series)

    def frames(self, clip: Clip) -> list[float]:
        """The speech probability of each 32 ms."""
        key = _key("vad", clip.pcm)
        if key not in self._known:
            self._listen([clip])
        series = self._known[key]
        assert isinstance(series, list)
        return series

    def finished(self, pcm: bytes) -> float:
        """How finished a turn sounds (0..1)."""
        heard = pcm[-2 * 16_000 * 8 :]
        key = _key("turn", heard)
        if key not in self._known:
            self._remember(key, round(self._turn.probability(heard), 4))
        probability = self._known[key]
        assert isinstance(probability, float)
        return probability

    def words(self, pcm: bytes) -> Hypothesis:
        """What is said in a stretch of audio."""
        key = _key("stt", pcm)
        if key not in self._known:
            heard = self._stt.transcribe(pcm)
            assert heard is not None
            self._remember(key, heard.text)
        return Hypothesis(str(self._known[key]))

    def _remember(self, key: str, answer: object) -> None:
        self._known[key] = answer
        self._changed = True
        self.asked += 1


def _key(model: str, pcm: bytes) -> str:
    return f"{model} {hashlib.blake2b(pcm, digest_size=12).hexdigest()}"
