"""Turn detection by silence: speech probabilities in, the borders of speech out.

Time is counted in ticks of 1/16000 s of received audio, never read from a clock, so the same audio gives
the same borders however fast it arrives. The detector judges whole frames (32 ms), but the border that it
reports is exact to the tick: the end of the last speech frame plus the whole silence window.
"""

from dataclasses import dataclass

from pipeline.config import SemanticVad, ServerVad, TurnDetection
from pipeline.ticks import TICKS_PER_MS

__all__ = ["SpeechBegan", "SpeechEnded", "TurnDetector", "windows"]

# Once speech runs, it takes a clearly lower probability to call a frame silent: Silero's own recommendation,
# without which trailing consonants and breath cut a word in two.
_HYSTERESIS = 0.15
_LOWEST_THRESHOLD = 0.01

# Until a model judges whether a sentence is complete, semantic_vad waits for a pause as long as its
# eagerness suggests. All stay well below the documented maximum waits of 8, 4 and 2 s.
_SEMANTIC_PAUSE_MS = {"low": 1600, "medium": 1000, "auto": 1000, "high": 600}
_SEMANTIC_PREFIX_MS = 200
_SEMANTIC_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    at: int  # tick, without prefix padding


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    at: int  # tick, silence window included


@dataclass(frozen=True, slots=True)
class _Windows:
    threshold: float
    prefix: int  # ticks
    silence: int  # ticks


def windows(detection: TurnDetection) -> _Windows:
    """The three numbers that a turn detection setting comes down to."""
    match detection:
        case ServerVad():
            return _Windows(
                detection.threshold,
                detection.prefix_padding_ms * TICKS_PER_MS,
                detection.silence_duration_ms * TICKS_PER_MS,
            )
        case SemanticVad():
            return _Windows(
                _SEMANTIC_THRESHOLD,
                _SEMANTIC_PREFIX_MS * TICKS_PER_MS,
                _SEMANTIC_PAUSE_MS[detection.eagerness] * TICKS_PER_MS,
            )


class TurnDetector:
    """Two states, silent and speaking; settings may change between any two frames."""

    def __init__(self) -> None:
        self.speaking = False
        self._silent_since: int | None = None  # the end of the last frame that was speech

    def reset(self) -> None:
        """Forget what was heard, as after a commit or a clear."""
        self.speaking = False
        self._silent_since = None

    def feed(
        self, start: int, end: int, probability: float, detection: TurnDetection
    ) -> SpeechBegan | SpeechEnded | None:
        """Judge the frame [start, end)."""
        limits = windows(detection)
        if probability >= limits.threshold:
            self._silent_since = None
            if self.speaking:
                return None
            self.speaking = True
            return SpeechBegan(start)
        if not self.speaking:
            return None
        if self._silent_since is None:
            if probability >= max(limits.threshold - _HYSTERESIS, _LOWEST_THRESHOLD):
                return None  # a doubtful frame does not begin a silence, though it lets one go on
            self._silent_since = start
        if end - self._silent_since < limits.silence:
            return None
        ended = SpeechEnded(self._silent_since + limits.silence)
        self.reset()
        return ended
