"""Scenarios, the ways of connecting in which each is played, and the list of all of them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.protocol.profiles import ProfileName
from tests.conformance.client import Event, Talk
from tests.conformance.published import DialectName

__all__ = [
    "ANCHOR",
    "BETA",
    "BETA_STRICT",
    "BOTH",
    "GA",
    "STRICT",
    "VARIANTS",
    "Case",
    "Refusal",
    "Scenario",
    "Stage",
    "Variant",
    "cases",
    "refused_events",
    "scenario",
    "turned_away",
]


@dataclass(frozen=True, slots=True)
class Variant:
    """A dialect and a profile."""

    dialect: DialectName
    profile: ProfileName

    @property
    def name(self) -> str:
        return f"{self.dialect}-{self.profile}"


GA, STRICT, BETA = Variant("ga", "parley"), Variant("ga", "openai"), Variant("beta", "parley")
BETA_STRICT = Variant("beta", "openai")  # is not let in
VARIANTS = (GA, STRICT, BETA, BETA_STRICT)
BOTH = (GA, STRICT)

ANCHOR = "anchor"
"""The id of a typed message that is in the conversation before anything is refused."""

Stage = Literal[
    "plain", "remote", "tools", "locked", "small", "metered", "brief", "idle", "full server", "full key"
]
"""Which server a scenario is played against, see `stages`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that is refused: with one error that has this code and this param, and nothing changes."""

    what: str
    event: Event
    code: str
    param: str | None = None
    variants: tuple[Variant, ...] = BOTH


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str  # unique
    title: str
    play: Callable[[Talk], Awaitable[None]]
    variants: tuple[Variant, ...] = BOTH
    query: Mapping[str, str] = field(default_factory=dict)  # of the URL, besides profile and model
    stage: Stage = "plain"
    closed: tuple[int, str] | None = None  # how the server itself ends the connection: code and reason
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario in one of its variants."""

    scenario: Scenario
    variant: Variant

    @property
    def name(self) -> str:
        return f"{self.scenario.name}-{self.variant.name}"


_SCENARIOS: dict[str, Scenario] = {}


def _register(entry: Scenario) -> None:
    assert entry.name not in _SCENARIOS, entry.name
    _SCENARIOS[entry.name] = entry


def scenario(
    title: str,
    *,
    variants: tuple[Variant, ...] = BOTH,
    query: Mapping[str, str] | None = None,
    stage: Stage = "plain",
    closed: tuple[int, str] | None = None,
) -> Callable[[Callable[[Talk], Awaitable[None]]], Callable[[Talk], Awaitable[None]]]:
    """Register the decorated function, which gets a connection that was greeted."""

    def register(play: Callable[[Talk], Awaitable[None]]) -> Callable[[Talk], Awaitable[None]]:
        name = play.__name__
        _register(Scenario(name, title, play, variants, query or {}, stage, closed))
        return play

    return register


def refused_events(name: str, title: str, *rows: Refusal, query: Mapping[str, str] | None = None) -> None:
    """Register a scenario in which one event after the other is refused."""

    async def prepare(session: Talk) -> None:
        content = [{"type": "input_text", "text": "Hello"}]
        await session.add({"type": "message", "role": "user", "id": ANCHOR, "content": content})

    variants = tuple(variant for variant in VARIANTS if any(variant in row.variants for row in rows))
    _register(Scenario(name, title, prepare, variants, query or {}, refusals=rows))


def turned_away(
    name: str,
    title: str,
    code: str,
    close_code: int,
    *,
    param: str | None = None,
    kind: str = "invalid_request_error",
    variants: tuple[Variant, ...] = BOTH,
    query: Mapping[str, str] | None = None,
    stage: Stage = "plain",
) -> None:
    """Register a scenario in which a connection gets an error instead of a session, and is closed."""

    async def play(session: Talk) -> None:
        error = await session.error()
        assert (error["type"], error["code"], error["param"]) == (kind, code, param), error

    closed = (close_code, f"{kind}.{code}")
    _register(Scenario(name, title, play, variants, query or {}, stage, closed))


def cases() -> Iterator[Case]:
    """Every scenario in each of its variants, in the order of the documentation."""
    for entry in _SCENARIOS.values():
        for variant in entry.variants:
            yield Case(entry, variant)
