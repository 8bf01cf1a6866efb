"""Runs of random events, as long as wanted: valid ones from the grammar, and near misses of each."""

import asyncio
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.client import Event
from tests.conformance.fuzzing.driver import KINDS, FaultError, Frame, Kind, frames_of, play, shortest
from tests.conformance.fuzzing.grammar import DIALECTS, events
from tests.conformance.published import DialectName

__all__ = ["fuzz"]

_BASES, _VARIANTS = 40, 14  # of one round: valid events, and near misses of each


async def fuzz(
    server_url: str, count: int, number: int, progress: Callable[[int], None] = lambda sent: None
) -> int:
    """Send at least `count` frames over every kind of connection; how many it were.

    The same number makes the same frames. Raises `FaultError` with the fewest that show a fault. The server
    has to run in this process, because its log is read as well. `progress` hears of every round.
    """
    per_round = _BASES * (_VARIANTS + 1) * len(KINDS)
    rounds = -(-count // per_round)
    bases = {dialect: _valid(dialect, rounds, number) for dialect in DIALECTS}
    for turn in range(rounds):
        frames = {dialect: frames_of(bases[dialect][turn], number + turn, _VARIANTS) for dialect in DIALECTS}
        await _play_everywhere(server_url, frames, f"seed {number}, round {turn}")
        progress((turn + 1) * per_round)
    return rounds * per_round


def _valid(dialect: DialectName, rounds: int, number: int) -> list[list[Event]]:
    """Valid events for each round. All at first, since hypothesis would play a round that fails again."""
    found: list[list[Event]] = []

    @seed(number)
    @settings(
        max_examples=rounds,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(events(dialect), min_size=_BASES, max_size=_BASES))
    def collect(bases: list[Event]) -> None:
        found.append(bases)

    collect()
    return found


async def _play_everywhere(server_url: str, frames: dict[DialectName, list[Frame]], when: str) -> None:
    results = await asyncio.gather(
        *(play(server_url, kind, frames[kind.dialect]) for kind in KINDS), return_exceptions=True
    )
    for kind, result in zip(KINDS, results, strict=True):
        if isinstance(result, FaultError):
            few = await _shortest(server_url, kind, frames[kind.dialect])
            shown = "\n".join(repr(frame)[:2000] for frame in few)
            raise FaultError(f"{kind.name}, {when}: {result}\nafter these frames:\n{shown}")
        if isinstance(result, BaseException):
            raise result


async def _shortest(server_url: str, kind: Kind, frames: list[Frame]) -> list[Frame]:
    async def is_faulty(fewer: list[Frame]) -> bool:
        try:
            await play(server_url, kind, fewer)
        except FaultError:
            return True
        return False

    return await shortest(frames, is_faulty)
