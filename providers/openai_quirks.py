"""Parameters that some compatible servers refuse: drop or rename them once, and remember it."""

import re
from collections.abc import Mapping
from typing import Any

from providers.problems import Problem

__all__ = ["Quirks"]

_REFUSAL = re.compile(r"(?i)support|unknown|unrecogni|unexpected|extra|not permitted|not allowed")


class Quirks:
    """What one model of one server does not take. Learned from its refusals, shared by all requests."""

    def __init__(self, optional: frozenset[str], renames: Mapping[str, str] | None = None) -> None:
        """`optional` parameters may be left out; `renames` gives the other name of those that have one."""
        self._optional = optional
        self._renames = dict(renames or {})
        self._dropped: set[str] = set()
        self._renamed: dict[str, str] = {}

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body in the form that the server takes, as far as we know."""
        kept = {name: value for name, value in body.items() if name not in self._dropped}
        return {self._renamed.get(name, name): value for name, value in kept.items()}

    def learn(self, body: Mapping[str, Any], problem: Problem) -> bool:
        """Whether the refusal of `body` (as `apply` gave it) names something that we can do without."""
        name = self._blamed(body, problem) if problem.status in (400, 422) else None
        if name is None:
            return False
        if name in self._optional:
            self._dropped.add(name)
            return True
        if name in self._renamed.values():  # neither of its names is welcome
            return False
        self._renamed[name] = self._renames[name]
        return True

    def _blamed(self, body: Mapping[str, Any], problem: Problem) -> str | None:
        candidates = [name for name in body if name in self._optional or name in self._renames]
        if problem.param:
            name = re.split(r"[.\[]", problem.param)[0]
            # With the code of a bad value (too large, wrong type) the parameter itself is welcome.
            code = problem.code.lower()
            about_name = not code or code == "invalid_request_error" or _REFUSAL.search(code)
            return name if about_name and name in candidates else None
        # Servers that check their input with a schema library name the field in the text only.
        if not _REFUSAL.search(problem.message):
            return None
        places = {name: re.search(rf"(?<!\w){re.escape(name)}(?!\w)", problem.message) for name in candidates}
        found = {name: place.start() for name, place in places.items() if place is not None}
        return min(found, key=found.__getitem__, default=None)
