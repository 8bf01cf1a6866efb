"""Finds speech and silence: speech probabilities in, the borders of speech out.

Time is counted in ticks of 1/16000 s of received audio, never read from a clock, so the same audio gives
the same borders however fast it arrives. The detector judges whole frames (32 ms), but the border that it
reports is exact to the tick: the end of the last speech frame plus the whole silence that was waited for.
"""

from dataclasses import dataclass

from pipeline.config import SemanticVad, ServerVad, TurnDetection
from pipeline.ticks import TICKS_PER_MS

__all__ = ["SpeechBegan", "SpeechEnded", "TurnDetector", "windows"]

# Once speech runs, it takes a clearly lower probability to call a frame silent: Silero's own recommendation,
# without which trailing consonants and breath cut a word in two.
_HYSTERESIS = 0.15
_LOWEST_THRESHOLD = 0.01

_SEMANTIC_PREFIX_MS = 200
_SEMANTIC_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    at: int  # tick, without prefix padding


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    at: int  # tick, silence included


@dataclass(frozen=True, slots=True)
class _Windows:
    threshold: float
    prefix: int  # ticks
    silence: int | None  # ticks; None: it depends on what was said


def windows(detection: TurnDetection) -> _Windows:
    """The numbers that a turn detection setting comes down to."""
    match detection:
        case ServerVad():
            return _Windows(
                detection.threshold,
                detection.prefix_padding_ms * TICKS_PER_MS,
                detection.silence_duration_ms * TICKS_PER_MS,
            )
        case SemanticVad():
            return _Windows(_SEMANTIC_THRESHOLD, _SEMANTIC_PREFIX_MS * TICKS_PER_MS, None)


class TurnDetector:
    """Two states, silent and speaking; settings may change between any two frames."""

    def __init__(self) -> None:
        self.speaking = False
        self.silent_since: int | None = None  # within a turn: the end of the last frame that was speech

    def reset(self) -> None:
        """Forget what was heard, as after a commit or a clear."""
        self.speaking = False
        self.silent_since = None

    def resume(self) -> None:
        """Speech has been going on, though nobody listened for it."""
        self.speaking = True
        self.silent_since = None

    def feed(self, start: int, end: int, probability: float, threshold: float) -> SpeechBegan | None:
        """Judge the frame [start, end)."""
        if probability >= threshold:
            self.silent_since = None
            if self.speaking:
                return None
            self.speaking = True
            return SpeechBegan(start)
        # A doubtful frame does not begin a silence, though it lets one go on.
        if (
            self.speaking
            and self.silent_since is None
            and probability < max(threshold - _HYSTERESIS, _LOWEST_THRESHOLD)
        ):
            self.silent_since = start
        return None

    def end_after(self, silence: int, judged: int, not_before: int = 0) -> SpeechEnded | None:
        """The end of the turn, if by tick `judged` it has been silent for `silence` ticks.

        `not_before`: the tick at which that was decided, where it was decided late.
        """
        if self.silent_since is None or judged - self.silent_since < silence:
            return None
        ended = SpeechEnded(max(self.silent_since + silence, not_before))
        self.reset()
        return ended
