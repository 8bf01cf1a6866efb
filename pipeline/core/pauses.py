"""What happens in the pauses of a turn: its sound is judged, suggestions are made, and its end is decided.

    speech ──► silence ──► judged ──► likely over: suggested ──► over
                  ▲                        │
                  └──── speech goes on ◄───┘ revoked

`server_vad` ends a turn by its silence window alone and only suggests earlier; `semantic_vad` ends it by what
`endpointing.decide` makes of the evidence.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.config import SemanticVad, TurnDetection
from pipeline.core.endpointing import Decision, Evidence, decide
from pipeline.core.state import State
from pipeline.core.transcripts import Transcripts, Utterance
from pipeline.core.turns import windows
from pipeline.effects import JudgeTurn, ReportTurnDecision
from pipeline.events import TurnSuggested, TurnSuggestionRevoked
from pipeline.extensions import extensions_of
from pipeline.ticks import TICKS_PER_MS

__all__ = ["Pauses"]

# Silence after which the sound of a turn is judged: as soon as the pause is longer than most between words.
# Once: in `benchmarks/turns` every further judgement of the same pause cuts more speakers off, without an
# answer that comes sooner. The model tells best what has just become silent.
CHECK_MS = 128
_WORTHWHILE = 64 * TICKS_PER_MS  # a judgement comes after some 50 ms; shortly before the end it is no use
_LEAD = 400 * TICKS_PER_MS  # of a new segment before the first speech in it: soft beginnings are found late


@dataclass(slots=True)
class _Pause:
    since: int  # tick
    asked_at: int | None = None  # the tick up to which it is judged, once that was asked for
    sound: float | None = None
    inference_ms: float = 0.0
    decision: Decision | None = None
    decided_at: int = 0  # tick
    suggested: bool = False
    drafted: bool = False  # its words were asked for, so that a reply can be prepared


class Pauses:
    """Looked at with each frame of a turn, and with each new piece of evidence."""

    def __init__(self, state: State, transcripts: Transcripts) -> None:
        self._state = state
        self._transcripts = transcripts
        self._pause: _Pause | None = None
        self.turns = 0  # that have ended

    @property
    def draft(self) -> tuple[str, str] | None:
        """The item and the words of a turn that has probably ended, once all of them are known."""
        utterance = self._transcripts.open
        if self._pause is None or not self._pause.drafted or utterance is None or not utterance.complete:
            return None
        return (utterance.item_id, utterance.text) if utterance.text else None

    def look(self, since: int, judged: int, detection: TurnDetection) -> tuple[int, int]:
        """The silence that will end the turn as things stand, and the tick at which that was decided.

        The turn has been silent since tick `since`, and was listened to up to tick `judged`.
        """
        utterance = self._transcripts.open
        assert utterance is not None
        pause = self._pause
        if pause is None or pause.since != since:
            pause = self._pause = _Pause(since)
        evidence = Evidence(
            silence_ms=(judged - since) // TICKS_PER_MS,
            speech_ms=(since - utterance.start) // TICKS_PER_MS,
            sound=pause.sound,
            engine=utterance.opinion,
            text=utterance.text,
        )
        decision = decide(evidence, detection.eagerness if isinstance(detection, SemanticVad) else "auto")
        before = pause.decision
        changed = before is None or (decision.wait_ms, decision.likely) != (before.wait_ms, before.likely)
        if changed:
            pause.decision, pause.decided_at = decision, judged
        fixed = windows(detection).silence
        wait = decision.wait_ms * TICKS_PER_MS if fixed is None else fixed
        over = judged - since >= wait
        if pause.suggested and not decision.likely:
            self._revoke(utterance, judged, detection, evidence)
        elif decision.likely and not pause.suggested and not over:
            self._suggest(pause, utterance, judged, detection, evidence)
        elif changed or over:
            self._report(utterance, "end" if over else "wait", judged, detection, evidence)
        if not over:
            self._draft(pause, judged, detection, decision)
            self._ask(pause, utterance, judged, wait)
        return wait, pause.decided_at if fixed is None else 0

    def judged(self, item_id: str, position: int, probability: float | None, inference_ms: float) -> None:
        """A judgement has come; it counts if the same pause still goes on."""
        pause, utterance = self._pause, self._transcripts.open
        if pause is None or pause.asked_at != position or utterance is None or utterance.item_id != item_id:
            return
        if probability is not None:
            pause.sound, pause.inference_ms = probability, inference_ms

    def resumed(self, at: int, detection: TurnDetection | None) -> None:
        """The speaker goes on at that tick, or at least is listened to as if."""
        pause, utterance = self._pause, self._transcripts.open
        if pause is None or utterance is None:
            return
        if pause.suggested and detection is not None:
            evidence = Evidence((at - pause.since) // TICKS_PER_MS, 0, pause.sound, None, utterance.text)
            self._revoke(utterance, at, detection, evidence)
        self._pause = None
        utterance.forget_opinion()
        if self._transcripts.segment_ended:
            self._transcripts.start_segment(max(at - _LEAD, pause.since))

    def ended(self) -> None:
        """The turn is over, however it came to that."""
        self.turns += 1
        self._pause = None

    def drop(self) -> None:
        """The turn is gone, as after a clear."""
        self._pause = None

    # --- steps ----------------------------------------------------------------------------------------

    def _ask(self, pause: _Pause, utterance: Utterance, judged: int, wait: int) -> None:
        if not self._state.turn_taking.has_turn_model or pause.asked_at is not None:
            return
        silence = judged - pause.since
        if silence >= CHECK_MS * TICKS_PER_MS and silence + _WORTHWHILE <= wait:
            pause.asked_at = judged
            self._state.do(JudgeTurn(utterance.item_id, utterance.start, judged))

    def _draft(self, pause: _Pause, judged: int, detection: TurnDetection, decision: Decision) -> None:
        mode = self._state.turn_taking.speculation
        answers = detection.create_response and self._state.config.type == "realtime"
        if pause.drafted or not answers or mode == "off":
            return
        always = mode == "always" and judged - pause.since >= CHECK_MS * TICKS_PER_MS
        if always or decision.likely:
            pause.drafted = True
            self._transcripts.end_segment(judged)

    def _suggest(
        self, pause: _Pause, utterance: Utterance, judged: int, detection: TurnDetection, evidence: Evidence
    ) -> None:
        pause.suggested = True
        if self._wants_events:
            probability = next(p for p in (pause.sound, evidence.engine, 0.5) if p is not None)
            suggested = TurnSuggested(
                utterance.item_id,
                self.turns,
                probability,
                evidence.silence_ms,
                (judged - utterance.start) // TICKS_PER_MS,
                pause.inference_ms,
            )
            self._state.emit(suggested)
        self._report(utterance, "suggest", judged, detection, evidence)

    def _revoke(
        self, utterance: Utterance, judged: int, detection: TurnDetection, evidence: Evidence
    ) -> None:
        assert self._pause is not None
        self._pause.suggested = self._pause.drafted = False
        if self._wants_events:
            self._state.emit(TurnSuggestionRevoked(utterance.item_id, self.turns))
        self._report(utterance, "revoke", judged, detection, evidence)

    @property
    def _wants_events(self) -> bool:
        """Whether clients hear of suggestions, which OpenAI does not have and some SDKs complain about."""
        state = self._state
        if not state.rules.suggestion_events:
            return False
        asked = extensions_of(state.config.provider_data)
        return state.turn_taking.suggestion_events or asked.turn_suggestions

    def _report(
        self,
        utterance: Utterance,
        outcome: Literal["wait", "suggest", "revoke", "end"],
        at: int,
        detection: TurnDetection,
        evidence: Evidence,
    ) -> None:
        decision = self._pause.decision if self._pause is not None else None
        self._state.do(
            ReportTurnDecision(
                utterance.item_id, detection.type, outcome, at // TICKS_PER_MS, evidence, decision
            )
        )
