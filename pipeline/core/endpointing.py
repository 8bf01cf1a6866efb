"""Decides in a pause whether the speaker has finished, from everything that is known about the turn.

Three witnesses are heard: how the turn sounds, what the transcription engine makes of it, and its words so
far. The first two are probabilities; the words move them up or down. What comes out says how much silence
ends the turn: little when it is surely over, the longest wait when it surely is not, and in between without a
step, so that a small doubt costs a little time and never seconds.
"""

from dataclasses import dataclass
from math import exp, log

from pipeline.config import Eagerness

__all__ = ["Decision", "Evidence", "decide"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a pause, at some moment of it."""

    silence_ms: int  # so far
    speech_ms: int  # of the turn, from its first speech to the pause
    sound: float | None = None  # how finished the turn sounds (0..1); None: not judged (yet)
    engine: float | None = None  # how finished the transcription engine finds it (0..1); None: it did not say
    text: str | None = None  # the words so far; None: not known (yet)


@dataclass(frozen=True, slots=True)
class Decision:
    """How much silence ends the turn, as things stand."""

    wait_ms: int
    likely: bool  # the speaker has probably finished: worth a suggestion, and a reply prepared in advance
    reason: str  # for logs: the evidence that decided, in a few words


@dataclass(frozen=True, slots=True)
class _Patience:
    """The waits of one eagerness, in ms of silence."""

    shortest: int  # when it is sure that the turn is over
    longest: int  # whatever is said; the published maximum
    unheard: int  # when nobody could judge the sound


_PATIENCE = {
    "high": _Patience(200, 2000, 600),
    "medium": _Patience(250, 4000, 1000),
    "low": _Patience(400, 8000, 1600),
}
# Probabilities outside of these are as good as certain.
_SURELY_OVER, _SURELY_OPEN = 0.9, 0.05


def decide(evidence: Evidence, eagerness: Eagerness) -> Decision:
    """The decision of `semantic_vad`."""
    patience = _PATIENCE["medium" if eagerness == "auto" else eagerness]
    known = [p for p in (evidence.sound, evidence.engine) if p is not None]
    if not known:
        return Decision(patience.unheard, likely=False, reason="nobody judged how it sounds")
    over = _logistic(sum(map(_logit, known)) / len(known))
    doubt = (_SURELY_OVER - over) / (_SURELY_OVER - _SURELY_OPEN)
    doubt = min(1.0, max(0.0, doubt))
    wait = exp(log(patience.shortest) + doubt * log(patience.longest / patience.shortest))
    sounds = "finished" if over >= 0.5 else "unfinished"
    return Decision(round(wait), over >= 0.5, f"sounds {sounds} ({over:.2f})")


def _logit(probability: float) -> float:
    clipped = min(0.99, max(0.01, probability))
    return log(clipped / (1 - clipped))


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value))
