"""What the scenarios showed of the published protocol, and what is left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.conformance.client import FENCE
from tests.conformance.matrix.absent import ABSENT, Absence
from tests.conformance.matrix.places import Place, Side, published, seen
from tests.conformance.published import DialectName
from tests.conformance.scenarios.registry import Case
from tests.conformance.scenarios.runner import Record

__all__ = ["Coverage", "cover"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which places the scenarios filled, judged by the published types and the list of absences."""

    proofs: Mapping[Place, str]  # the name of the first scenario that filled the place

    def gaps(self, absent: Iterable[Absence] = ABSENT) -> list[Place]:
        """Published places that nothing filled and nobody explained."""
        absent = tuple(absent)
        return sorted(
            place
            for place in published() - self.proofs.keys()
            if not any(absence.covers(place) for absence in absent)
        )

    def stale(self, absent: Iterable[Absence] = ABSENT) -> list[tuple[Absence, Place]]:
        """Absences, with a place that was filled all the same."""
        return [
            (absence, place) for absence in absent for place in sorted(self.proofs) if absence.covers(place)
        ]


def cover(records: Iterable[tuple[Case, Record]]) -> Coverage:
    """The coverage of these recordings."""
    proofs: dict[Place, str] = {}
    for case, record in records:
        for place in _filled(record, case.variant.dialect) & published():
            proofs.setdefault(place, case.scenario.name)
    return Coverage(proofs)


def _filled(record: Record, dialect: DialectName) -> set[Place]:
    """What a client sent shows something only where it was not refused, and an error only to a purpose."""
    client: Side = "client" if dialect == "ga" else "beta client"
    server: Side = "server" if dialect == "ga" else "beta server"
    fences = {event["event_id"] for event in record.sent if event.get("response_id") == FENCE}
    errors = {event["error"]["event_id"] for event in record.received if event["type"] == "error"}
    places: set[Place] = set()
    for event in record.received:
        if event["type"] != "error" or event["error"]["event_id"] not in fences:
            places |= seen(server, event)
    for event in record.sent:
        if event["event_id"] not in errors:
            places |= seen(client, event)
    return places
