"""Decides whether sound that begins while the assistant is heard is somebody who interrupts it.

    sound ──► long enough? ──► an echo? ──► only a backchannel? ──► an interruption
                  │ no             │ yes            │ yes
                  └────────────────┴────────────────┴──► dismissed, as if there had been nothing

Clients hear nothing of what is dismissed. What is found to be an interruption began when its sound began, so
not a word of it is lost.
"""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.core.state import State
from pipeline.effects import CheckEcho, ReportDismissal
from pipeline.ticks import TICKS_PER_MS

__all__ = ["Guard", "is_backchannel"]

# Two sounds with so much silence between them are two.
_GAP = 250 * TICKS_PER_MS
# The newest stretch of sound that is compared with what the assistant said, and how often it is.
_ECHO_WINDOW = 600 * TICKS_PER_MS
_ECHO_STEP = 200 * TICKS_PER_MS
_DOUBT_STEP = 96 * TICKS_PER_MS  # after which it is compared again, where it could not be told
# Whoever talks for longer than this has more to say than "yeah".
_BACKCHANNEL = 1000 * TICKS_PER_MS
# What was sent to the client is taken to be heard for this much longer than it lasts.
TAIL_S = 0.3

# fmt: off
_BACKCHANNELS = frozenset({
    "ah", "aha", "alright", "cool", "exactly", "fine", "good", "gotcha", "great", "hm", "hmm", "hmmm", "huh",
    "mhm", "mm", "mmhm", "mmm", "nice", "oh", "ok", "okay", "really", "right", "sure", "uh", "uhhuh", "uhuh",
    "um", "wow", "yea", "yeah", "yep", "yes", "yup",
    "ja", "genau", "sí", "si", "vale", "claro", "oui", "ouais", "d'accord", "sì", "certo", "sim", "pois",
})
# fmt: on
_PHRASES = frozenset({"i see", "got it", "of course", "uh huh", "mm hmm", "oh really", "i know", "ach so"})
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def is_backchannel(text: str) -> bool:
    """Whether these words only say that somebody is listening."""
    words = [word.casefold() for word in _WORDS.findall(text)]
    if not words or len(words) > 3:
        return not words
    return " ".join(words) in _PHRASES or all(word in _BACKCHANNELS for word in words)


@dataclass(slots=True)
class _Candidate:
    at: int  # tick at which the sound began, or what may be a person's part of it
    heard_from: int = 0  # tick at which all of it began
    speech: int = 0  # ticks of it that were speech
    end: int = 0  # of what has been judged
    asked: tuple[int, int] | None = None  # the stretch whose comparison is on its way
    checked: int = 0  # how much speech the last comparison knew of
    step: int = _ECHO_STEP  # how much more the next one is to know
    people: int = 0  # answers in a row that it is no echo
    was_echo: bool = False


Verdict = Literal["wait", "transcribe", "finish", "admit", "dismiss"]  # finish: have its last words as well


class Guard:
    """At most one candidate at a time, from the first frame of a sound until it is admitted or dismissed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._candidate: _Candidate | None = None

    @property
    def began(self) -> int | None:
        """The tick at which the candidate's sound began; None while there is none."""
        return self._candidate.at if self._candidate is not None else None

    @property
    def stands_by(self) -> bool:
        """Whether the assistant is heard, so that new sound has to prove itself."""
        state = self._state
        return state.now < state.playback.ends_at + TAIL_S and state.playback.ends_at > 0

    def begin(self, at: int) -> None:
        self._candidate = _Candidate(at, heard_from=at)

    def drop(self) -> None:
        """The candidate is gone, with the buffer that it was in."""
        self._candidate = None

    def hear(self, start: int, end: int, *, speech: bool) -> None:
        """One more frame was judged."""
        candidate = self._candidate
        assert candidate is not None
        candidate.end = end
        if speech:
            candidate.speech += end - start

    def compared(self, start: int, end: int, is_echo: bool | None) -> None:
        """The answer to `CheckEcho`."""
        candidate = self._candidate
        if candidate is None or candidate.asked != (start, end):
            return
        candidate.asked = None
        candidate.step = _DOUBT_STEP if is_echo is None else _ECHO_STEP
        if is_echo:
            candidate.was_echo, candidate.people = True, 0
            # All of it up to here was the assistant.
            candidate.at = max(candidate.at, end - _ECHO_STEP)
        elif is_echo is not None:
            candidate.people += 1

    def weigh(self, silent_since: int | None, text: str | None, *, complete: bool) -> Verdict:
        """What to do with the candidate. `text`: its words so far, if it is transcribed; `complete`: all."""
        candidate, options = self._candidate, self._state.turn_taking
        assert candidate is not None
        if not self.stands_by and not candidate.was_echo:
            return "admit"  # nobody can be interrupted any more
        over = silent_since is not None and candidate.end - silent_since >= _GAP
        if candidate.speech < options.min_interruption_ms * TICKS_PER_MS:
            return self._dismiss("short") if over else "wait"
        # In the middle of an echo one answer in a hundred is wrong, two in a row hardly ever are.
        if options.echo_guard and candidate.people < (2 if candidate.was_echo else 1):
            if candidate.asked is not None:
                return "wait"
            if over and candidate.checked:
                # What was too short to tell is taken for a person.
                return self._dismiss("echo") if candidate.was_echo else "admit"
            if candidate.speech - candidate.checked >= candidate.step or not candidate.checked:
                candidate.checked = candidate.speech
                candidate.asked = (max(candidate.heard_from, candidate.end - _ECHO_WINDOW), candidate.end)
                self._state.do(CheckEcho(*candidate.asked))
            return "wait"
        if not options.ignore_backchannels or candidate.speech >= _BACKCHANNEL:
            return "admit"
        if text and not is_backchannel(text):
            return "admit"
        if complete:
            return self._dismiss("backchannel")
        return "finish" if over else "transcribe"

    def _dismiss(self, reason: Literal["short", "echo", "backchannel"]) -> Verdict:
        candidate = self._candidate
        assert candidate is not None
        if candidate.was_echo:
            reason = "echo"
        start, end = candidate.at // TICKS_PER_MS, candidate.end // TICKS_PER_MS
        self._state.do(ReportDismissal(reason, start, end))
        self._candidate = None
        return "dismiss"
