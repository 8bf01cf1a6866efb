"""Scores: false cut-offs, missed ends, delays and false interruptions, with their uncertainty."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.turns.corpus import Clip
from benchmarks.turns.engine_ride import Heard

__all__ = ["MISSED_MS", "Outcome", "Score", "bootstrap", "faster_than_silence", "judge", "score"]

MISSED_MS = 8000.0  # an end that was not found by then is missed, and counts as a wait of that long
_SHORT_MS = 200.0  # pauses below it are parts of fluent speech
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system did with one clip of speech."""

    clip: Clip
    cut: int  # ends before the true end
    pauses: int  # inside the turn, of 200 ms and more
    cut_pauses: int  # of them, those in which a turn was ended
    delay: float  # ms from the true end; `MISSED_MS` where it was missed
    missed: bool


def judge(clip: Clip, heard: Heard) -> Outcome:
    """Compare the ends that were found with the truth.

    An end before the true end is a false cut-off, and belongs to the pause that began last before it: the
    verdict on a pause may come when the next word has begun. The first end from the true end on is the end.
    """
    early = [at for at in heard.ends if at < clip.end]
    late = [at - clip.end for at in heard.ends if at >= clip.end]
    pauses = [pause for pause in clip.pauses if pause.end - pause.start >= _SHORT_MS]
    borders = [pause.start for pause in pauses]
    cut = {int(np.searchsorted(borders, at, side="right")) for at in early} - {0}
    missed = not late or late[0] > MISSED_MS
    return Outcome(clip, len(early), len(pauses), len(cut), MISSED_MS if missed else late[0], missed)


@dataclass(frozen=True, slots=True)
class Score:
    """Of one system over some clips. Shares are 0..1, delays in ms; intervals hold 95 %."""

    clips: int
    pauses: int
    cut: float  # of the utterances with a false cut-off
    cut_interval: tuple[float, float]
    cut_pauses: float  # of the pauses inside utterances in which the turn was ended; 0 where there are none
    missed: float
    median: float
    median_interval: tuple[float, float]
    p95: float
    p95_interval: tuple[float, float]

    def plain(self) -> dict[str, Any]:
        """For a JSON file."""
        return {name: _rounded(getattr(self, name)) for name in self.__slots__}


def score(outcomes: Sequence[Outcome], *, seed: int = 1) -> Score:
    """Raises `ValueError` without outcomes."""
    if not outcomes:
        raise ValueError("nothing to score")
    delays = np.array([outcome.delay for outcome in outcomes])
    cut = np.array([outcome.cut > 0 for outcome in outcomes], float)
    pauses = sum(outcome.pauses for outcome in outcomes)
    groups = [outcome.clip.source for outcome in outcomes]
    draws = bootstrap(groups, seed)

    def interval(measure: Callable[[Any], float], values: Any) -> tuple[float, float]:
        low, high = np.percentile([measure(values[draw]) for draw in draws], [2.5, 97.5])
        return float(low), float(high)

    return Score(
        clips=len(outcomes),
        pauses=pauses,
        cut=float(cut.mean()),
        cut_interval=interval(np.mean, cut),
        cut_pauses=sum(outcome.cut_pauses for outcome in outcomes) / pauses if pauses else 0.0,
        missed=sum(outcome.missed for outcome in outcomes) / len(outcomes),
        median=float(np.median(delays)),
        median_interval=interval(np.median, delays),
        p95=float(np.percentile(delays, 95)),
        p95_interval=interval(lambda values: float(np.percentile(values, 95)), delays),
    )


def bootstrap(groups: Iterable[str], seed: int, draws: int = _DRAWS) -> list[Any]:
    """Indices of what is drawn each time: whole groups, whose members are not independent."""
    names, numbers = np.unique(list(groups), return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(len(names))]
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(members), (draws, len(members)))
    return [np.concatenate([members[number] for number in draw]) for draw in chosen]


def faster_than_silence(
    own: Score, silences: Mapping[int, Score], measure: Callable[[Score], float]
) -> tuple[float, float, bool] | None:
    """What plain silence would need for the same share of false cut-offs; None without a curve.

    The window in ms, its delay by `measure`, and whether even the longest window cuts more often, so that
    both are lower bounds.

    Between two windows the curve is a line.
    """
    curve = [(ms, silences[ms].cut, measure(silences[ms])) for ms in sorted(silences)]
    if not curve:
        return None
    for (ms, cut, delay), (next_ms, next_cut, next_delay) in pairwise(curve):
        if cut <= own.cut:
            return ms, delay, False
        if next_cut <= own.cut:
            share = (cut - own.cut) / (cut - next_cut)
            return ms + share * (next_ms - ms), delay + share * (next_delay - delay), False
    ms, cut, delay = curve[-1]
    return ms, delay, cut > own.cut


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(each, 4) for each in value]
    return round(value, 4)
