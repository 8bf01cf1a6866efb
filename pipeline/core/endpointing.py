"""Decides in a pause whether the speaker has finished, from everything that is known about the turn."""

from dataclasses import dataclass

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


def decide(evidence: Evidence, eagerness: Eagerness) -> Decision:
    """The decision of `semantic_vad`."""
    wait = {"low": 1600, "medium": 1000, "auto": 1000, "high": 600}[eagerness]
    likely = evidence.sound is not None and evidence.sound >= 0.5
    return Decision(wait, likely, "by silence")
