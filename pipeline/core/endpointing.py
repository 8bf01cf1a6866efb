"""Decides in a pause whether the speaker has finished, from everything that is known about the turn.

Three witnesses are heard: how the turn sounds, what the transcription engine makes of it, and its words so
far. Each gives log odds that the turn is over; their sum is looked up in a table of waits. In log odds a
witness that does not know weighs nothing, two that agree strengthen each other, and because each is bounded
none of them alone can end a turn that another surely finds unfinished. Between the points of the table the
wait changes without a step, so that a small doubt costs a little time and never seconds.
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import exp, log

from pipeline.config import Eagerness
from pipeline.core.wording import CompleteCue, Wording, judge_wording
from pipeline.core.words import OpenCue

__all__ = ["MAX_WAITS_MS", "Decision", "Evidence", "decide"]

# The longest waits, as published for the protocol.
MAX_WAITS_MS: dict[Eagerness, int] = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}

# Waits in ms at these log odds (5 % over at -3, 18 % at -1.5, 50 % at 0, 82 % at 1.5, 92 % at 2.5), on a
# logarithmic scale in between. The longest is for what two witnesses find unfinished. Found with
# `benchmarks/turns`: to cut off as few, a plain silence window would have to be more than twice as long.
_STEPS = (-6.0, -3.0, -1.5, 0.0, 1.5, 2.5)
_WAITS: dict[Eagerness, tuple[int, ...]] = {
    "low": (MAX_WAITS_MS["low"], 5000, 2800, 900, 350, 250),
    "medium": (MAX_WAITS_MS["medium"], 2500, 1500, 600, 220, 170),
    "high": (MAX_WAITS_MS["high"], 1500, 900, 280, 190, 160),
}
# Where neither the sound nor an engine is known, the wait is that of a plain silence window.
_WAITS_BY_WORDS: dict[Eagerness, tuple[int, ...]] = {
    "low": (MAX_WAITS_MS["low"], 8000, 4000, 1600, 700, 350),
    "medium": (MAX_WAITS_MS["medium"], 4000, 2100, 1000, 420, 250),
    "high": (MAX_WAITS_MS["high"], 2000, 1150, 600, 300, 200),
}


def _logarithms(table: dict[Eagerness, tuple[int, ...]]) -> dict[Eagerness, tuple[float, ...]]:
    logarithms = {eagerness: tuple(map(log, waits)) for eagerness, waits in table.items()}
    return {**logarithms, "auto": logarithms["medium"]}


_LOG_WAITS, _LOG_WAITS_BY_WORDS = _logarithms(_WAITS), _logarithms(_WAITS_BY_WORDS)

# How far a witness can move the odds. For the sound, being sure that it is over counts for less than being
# sure that it is not: whole sentences in the middle of a turn sound finished, too.
_SOUND_BOUNDS = (-3.0, 2.5)
_ENGINE_BOUNDS = (-3.0, 3.0)
# The engine has heard the sound as well, so that sounding finished is only half news beside its opinion;
# sounding unfinished is a reason to doubt it.
_SOUND_BESIDE_ENGINE = 0.5

# What each kind of wording adds. Grammar that lacks a word is strong; a mark that a transcriber sets from a
# pause is weak.
_OPEN: dict[OpenCue, float] = {
    "conjunction": -3.0,
    "article": -3.0,
    "possessive": -3.0,
    "lead-in": -3.0,
    "question": -3.0,
    "digits": -3.0,
    "filler": -3.0,
    "degree": -2.5,
    "preposition": -2.5,
    "auxiliary": -2.5,
    "subject": -2.5,
    "condition": -2.0,
    "spelling": -2.0,
    "ellipsis": -2.0,
    "comma": -1.5,
    "dash": -1.5,
    "list": -1.0,
}
_COMPLETE: dict[CompleteCue, float] = {
    "answer": 1.5,
    "digits": 1.5,
    "question mark": 1.2,
    "exclamation mark": 0.8,
    "closing": 0.8,
    "clause": 0.4,
}
# Without another witness the words count for less: they trail the audio by some 100 to 300 ms.
_WORDS_ALONE = 0.6
_WORDS_ALONE_AFTER_MS = 320  # of silence, before they alone make an end likely: longer than they trail
# Nobody speaks this slowly: so few letters for so much speech are not yet all of the words.
_SLOWEST = 4 / 1000  # letters per ms
_UNSPOKEN_MS = 1000  # of speech at most that may be without words: breath, noise, a drawled syllable

_PHRASES: dict[OpenCue | CompleteCue, str] = {
    "conjunction": "ends with a conjunction",
    "preposition": "ends with a preposition",
    "article": "ends with an article",
    "possessive": "ends with a possessive",
    "auxiliary": "ends with an auxiliary",
    "subject": "ends with a subject",
    "degree": "ends with a qualifier",
    "filler": "ends with a filler",
    "lead-in": "ends with a lead-in",
    "question": "begins a question",
    "condition": "begins a condition",
    "list": "begins a list",
    "comma": "ends with a comma",
    "dash": "ends with a dash",
    "ellipsis": "ends with an ellipsis",
    "answer": "is a short answer",
    "question mark": "ends with a question mark",
    "exclamation mark": "ends with an exclamation mark",
    "closing": "ends with a closing",
    "clause": "is a whole clause",
}


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
    reason: str  # for logs: the evidence that decided, in a few words, but never the speaker's own


def decide(evidence: Evidence, eagerness: Eagerness) -> Decision:
    """The decision of `semantic_vad`; `auto` is `medium`. Never raises, and takes some 30 us."""
    wording = judge_wording(evidence.text) if evidence.text else None
    words = _odds_of_words(wording, evidence) if wording is not None else 0.0
    sound = None if evidence.sound is None else _odds(evidence.sound, _SOUND_BOUNDS)
    engine = None if evidence.engine is None else _odds(evidence.engine, _ENGINE_BOUNDS)
    alone = sound is None and engine is None
    total = words * (_WORDS_ALONE if alone else 1.0)
    if sound is not None:
        total += sound * (_SOUND_BESIDE_ENGINE if engine is not None and sound > 0.0 else 1.0)
    if engine is not None:
        total += engine
    likely = total >= 0.0 if not alone else total > 0.0 and evidence.silence_ms >= _WORDS_ALONE_AFTER_MS
    waits = (_LOG_WAITS_BY_WORDS if alone else _LOG_WAITS)[eagerness]
    return Decision(_wait(total, waits), likely, _reason(evidence, wording, words, total))


def _odds(probability: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    if not probability > 0.0:  # not a number counts as the cautious end
        return low
    return high if probability >= 1.0 else min(high, max(low, log(probability / (1.0 - probability))))


def _odds_of_words(wording: Wording, evidence: Evidence) -> float:
    if wording.kind == "open":
        return _OPEN[wording.cue]  # type: ignore[index]  # open wordings have a cue of that kind
    if wording.kind == "complete":
        assert evidence.text is not None
        spoken_ms = _UNSPOKEN_MS + len(evidence.text) / _SLOWEST
        # Whatever looks complete may be only the beginning while words are still missing.
        return _COMPLETE[wording.cue] if evidence.speech_ms <= spoken_ms else 0.0  # type: ignore[index]
    return 0.0


def _wait(total: float, waits: tuple[float, ...]) -> int:
    total = min(_STEPS[-1], max(_STEPS[0], total))
    above = min(bisect_right(_STEPS, total), len(_STEPS) - 1)
    share = (total - _STEPS[above - 1]) / (_STEPS[above] - _STEPS[above - 1])
    return round(exp(waits[above - 1] + share * (waits[above] - waits[above - 1])))


def _reason(evidence: Evidence, wording: Wording | None, words: float, total: float) -> str:
    """First what speaks for the decision, then what speaks against it."""
    told: list[tuple[bool, str]] = []
    if evidence.engine is not None:
        over = evidence.engine >= 0.5
        finds = "over" if over else "not over"
        told.append((over, f"the engine finds it {finds} ({evidence.engine:.2f})"))
    if evidence.sound is not None:
        over = evidence.sound >= 0.5
        told.append((over, f"sounds {'finished' if over else 'unfinished'} ({evidence.sound:.2f})"))
    if words and wording is not None:
        told.append((words > 0, _describe(wording)))
    decided = total >= 0.0
    pro = [text for over, text in told if over == decided]
    contra = [text for over, text in told if over != decided]
    reason = ", ".join(pro)
    if contra:
        reason += (", but " if pro else "") + ", ".join(contra)
    if evidence.sound is None and evidence.engine is None:
        return f"by silence, {reason}" if reason else "by silence"
    return reason


def _describe(wording: Wording) -> str:
    if wording.cue in ("digits", "spelling"):
        if wording.kind == "complete":
            return f"all digits are there ({wording.count})"
        return f"{'digits' if wording.cue == 'digits' else 'letters'} still coming ({wording.count})"
    assert wording.cue is not None
    quoted = f" ('{wording.words}')" if wording.words else ""
    return f"text {_PHRASES[wording.cue]}{quoted}"
