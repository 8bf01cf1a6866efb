"""Reads what a client asks of one provider: names in either spelling, values only where they are valid."""

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["choice", "flag", "integer", "number", "texts"]

MAX_TEXTS = 100  # entries of a list that are passed on


def number(settings: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    """A number within both bounds, or None."""
    value = _value(settings, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if low <= value <= high else None


def integer(settings: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """A number within both bounds, rounded, or None."""
    value = number(settings, name, low, high)
    return None if value is None else round(value)


def flag(settings: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """True or false, where it says so."""
    value = _value(settings, name)
    return value if isinstance(value, bool) else default


def choice(settings: Mapping[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """One of the words allowed, in capitals as they are, or None."""
    value = _value(settings, name)
    value = value.upper() if isinstance(value, str) else None
    return value if value in allowed else None


def texts(settings: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a list."""
    value = _value(settings, name)
    entries = value if isinstance(value, list | tuple) else ()
    return [entry for entry in entries if isinstance(entry, str) and entry][:MAX_TEXTS]


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """The setting of a snake_case name, which some clients spell in camelCase."""
    first, *others = name.split("_")
    return settings.get(name, settings.get(first + "".join(word.capitalize() for word in others)))
