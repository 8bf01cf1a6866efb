"""Tables for the terminal, and the same and more as JSON."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.turns.corpus import SPEECH, Clip
from benchmarks.turns.engine_ride import Heard
from benchmarks.turns.scores import Outcome, Score, faster_than_silence, judge, score
from benchmarks.turns.systems import PIPECAT, silence_of

__all__ = ["Results", "as_json", "print_tables", "print_worst"]


_VOICES = {"all": "", "human": "human", "synthetic": "espeak"}


@dataclass(slots=True)
class Results:
    """Everything that was played, and what every system made of it, by its name and the clip's."""

    clips: list[Clip]
    missing: list[str]
    heard: dict[str, dict[str, Heard]] = field(default_factory=dict)
    talked_over: dict[str, dict[str, Heard]] = field(default_factory=dict)  # while the assistant was heard
    _scores: dict[tuple[str, str | None, str], Score | None] = field(default_factory=dict)

    def outcomes(self, system: str, kind: str | None = None, voices: str = "") -> list[Outcome]:
        """With the clips of one kind of speech, and of voices whose names begin like that."""
        heard = self.heard[system]
        clips = (clip for clip in self.clips if clip.is_speech and kind in (None, clip.kind))
        return [judge(clip, heard[clip.name]) for clip in clips if clip.voice.startswith(voices)]

    def score(self, system: str, kind: str | None = None, voices: str = "") -> Score | None:
        """Of those clips, computed once: all has been heard by now. None where there are none."""
        key = system, kind, voices
        if key not in self._scores:
            outcomes = self.outcomes(*key)
            self._scores[key] = score(outcomes) if outcomes else None
        return self._scores[key]

    @property
    def kinds(self) -> list[str]:
        """Of speech, those that were played."""
        return [kind for kind in SPEECH if any(clip.kind == kind for clip in self.clips)]


@dataclass(frozen=True, slots=True)
class _Interruptions:
    """Of a system, by sounds that nobody said, and by somebody who speaks."""

    idle_per_hour: float
    talking_per_hour: float
    heard: int  # of the speakers who interrupt
    speakers: int
    median: float  # ms until the assistant is interrupted; NaN where nobody speaks


def print_tables(results: Results, console: Console) -> None:
    for line in results.missing:
        console.print(f"[yellow]missing: {line}")
    for about, voices in _VOICES.items():
        scores = {name: results.score(name, voices=voices) for name in results.heard}
        _print_overall(about, scores, console)
        _print_comparison(about, scores, console)
    if results.kinds:
        _print_kinds(results, console)
    if any(not clip.is_speech for clip in results.clips):
        _print_interruptions(results, console)


def _print_overall(about: str, scores: dict[str, Score | None], console: Console) -> None:
    count = max((own.clips for own in scores.values() if own is not None), default=0)
    if not count:
        return
    table = Table(title=f"{about}: {count} utterances; delays from the true end of the voice, ms")
    table.add_column("system")
    for heading in ("cut off", "95 %", "pauses cut", "missed", "median", "95 %", "p95", "95 %"):
        table.add_column(heading, justify="right")
    for name, own in scores.items():
        if own is not None:
            table.add_row(
                name,
                _percent(own.cut),
                _range(own.cut_interval, 100),
                _percent(own.cut_pauses),
                _percent(own.missed),
                f"{own.median:.0f}",
                _range(own.median_interval),
                f"{own.p95:.0f}",
                _range(own.p95_interval),
            )
    console.print(table)


def _print_comparison(about: str, scores: dict[str, Score | None], console: Console) -> None:
    rows = _comparison(scores)
    if not rows:
        return
    table = Table(title=f"{about}: at the same share of utterances cut off, plain silence would wait")
    for heading in ("system", "window", "median", "times", "p95", "times", "beside Pipecat"):
        table.add_column(heading, justify="left" if heading in ("system", "beside Pipecat") else "right")
    for row in rows:
        more = "> " if row["beyond"] else ""
        table.add_row(
            row["system"],
            f"{more}{row['window_ms']:.0f}",
            f"{more}{row['silence_median_ms']:.0f}",
            f"{more}{row['median_ratio']:.2f}",
            f"{more}{row['silence_p95_ms']:.0f}",
            f"{more}{row['p95_ratio']:.2f}",
            row.get("beside_pipecat", ""),
        )
    console.print(table)


def _comparison(scores: dict[str, Score | None]) -> list[dict[str, Any]]:
    """Each system against the curve of plain silence, and against Pipecat."""
    silences = {silence_of(name): own for name, own in scores.items() if silence_of(name) and own is not None}
    curve = {ms: own for ms, own in silences.items() if ms is not None}
    pipecat = scores.get(PIPECAT)
    rows = []
    for name, own in scores.items():
        if own is None or silence_of(name) or not curve:
            continue
        median = faster_than_silence(own, curve, lambda each: each.median)
        p95 = faster_than_silence(own, curve, lambda each: each.p95)
        assert median is not None
        assert p95 is not None
        row: dict[str, Any] = {
            "system": name,
            "window_ms": round(median[0]),
            "beyond": median[2],
            "silence_median_ms": round(median[1]),
            "median_ratio": round(median[1] / own.median, 3),
            "silence_p95_ms": round(p95[1]),
            "p95_ratio": round(p95[1] / own.p95, 3),
        }
        if pipecat is not None and own is not pipecat:
            axes = {"cut off": (own.cut, pipecat.cut), "median": (own.median, pipecat.median)}
            axes["p95"] = (own.p95, pipecat.p95)
            words = [f"{axis} {_compared(*values)}" for axis, values in axes.items()]
            row["beside_pipecat"] = ", ".join(words)
        rows.append(row)
    return rows


def _compared(own: float, other: float) -> str:
    return "same" if own == other else "better" if own < other else "worse"


def _print_kinds(results: Results, console: Console) -> None:
    views: dict[str, Callable[[Score], str]] = {
        "Utterances cut off, by kind": lambda own: _percent(own.cut),
        "Delay, median / p95 in ms, by kind": lambda own: f"{own.median:.0f} / {own.p95:.0f}",
    }
    for title, cell in views.items():
        table = Table(title=title)
        table.add_column("system")
        for kind in results.kinds:
            count = sum(clip.kind == kind for clip in results.clips)
            table.add_column(f"{kind} ({count})", justify="right")
        for name in results.heard:
            table.add_row(name, *(cell(own) for kind in results.kinds if (own := results.score(name, kind))))
        console.print(table)


def _print_interruptions(results: Results, console: Console) -> None:
    silent = [clip for clip in results.clips if not clip.is_speech]
    minutes = sum(clip.seconds for clip in silent) / 60
    table = Table(title=f"False interruptions per hour, in {minutes:.0f} minutes in which nobody speaks")
    for heading in (
        "system",
        "idle",
        "assistant talks",
        "by kind while it talks",
        "real ones heard",
        "after ms",
    ):
        table.add_column(
            heading, justify="left" if heading in ("system", "by kind while it talks") else "right"
        )
    for name in results.talked_over:
        if not results.talked_over[name]:
            continue
        own = _interruptions(results, name)
        kinds = {clip.source: len(results.talked_over[name][clip.name].starts) for clip in silent}
        table.add_row(
            name,
            f"{own.idle_per_hour:.0f}",
            f"{own.talking_per_hour:.0f}",
            ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count) or "none",
            f"{own.heard} of {own.speakers}",
            "" if np.isnan(own.median) else f"{own.median:.0f}",
        )
    console.print(table)


def _interruptions(results: Results, name: str) -> _Interruptions:
    silent = [clip for clip in results.clips if not clip.is_speech]
    hours = sum(clip.seconds for clip in silent) / 3600
    idle = sum(len(results.heard[name][clip.name].starts) for clip in silent)
    talking = sum(len(results.talked_over[name][clip.name].starts) for clip in silent)
    speakers = [clip for clip in results.clips if clip.kind == "complete"]
    waits = []
    for clip in speakers:
        starts = [at - clip.start for at in results.talked_over[name][clip.name].starts if at >= clip.start]
        waits += starts[:1]
    median = float(np.median(waits)) if waits else float("nan")
    return _Interruptions(idle / hours, talking / hours, len(waits), len(speakers), median)


def print_worst(results: Results, console: Console, count: int) -> None:
    """For each system the clips with most false cut-offs, then those with the longest waits."""
    for name, heard in results.heard.items():
        outcomes = sorted(results.outcomes(name), key=lambda each: (-each.cut, -each.delay))
        console.print(f"[bold]{name}")
        for outcome in outcomes[:count]:
            clip, own = outcome.clip, heard[outcome.clip.name]
            console.print(
                f"  {clip.name}: {outcome.cut} cuts, {outcome.delay:.0f} ms; “{clip.text}”", highlight=False
            )
            for at, reason in zip(own.ends, own.reasons, strict=False):
                console.print(f"    {at - clip.end:+.0f} ms: {reason}", highlight=False, markup=False)


def as_json(results: Results) -> dict[str, Any]:
    """Scores over all and by kind, and each clip with what every system did."""
    has_silence = any(not clip.is_speech for clip in results.clips)
    report: dict[str, Any] = {"missing": results.missing, "systems": {}, "comparison": {}}
    scores = {
        voices: {name: results.score(name, voices=voices) for name in results.heard}
        for voices in _VOICES.values()
    }
    for about, voices in _VOICES.items():
        report["comparison"][about] = _comparison(scores[voices])
    for name in results.heard:
        entry: dict[str, Any] = {}
        for about, voices in _VOICES.items():
            own = scores[voices][name]
            entry[about] = own.plain() if own else None
        entry["kinds"] = {
            kind: of_kind.plain() for kind in results.kinds if (of_kind := results.score(name, kind))
        }
        if has_silence and results.talked_over.get(name):
            found = _interruptions(results, name)
            entry["false_interruptions_per_hour"] = {
                "idle": round(found.idle_per_hour, 1),
                "talking": round(found.talking_per_hour, 1),
            }
            entry["interruptions"] = {
                "heard": found.heard,
                "of": found.speakers,
                "median_ms": _number(found.median),
            }
        report["systems"][name] = entry
    report["clips"] = [_clip(clip, results) for clip in results.clips]
    return report


def _clip(clip: Clip, results: Results) -> dict[str, Any]:
    ends = {name: _moments(heard[clip.name].ends) for name, heard in results.heard.items()}
    return {
        "name": clip.name,
        "kind": clip.kind,
        "voice": clip.voice,
        "start_ms": round(clip.start),
        "end_ms": round(clip.end),
        "pauses_ms": [[round(pause.start), round(pause.end)] for pause in clip.pauses],
        "ends_ms": ends,
    }


def _moments(times: Iterable[float]) -> list[int]:
    return [round(time) for time in times]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(interval: tuple[float, float], scale: float = 1) -> str:
    return f"{scale * interval[0]:.0f}-{scale * interval[1]:.0f}"
