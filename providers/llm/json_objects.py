"""JSON objects as text, in and out, when nobody vouches for what is in them."""

from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["read_object", "write_object"]

_WRAPPING = 24  # levels that a request puts around what it carries


def read_object(text: str) -> dict[str, Any] | None:
    """The object in a text; None for anything else, and for what is nested too deeply to be sent on."""
    try:
        value = orjson.loads(text)
        wrapped = value
        for _ in range(_WRAPPING):
            wrapped = [wrapped]
        orjson.dumps(wrapped)  # writes fewer levels than it reads
    except (orjson.JSONDecodeError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def write_object(value: Mapping[str, Any]) -> str:
    """The object as text; raises `ValueError` for what is nested too deeply."""
    try:
        return orjson.dumps(dict(value)).decode()
    except TypeError:
        raise ValueError("an object nested too deeply") from None
