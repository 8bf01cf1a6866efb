"""What clients are told of a router's decision, in a response's metadata."""

from collections.abc import Mapping

from providers.contracts import RouteTaken

__all__ = ["with_route"]

MAX_PAIRS = 16  # of metadata, as OpenAI limits them
MAX_VALUE = 512  # characters


def with_route(metadata: Mapping[str, str] | None, stage: str, route: RouteTaken) -> dict[str, str]:
    """`metadata` with members like "llm.route" beside the client's own, which are never replaced."""
    told = {
        f"{stage}.router": route.router,
        f"{stage}.route": route.route,
        f"{stage}.variant": route.variant,
        f"{stage}.model": route.model,
        f"{stage}.reason": route.reason,
        f"{stage}.attempts": ", ".join(
            f"{attempt.model}: {attempt.error or 'ok'}" for attempt in route.attempts
        ),
    }
    whole = dict(metadata or {})
    for name, value in told.items():
        if value and len(whole) < MAX_PAIRS:
            whole.setdefault(name, value[:MAX_VALUE])
    return whole
