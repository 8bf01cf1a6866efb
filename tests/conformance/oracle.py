"""The one judge of what a server sends: the shape of each event and the order of all of them."""

from collections.abc import Mapping
from typing import Any

from tests.conformance.beta import Interpreter
from tests.conformance.published import DialectName
from tests.conformance.sequence import Sequence
from tests.conformance.shapes import check_shape

__all__ = ["NonconformingError", "Oracle"]


class NonconformingError(AssertionError):
    """The server sent something that its protocol does not allow."""


class Oracle:
    """Fed with everything that one connection sent and received, in order; raises at the first fault."""

    def __init__(self, dialect: DialectName = "ga") -> None:
        self.sequence = Sequence()
        self.told: list[dict[str, Any]] = []  # every event, as the GA dialect has it
        self._dialect = dialect
        self._interpreter = Interpreter() if dialect == "beta" else None

    def sent(self, event: Any) -> None:
        """Note what the client is about to send: some orders are only right because it asked for them."""
        if isinstance(event, dict):
            self.sequence.sent(event)

    def received(self, event: Mapping[str, Any]) -> None:
        """Check one server event."""
        problems = check_shape(event, self._dialect) or self._follow(dict(event))
        if problems:
            raise NonconformingError(
                "\n  ".join([f"{event.get('type')} breaks the protocol:", *problems, str(event)[:800]])
            )

    def _follow(self, event: dict[str, Any]) -> list[str]:
        told, problems = self._interpreter.as_ga(event) if self._interpreter else ([event], [])
        for one in told:
            problems += self.sequence.received(one)
        self.told += told
        return problems

    def finished(self) -> None:
        """Check that nothing was left open; to be called when no response runs."""
        problems = self.sequence.finished()
        if problems:
            raise NonconformingError("\n  ".join(["the session ended too early:", *problems]))
