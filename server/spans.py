"""The spans of one session: what its traces say of each turn, response, transcription and function call.

A session's `tracing` is null (no spans), "auto", or an object whose workflow name, group id and metadata go
into its spans. It is looked at when a span ends, so a client may switch it on at any time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.effects import (
    DropUtterance,
    Effect,
    Emit,
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    StartGeneration,
    StartUtterance,
    TranscribeClip,
)
from pipeline.events import (
    Event,
    ItemAdded,
    OutputItemDone,
    ResponseCreated,
    ResponseDone,
    ResponseState,
    SessionCreated,
    SessionUpdated,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
)
from pipeline.items import FunctionCall, FunctionCallOutput, MessageItem, OutputAudio, OutputText
from providers.contracts import RouteTaken
from server.turn_spans import SpokenTurn, TurnWatch

__all__ = ["SessionTracer"]

_WORKFLOW = "realtime"  # where the client leaves the name to us
_MAX_OPEN = 1000  # spans in one session; of what never ends the oldest is given up


@dataclass(slots=True)
class _Open:
    """A span that has begun. Times are unix seconds."""

    kind: str
    id: str
    start: float
    model: str | None = None
    first_output: float | None = None
    call: FunctionCall | None = None
    prepared_ms: float | None = None  # a response: for how long it had been prepared before it was wanted


class SessionTracer:
    """An observer of one session. `clock` gives unix seconds that never jump."""

    def __init__(
        self,
        session_id: str,
        write: Callable[[Mapping[str, Any]], None],
        *,
        content: bool,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._session_id = session_id
        self._write = write
        self._content = content  # whether what people and models said is written
        self._clock = clock or _steady_clock()
        self._tracing: Any = None
        self._open: dict[str, _Open] = {}  # by the id of the response, of the item that is heard, of the call
        self._prepared: _Open | None = None  # a response that is prepared, and that nobody knows of yet
        self._turns = TurnWatch()

    def close(self) -> None:
        """The session is over: functions that were called and did not answer are told of as well."""
        for span in list(self._open.values()):
            if span.call is not None:
                self._end_call(span, "unanswered", ())

    def saw(self, effect: Effect) -> None:
        """Note what begins, and write what ends."""
        if (turn := self._turns.saw(effect, self._clock())) is not None:
            self._end_turn(turn)
        match effect:
            case Emit(event):
                self._heard(event)
            case StartGeneration(response_id, model, speculative=True):
                self._prepared = _Open("speculation", response_id, self._clock(), model)
            case StartGeneration(response_id, model):
                if span := self._open.get(response_id):
                    span.model = model
            case ReportFirstOutput(response_id):
                self._first_output(response_id)
            case StartUtterance(segment=segment) if segment > 0:
                pass  # more of an utterance that is being transcribed
            case StartUtterance(item_id=item_id, model=model) | TranscribeClip(item_id=item_id, model=model):
                self._begin(_Open("transcription", item_id, self._clock(), model))
            case DropUtterance(item_id):
                self._open.pop(item_id, None)
            case ReportSpeculation(response_id, outcome, seconds):
                self._end_speculation(response_id, outcome, seconds)
            case ReportDismissal(reason, start_ms, end_ms):
                self._dismissed(reason, start_ms, end_ms)
            case ReportRoute(stage, subject_id, route):
                self._routed(stage, subject_id, route)
            case ReportToolCall(response_id, tool, outcome, seconds):
                span = _Open("tool", response_id, self._clock() - seconds)
                self._write_span(span, outcome, [], {}, tool=tool)

    def _heard(self, event: Event) -> None:
        match event:
            case SessionCreated(config) | SessionUpdated(config):
                self._tracing = config.tracing
            case ResponseCreated(response):
                self._begin(_Open("response", response.id, self._clock()))
            case ResponseDone(response):
                self._end_response(response)
            case TranscriptionDelta(item_id):
                self._first_output(item_id)
            case TranscriptionCompleted(item_id, transcript, seconds):
                said = {"transcript": transcript}
                self._end_transcription(item_id, "completed", said, usage={"seconds": round(seconds, 3)})
            case TranscriptionFailed(item_id, code):
                self._end_transcription(item_id, "failed", {}, reason=code)
            case OutputItemDone(response_id, _, FunctionCall() as call) if call.status == "completed":
                model = self._open[response_id].model if response_id in self._open else None
                self._begin(_Open("function_call", call.call_id, self._clock(), model, call=call))
            case ItemAdded(FunctionCallOutput() as answer):
                if (span := self._open.get(answer.call_id)) is not None and span.call is not None:
                    self._end_call(span, "completed", (answer.id,), answer.output)

    # --- spans ----------------------------------------------------------------------------------------

    def _begin(self, span: _Open) -> None:
        self._open[span.id] = span
        if len(self._open) > _MAX_OPEN:
            del self._open[next(iter(self._open))]

    def _first_output(self, id: str) -> None:
        span = self._open.get(id)
        if span is not None and span.first_output is None:
            span.first_output = self._clock()

    def _end_response(self, response: ResponseState) -> None:
        if (span := self._open.get(response.id)) is None:
            return
        members: dict[str, Any] = {"prepared_ms": span.prepared_ms}
        if response.usage is not None:
            members["usage"] = {
                "input_tokens": response.usage.input_tokens,
                "output_tokens": response.usage.output_tokens,
                "cached_tokens": response.usage.cached_tokens,
            }
        if response.details is not None:
            members["reason"] = response.details.reason or response.details.code
        self._end(
            span, response.status, [item.id for item in response.output], {"text": _text(response)}, **members
        )

    def _end_transcription(self, item_id: str, status: str, said: Mapping[str, str], **members: Any) -> None:
        if (span := self._open.get(item_id)) is not None:
            self._end(span, status, [item_id], said, **members)

    def _end_call(
        self, span: _Open, status: str, answers: tuple[str, ...], output: str | None = None
    ) -> None:
        call = span.call
        assert call is not None
        said = {"arguments": call.arguments, "output": output}
        self._end(span, status, [call.id, *answers], said, name=call.name)

    def _end_speculation(self, response_id: str, outcome: str, seconds: float) -> None:
        """What was used is told with its response; what was dropped has cost something all the same."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return
        if outcome != "used":
            self._write_span(prepared, outcome, [], {})
        elif (span := self._open.get(response_id)) is not None:
            span.model, span.prepared_ms = prepared.model, round(1000 * seconds, 1)

    def _end_turn(self, turn: SpokenTurn) -> None:
        span = _Open("turn", turn.item_id, turn.start)
        members = turn.members(content=self._content)
        self._write_span(span, turn.status, [turn.item_id], {}, reason=turn.reason, **members)

    def _dismissed(self, reason: str, start_ms: int, end_ms: int) -> None:
        span = _Open("dismissal", "", self._clock() - (end_ms - start_ms) / 1000)
        where = {"id": None, "audio_start_ms": start_ms, "audio_end_ms": end_ms}
        self._write_span(span, "dismissed", [], {}, reason=reason, **where)

    def _routed(self, stage: str, subject_id: str, route: RouteTaken) -> None:
        attempts = [
            {"model": attempt.model, "error": attempt.error, "seconds": round(attempt.seconds, 3)}
            for attempt in route.attempts
        ]
        tried = sum(attempt.seconds for attempt in route.attempts)
        self._write_span(
            _Open("route", subject_id, self._clock() - tried, route.model),
            "completed",
            [],
            {},
            reason=route.reason,
            stage=stage,
            router=route.router,
            route=route.route,
            variant=route.variant,
            attempts=attempts,
        )

    def _end(
        self, span: _Open, status: str, items: list[str], said: Mapping[str, str | None], **members: Any
    ) -> None:
        del self._open[span.id]
        self._write_span(span, status, items, said, **members)

    def _write_span(
        self, span: _Open, status: str, items: list[str], said: Mapping[str, str | None], **members: Any
    ) -> None:
        if self._tracing is None:
            return
        tracing = self._tracing if isinstance(self._tracing, Mapping) else {}
        now = self._clock()
        first = span.first_output
        self._write(
            {
                "trace_id": tracing.get("group_id") or self._session_id,
                "workflow_name": tracing.get("workflow_name") or _WORKFLOW,
                "metadata": tracing.get("metadata"),
                "session_id": self._session_id,
                "kind": span.kind,
                "id": span.id,
                "model": span.model,
                "status": status,
                "reason": None,  # why it did not complete, or what decided
                "start": round(span.start, 3),
                "end": round(now, 3),
                "duration_ms": round(1000 * (now - span.start), 1),
                "first_output_ms": None if first is None else round(1000 * (first - span.start), 1),
                "usage": None,
                "item_ids": items,
                **members,
                **(said if self._content else {}),
            }
        )


def _text(response: ResponseState) -> str:
    parts = [part for item in response.output if isinstance(item, MessageItem) for part in item.content]
    said = [part.text for part in parts if isinstance(part, OutputText)]
    return "".join(said + [part.transcript or "" for part in parts if isinstance(part, OutputAudio)])


def _steady_clock() -> Callable[[], float]:
    """Unix seconds as they are now, and from then on without the corrections of the machine's clock."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
