"""Writes the matrix down as a page of the documentation: the same text for the same coverage."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache

from tests.conformance.matrix.absent import ABSENT
from tests.conformance.matrix.coverage import Coverage
from tests.conformance.matrix.places import EVENTS, OBJECTS, Place, Side, published
from tests.conformance.scenarios.registry import VARIANTS, Case, Scenario, Variant

__all__ = ["conformance_page"]

INTRODUCTION = """\
# Conformance

What of the [protocol](protocol.md) is shown to work, and by which scenario. This page is written by

    uv run python -m tests.conformance.matrix

which plays every scenario against a real server, with real speech, and notes each event, and each of its
members that had a value. An oracle judges every frame: its shape by the types of the `openai` package, or
for [events of ours](protocol.md#turn-suggestions) by our own, and its place by the order of the protocol. A
test fails when this page is not what comes of that, and when an event or a member of those types is neither
shown nor named as [not applicable](#not-applicable)."""


def conformance_page(cases: Sequence[Case], coverage: Coverage) -> str:
    """The whole page, in Markdown."""
    scenarios = list({case.scenario.name: case.scenario for case in cases}.values())
    sections = [
        [INTRODUCTION],
        _scenarios(scenarios),
        _refusals(scenarios),
        _events(coverage, "client", "Client events"),
        _objects(coverage, "client", "Objects that clients send"),
        _events(coverage, "server", "Server events"),
        _objects(coverage, "server", "Objects that the server shows"),
        _beta(coverage),
        _absences(),
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _table(*head: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# --- scenarios ---------------------------------------------------------------------------------------


def _scenarios(scenarios: Sequence[Scenario]) -> list[str]:
    heads = [
        f"{variant.dialect.upper() if variant.dialect == 'ga' else 'beta'}, `{variant.profile}`"
        for variant in VARIANTS
    ]
    rows = (
        [f"`{scenario.name}`", scenario.title, *("yes" if v in scenario.variants else "" for v in VARIANTS)]
        for scenario in scenarios
    )
    return [
        "## Scenarios",
        "",
        "Each is played in the dialects and [profiles](protocol.md#profiles) that say yes.",
        "",
        *_table("scenario", "what happens", *heads, rows=rows),
    ]


def _refusals(scenarios: Sequence[Scenario]) -> list[str]:
    rows = [
        [
            f"`{row.event['type']}`",
            row.what,
            f"`{row.code}`",
            f"`{row.param}`" if row.param else "",
            _where(row.variants) + (", to transcribe" if scenario.query.get("intent") else ""),
        ]
        for scenario in scenarios
        for row in scenario.refusals
    ]
    ends = [
        [f"`{scenario.name}`", scenario.title, f"{scenario.closed[0]}", f"`{scenario.closed[1]}`"]
        for scenario in scenarios
        if scenario.closed
    ]
    return [
        "## Refusals",
        "",
        "One `error` event answers each of these, with this code and param, and nothing changes.",
        "",
        *_table("event", "what is wrong", "code", "param", "where", rows=sorted(rows)),
        "",
        "These end the connection, after an `error` event:",
        "",
        *_table("scenario", "what happens", "close code", "reason", rows=ends),
    ]


def _where(variants: Sequence[Variant]) -> str:
    """In words, where it is not everywhere."""
    ga = [v.profile for v in variants if v.dialect == "ga"]
    words = [f"`{profile}`" for profile in ga] if len(ga) < 2 else ["GA"]
    return ", ".join(words + (["beta"] if any(v.dialect == "beta" for v in variants) else []))


# --- events and objects ------------------------------------------------------------------------------


def _events(coverage: Coverage, side: Side, title: str) -> list[str]:
    rows = [row for kind in sorted(EVENTS[side]) for row in _rows(coverage, side, kind)]
    return [f"## {title}", "", *_table("event", "members", "shown by", rows=rows)]


def _objects(coverage: Coverage, side: Side, title: str) -> list[str]:
    section = [f"## {title}"]
    for name, mounts in OBJECTS[side].items():
        places = ", ".join(f"`{member}` of `{owner}`" for owner, member in map(str.split, mounts))
        rows = [row[1:] for row in _rows(coverage, side, name)]
        section += ["", f"**{name}**: {places}", "", *_table("members", "shown by", rows=rows)]
    return section


def _rows(coverage: Coverage, side: Side, owner: str) -> Iterator[list[str]]:
    """One row for each scenario that was the first to show something of this owner."""
    proofs = {
        place: name for place, name in coverage.proofs.items() if (place.side, place.owner) == (side, owner)
    }
    shown: dict[str, list[Place]] = {}
    for place, name in sorted(proofs.items()):
        shown.setdefault(name, [])
        if not _is_told_by_others(place, proofs):
            shown[name].append(place)
    for name, places in sorted(shown.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        if places or len(shown) == 1:
            yield [f"`{owner}`", _members(places), f"`{name}`"]


def _is_told_by_others(place: Place, shown: Collection[Place]) -> bool:
    """Whether a row can do without it: an object whose members are there, or the one word of a member."""
    if place.owner in EVENTS[place.side] and place.member == "type":
        return True
    if place.member != place.name:
        return _choices()[place.side, place.owner, place.name] == 1
    inside = (f"{place.member}.", f"{place.member}[")
    return any(
        not _is_told_by_others(other, shown)
        for other in shown
        if other.member.startswith(inside) or (other.name == place.name and other != place)
    )


@cache
def _choices() -> Counter[tuple[Side, str, str]]:
    """Of how many words a member may be one."""
    return Counter(
        (place.side, place.owner, place.name) for place in published() if place.member != place.name
    )


def _members(places: Iterable[Place]) -> str:
    """Each member once, with its words in brackets."""
    words: dict[str, list[str]] = {}
    for place in places:
        words.setdefault(place.name, []).extend(filter(None, [place.member.partition("=")[2]]))
    return ", ".join(f"`{name}` ({', '.join(some)})" if some else f"`{name}`" for name, some in words.items())


def _beta(coverage: Coverage) -> list[str]:
    section = [
        "## Beta dialect",
        "",
        "The same scenarios, where they say so, in the [beta dialect](protocol.md#beta-dialect).",
        "",
    ]
    sides: tuple[Side, ...] = ("beta client", "beta server")
    rows = (
        [side.removeprefix("beta "), f"`{kind}`", f"`{proof}`"]
        for side in sides
        for kind in sorted(EVENTS[side])
        if (proof := coverage.proofs.get(Place(side, kind, "type")))
    )
    return [*section, *_table("sent by", "event", "shown by", rows=rows)]


def _absences() -> list[str]:
    rows = (
        [
            absence.side,
            f"`{absence.owner}`",
            "" if absence.members == ("*",) else _code(absence.members),
            absence.because,
        ]
        for absence in ABSENT
    )
    return [
        "## Not applicable",
        "",
        "Published events and members that this server does not send or take. `x*` is x and what it holds.",
        "",
        *_table("side", "event or object", "members", "because", rows=rows),
    ]
