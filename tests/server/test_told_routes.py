"""What operators learn of a router's decision: a span of its own."""

from typing import Any

from pipeline.config import SessionConfig
from pipeline.effects import Emit, ReportRoute
from pipeline.events import SessionCreated
from providers.contracts import Attempt, RouteTaken
from server.spans import SessionTracer
from tests.pipeline.playbook import session_config

REPORT = ReportRoute(
    "llm",
    "resp_1",
    RouteTaken(
        "support",
        "premium",
        "b",
        "lab/large",
        "default route, after provider_timeout of lab/small",
        (Attempt("lab/small", "provider_timeout", 0.5), Attempt("lab/large", None, 0.25)),
    ),
)


def test_a_route_is_a_span() -> None:
    spans: list[Any] = []
    tracer = SessionTracer("sess_1", spans.append, content=False, clock=lambda: 1000.0)
    config: SessionConfig = session_config({"tracing": "auto"})
    tracer.saw(Emit(SessionCreated(config, "conv_1")))

    tracer.saw(REPORT)

    (span,) = spans
    assert (span["kind"], span["id"], span["model"]) == ("route", "resp_1", "lab/large")
    assert (span["stage"], span["router"], span["route"], span["variant"]) == (
        "llm",
        "support",
        "premium",
        "b",
    )
    assert span["reason"] == REPORT.route.reason
    assert span["attempts"] == [
        {"model": "lab/small", "error": "provider_timeout", "seconds": 0.5},
        {"model": "lab/large", "error": None, "seconds": 0.25},
    ]
    assert span["duration_ms"] == 750
