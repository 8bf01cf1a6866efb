"""Writes what the engine reports of its decisions into the log, a line each."""

import logging

from pipeline.effects import (
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    ReportTruncation,
    ReportTurnDecision,
)

__all__ = ["Report", "log_report"]

log = logging.getLogger("pipeline.session")

Report = (
    ReportTurnDecision
    | ReportDismissal
    | ReportSpeculation
    | ReportRoute
    | ReportFirstOutput
    | ReportTruncation
    | ReportToolCall
)


def log_report(session_id: str, report: Report) -> None:
    """One line, at the level that it deserves."""
    match report:
        case ReportTurnDecision():
            _log_decision(session_id, report)
        case ReportDismissal(reason, start, end):
            log.info("session %s: sound at %d-%d ms interrupts nobody: %s", session_id, start, end, reason)
        case ReportSpeculation(response_id, outcome, seconds):
            log.info("session %s: %s, prepared for %.2f s: %s", session_id, response_id, seconds, outcome)
        case ReportRoute(stage, subject_id, route):
            level = logging.INFO if len(route.attempts) < 2 else logging.WARNING
            log.log(
                level,
                "session %s: %s of %s by %s (%s/%s/%s): %s",
                session_id,
                stage,
                subject_id,
                route.model,
                route.router,
                route.route,
                route.variant,
                route.reason,
            )
        case ReportFirstOutput(response_id, seconds):
            log.info("session %s: %s answers after %.0f ms", session_id, response_id, 1000 * seconds)
        case ReportToolCall(response_id, tool, outcome, seconds):
            log.info("session %s: %s called %s: %s, %.2f s", session_id, response_id, tool, outcome, seconds)
        case ReportTruncation(response_id, items, tokens):
            log.info(
                "session %s: %s is answered without the %d oldest items; about %d tokens remain",
                session_id,
                response_id,
                items,
                tokens,
            )


def _log_decision(session_id: str, report: ReportTurnDecision) -> None:
    level = logging.DEBUG if report.outcome == "wait" else logging.INFO
    if not log.isEnabledFor(level):
        return
    known, decision = report.evidence, report.decision
    log.log(
        level,
        "session %s: %s at %d ms: %s after %d ms of silence (sound %s, engine %s): %s",
        session_id,
        report.item_id,
        report.at_ms,
        report.outcome,
        known.silence_ms,
        "-" if known.sound is None else f"{known.sound:.2f}",
        "-" if known.engine is None else f"{known.engine:.2f}",
        "-" if decision is None else decision.reason,
    )
