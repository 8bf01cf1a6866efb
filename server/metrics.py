"""What the server counts for operators, in the format of Prometheus.

Sessions are watched from outside: a `Metrics` is an observer that all of them share. Labels take few values,
and none that a client could choose; codes are those of the errors that we define.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from pipeline.effects import (
    Effect,
    Emit,
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    ReportTurnDecision,
)
from pipeline.events import (
    BufferCommitted,
    ErrorRaised,
    ResponseDone,
    TranscriptionCompleted,
    TranscriptionFailed,
)

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# From one that nobody notices to one that nobody waits for, in seconds.
_WAITS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)

_MAX_SUGGESTED = 10_000  # turns that may be over; those that were never committed are forgotten in time

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which nobody reads


class Metrics:
    """Counts; safe to be told things in any thread. An observer of sessions."""

    def __init__(self) -> None:
        # One of its own: several servers may run in one process.
        self._registry = registry = CollectorRegistry()
        kinds = ("dialect", "profile", "type")
        self._active = Gauge("parley_sessions_active", "Open sessions.", kinds, registry=registry)
        self._sessions = Counter("parley_sessions", "Sessions since the start.", kinds, registry=registry)
        self._ended = Counter(
            "parley_sessions_ended", "Sessions, by why they ended.", ["reason"], registry=registry
        )
        self._refused = Counter(
            "parley_admissions_refused", "Connections that were turned away.", ["code"], registry=registry
        )
        self._responses = Counter(
            "parley_responses", "Responses, by how they ended.", ["status"], registry=registry
        )
        self._first_output = Histogram(
            "parley_first_output_seconds",
            "From the wish for a response, or the end of the turn, to its first text.",
            buckets=_WAITS,
            registry=registry,
        )
        self._tokens = Counter(
            "parley_tokens", "Tokens that language models read and wrote.", ["direction"], registry=registry
        )
        self._transcriptions = Counter(
            "parley_transcriptions", "Transcripts of speech.", ["outcome"], registry=registry
        )
        self._decisions = Counter(
            "parley_turn_decisions",
            "What was decided in the pauses of speakers.",
            ["detection", "outcome"],
            registry=registry,
        )
        self._suggestions = Counter(
            "parley_turn_suggestions", "Turns found to be probably over.", ["outcome"], registry=registry
        )
        self._suggested: dict[str, None] = {}  # the items of such turns, as long as they are not over
        self._speculations = Counter(
            "parley_speculations", "Replies prepared in advance.", ["outcome"], registry=registry
        )
        self._speculation_seconds = Counter(
            "parley_speculation_seconds",
            "Time for which replies had been prepared in advance.",
            ["outcome"],
            registry=registry,
        )
        self._dismissed = Counter(
            "parley_interruptions_dismissed",
            "Sounds that did not interrupt the assistant.",
            ["reason"],
            registry=registry,
        )
        self._routed = Counter(
            "parley_routed", "What routers sent on.", ["stage", "router", "model"], registry=registry
        )
        self._route_failures = Counter(
            "parley_route_failures",
            "Models that a router gave up before one answered.",
            ["stage", "model", "code"],
            registry=registry,
        )
        self._tool_calls = Counter(
            "parley_tool_calls",
            "Calls that the server made for language models.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._tool_seconds = Counter(
            "parley_tool_seconds", "Time that such calls took.", ["kind", "outcome"], registry=registry
        )
        self._errors = Counter(
            "parley_errors", "Errors that clients were told of.", ["where", "code"], registry=registry
        )
        self._ignored = Counter(
            "parley_ignored_members", "Members of client events that nobody understood.", registry=registry
        )
        self._quota_refusals = Counter(
            "parley_quota_refusals", "What was refused for want of quota.", ["quota"], registry=registry
        )
        self._dropped_spans = Counter(
            "parley_trace_spans_dropped", "Spans of traces that could not be written.", registry=registry
        )

    def text(self) -> bytes:
        """Everything, as `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    # --- sessions -------------------------------------------------------------------------------------

    @contextmanager
    def session(self, dialect: str, profile: str, type: str) -> Iterator[None]:
        """Count a session while it lasts; leaving by an exception is an end as well."""
        self._sessions.labels(dialect, profile, type).inc()
        with self._active.labels(dialect, profile, type).track_inprogress():
            try:
                yield
            except BaseException:
                self.session_ended("failed")
                raise

    def session_ended(self, reason: str) -> None:
        self._ended.labels(reason).inc()

    def saw(self, effect: Effect) -> None:
        """Count what happens in a session."""
        match effect:
            case Emit(ResponseDone(response)):
                self._responses.labels(response.status).inc()
                if response.usage is not None:
                    self._tokens.labels("input").inc(response.usage.input_tokens)
                    self._tokens.labels("output").inc(response.usage.output_tokens)
                if response.details is not None and response.details.code is not None:
                    self._error("response", response.details.code)
            case Emit(TranscriptionCompleted()):
                self._transcriptions.labels("completed").inc()
            case Emit(TranscriptionFailed(_, code)):
                self._transcriptions.labels("failed").inc()
                self._error("transcription", code)
            case Emit(ErrorRaised(error)):
                self._error("event", error.code)
            case Emit(BufferCommitted(item_id)):
                if item_id in self._suggested:
                    self._settle(item_id, "confirmed")
            case ReportTurnDecision(item_id, detection, outcome):
                self._decisions.labels(detection, outcome).inc()
                if outcome == "suggest":
                    self._suggested[item_id] = None
                    if len(self._suggested) > _MAX_SUGGESTED:
                        del self._suggested[next(iter(self._suggested))]
                elif outcome == "revoke":
                    self._settle(item_id, "revoked")
            case ReportSpeculation(_, outcome, seconds):
                self._speculations.labels(outcome).inc()
                self._speculation_seconds.labels(outcome).inc(seconds)
            case ReportDismissal(reason):
                self._dismissed.labels(reason).inc()
            case ReportRoute(stage, _, route):
                self._routed.labels(stage, route.router, route.model).inc()
                for attempt in route.attempts:
                    if attempt.error is not None:
                        self._route_failures.labels(stage, attempt.model, attempt.error).inc()
            case ReportToolCall(_, tool, outcome, seconds):
                kind = tool.partition("/")[0]  # labels and names are the clients' own, and may be many
                self._tool_calls.labels(kind, outcome).inc()
                self._tool_seconds.labels(kind, outcome).inc(seconds)
            case ReportFirstOutput(_, seconds):
                self._first_output.observe(seconds)

    def _settle(self, item_id: str, outcome: str) -> None:
        """It is known now whether a turn was over that was said to be."""
        self._suggested.pop(item_id, None)
        self._suggestions.labels(outcome).inc()

    def _error(self, where: str, code: str | None) -> None:
        self._errors.labels(where, code or "server_error").inc()

    # --- what happens beside them ---------------------------------------------------------------------

    def admission_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def quota_refused(self, quota: str) -> None:
        self._quota_refusals.labels(quota).inc()

    def ignored_member(self) -> None:
        self._ignored.inc()

    def span_dropped(self) -> None:
        self._dropped_spans.inc()
