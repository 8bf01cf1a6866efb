"""Whose requests a session's are, going by what its client said."""

from collections.abc import Mapping

from pipeline.config import SessionConfig
from pipeline.extensions import spelled
from providers.contracts import Caller

__all__ = ["caller_of"]

MAX_METADATA = 64  # members that routers get to see
MAX_CHARS = 512  # of a text among them, and of the user's id


def caller_of(session_id: str, config: SessionConfig) -> Caller:
    """Reads `user_id` and `metadata` in `providerData`; what has another shape is left out."""
    given = config.provider_data
    if not isinstance(given, Mapping):
        return Caller(session_id)
    user = spelled(given, "user_id")
    metadata = given.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    pairs = [(name, value) for name, value in known.items() if isinstance(name, str) and _is_plain(value)]
    return Caller(
        session_id, user[:MAX_CHARS] if isinstance(user, str) and user else None, dict(pairs[:MAX_METADATA])
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_CHARS)
