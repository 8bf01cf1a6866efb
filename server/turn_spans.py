"""What traces say of the user's turns: when each began and ended, what was decided in its pauses, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.effects import Effect, Emit, ReportTurnDecision
from pipeline.events import BufferCleared, BufferCommitted, IdleTimeout, SpeechStarted, SpeechStopped

__all__ = ["SpokenTurn", "TurnWatch"]

_MAX_DECISIONS = 100  # of one turn; a speaker pauses a little behind every other word
_MAX_TEXT = 200  # characters at the end of what had been said: that is where an end can be heard


@dataclass(slots=True)
class SpokenTurn:
    """One turn, from the first speech in it. Positions are milliseconds of the session's audio."""

    item_id: str
    start: float  # unix seconds
    start_ms: int
    end_ms: int | None = None  # None: the client ended it
    status: str = ""  # once it is over: ended, committed, cleared, or idle where nobody spoke
    detection: str | None = None
    left_out: int = 0
    _decisions: list[ReportTurnDecision] = field(default_factory=list)

    def decided(self, report: ReportTurnDecision) -> None:
        """Keep a decision; of too many, those go first that changed nothing."""
        self.detection = report.detection
        self._decisions.append(report)
        if len(self._decisions) > _MAX_DECISIONS:
            waits = (index for index, old in enumerate(self._decisions) if old.outcome == "wait")
            del self._decisions[next(waits, 0)]
            self.left_out += 1

    @property
    def reason(self) -> str | None:
        """What decided in the end."""
        last = self._decisions[-1] if self._decisions else None
        return last.decision.reason if last is not None and last.decision is not None else None

    def members(self, *, content: bool) -> dict[str, Any]:
        """What the span of a turn has beyond other spans. `content`: whether to show what was said."""
        return {
            "detection": self.detection,
            "audio_start_ms": self.start_ms,
            "audio_end_ms": self.end_ms,
            "decisions": [_shown(report, content) for report in self._decisions],
            "decisions_left_out": self.left_out,
        }


class TurnWatch:
    """Follows one session; there is at most one turn at a time."""

    def __init__(self) -> None:
        self._turn: SpokenTurn | None = None

    def saw(self, effect: Effect, now: float) -> SpokenTurn | None:
        """Note what happens at that moment, in unix seconds; return a turn that is over by it."""
        match effect:
            case Emit(SpeechStarted(item_id, start_ms)):
                self._turn = SpokenTurn(item_id, now, start_ms)
            case ReportTurnDecision(item_id) if self._turn is not None and self._turn.item_id == item_id:
                self._turn.decided(effect)
            case Emit(IdleTimeout(item_id, start_ms, end_ms)):
                start = now - (end_ms - start_ms) / 1000
                self._turn = SpokenTurn(item_id, start, start_ms, end_ms, status="idle")
            case Emit(SpeechStopped(_, end_ms)) if self._turn is not None:
                self._turn.end_ms = end_ms
            case Emit(BufferCommitted(item_id)) if self._turn is not None and self._turn.item_id == item_id:
                return self._over("committed" if self._turn.end_ms is None else "ended")
            case Emit(BufferCleared()) if self._turn is not None:
                return self._over("cleared")
        return None

    def _over(self, status: str) -> SpokenTurn:
        turn, self._turn = self._turn, None
        assert turn is not None
        turn.status = turn.status or status
        return turn


def _shown(report: ReportTurnDecision, content: bool) -> Mapping[str, Any]:
    known, decision = report.evidence, report.decision
    return {
        "at_ms": report.at_ms,
        "outcome": report.outcome,
        "silence_ms": known.silence_ms,
        "speech_ms": known.speech_ms,
        "sound": None if known.sound is None else round(known.sound, 4),
        "engine": None if known.engine is None else round(known.engine, 4),
        # `server_vad` waits for its own silence, whatever the evidence says.
        "wait_ms": decision.wait_ms if decision and report.detection == "semantic_vad" else None,
        "reason": None if decision is None else decision.reason,
        **({"text": known.text and known.text[-_MAX_TEXT:]} if content else {}),
    }
