"""Turns the moments of many calls into figures, and the figures into a table."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.caller import CallerResult, Moments

__all__ = [
    "TABLE_HEAD",
    "machine",
    "memory_per_session",
    "percentile",
    "run_figures",
    "table_row",
    "turn_figures",
]

TABLE_HEAD = """\
| sessions | speculation | turns | voice to voice, ms | overhead, ms | of it turn detection | and the rest \
| CPU s per session-minute | memory, MiB | caller late p95, ms | fakes late p95, ms | problems |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that `share` of them do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def turn_figures(turn: Moments, explained_ms: float) -> dict[str, Any]:
    """Milliseconds from the true end of the voice; `overhead` is what nothing explains."""

    def since(at: float | None) -> float | None:
        return None if at is None or turn.voice_ended is None else round((at - turn.voice_ended) * 1000, 1)

    first_audio = since(turn.first_audio)
    return {
        "utterance": turn.utterance,
        "speech_stopped": since(turn.stopped),
        "transcript": since(turn.transcribed),
        "response_created": since(turn.created),
        "first_text": since(turn.first_text),
        "first_audio": first_audio,
        "response_done": since(turn.done),
        "explained": explained_ms,
        "overhead": None if first_audio is None else round(first_audio - explained_ms, 1),
        "audio_ms": round(turn.audio_ms),
        "problem": turn.problem,
    }


def run_figures(
    results: Sequence[CallerResult],
    silence_ms: float,
    explained_ms: float,
    *,
    cpu_seconds: float,
    rss_mib: float,
    caller_cpu_seconds: float,
    fakes: Mapping[str, Any] | None,
    speculation: str = "off",
    speculations: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Everything about one run: a number of sessions at a time."""
    turns = [turn_figures(turn, explained_ms) for result in results for turn in result.turns]
    good = [
        turn
        for turn in turns
        if not turn["problem"] and None not in (turn["overhead"], turn["speech_stopped"])
    ]
    late = [late for result in results for late in result.late_ms]
    seconds = sum(result.seconds for result in results)

    def per_minute(cpu_seconds: float) -> float | None:
        return round(cpu_seconds / seconds * 60, 3) if seconds else None

    return {
        "sessions": len(results),
        "speculation": speculation,
        "speculations": dict(speculations or {}),
        "turns": len(turns),
        "turns_measured": len(good),
        "problems": [turn["problem"] or "events are missing" for turn in turns if turn not in good]
        + [result.problem for result in results if result.problem],
        "voice_to_voice_ms": _spread([turn["first_audio"] for turn in good]),
        "overhead_ms": _spread([turn["overhead"] for turn in good]),
        # How late the end of speech was found, beyond the silence that the session asks for.
        "detection_ms": _spread([turn["speech_stopped"] - silence_ms for turn in good]),
        "after_detection_ms": _spread(
            [turn["overhead"] - (turn["speech_stopped"] - silence_ms) for turn in good]
        ),
        "explained_ms": explained_ms,
        "cpu_seconds_per_session_minute": per_minute(cpu_seconds),
        "rss_mib": round(rss_mib, 1),
        "session_seconds": round(seconds, 1),
        "caller_late_ms": _spread(late),
        "caller_cpu_seconds_per_session_minute": per_minute(caller_cpu_seconds),
        "fakes_late_ms": None if fakes is None else {name: fakes[name] for name in ("p50", "p95")},
        "per_turn": turns,
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None}
    return {"p50": round(median(values), 1), "p95": round(percentile(values, 0.95) or 0.0, 1)}


def memory_per_session(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """MiB per additional session, between the run with the fewest and the one with the most sessions."""
    fewest, most = min(runs, key=_sessions), max(runs, key=_sessions)
    if _sessions(most) == _sessions(fewest):
        return None
    return round(float((most["rss_mib"] - fewest["rss_mib"]) / (_sessions(most) - _sessions(fewest))), 2)


def _sessions(run: Mapping[str, Any]) -> int:
    return int(run["sessions"])


def table_row(run: Mapping[str, Any]) -> str:
    """One line of the table that `TABLE_HEAD` begins; pairs are median / 95th percentile."""

    def pair(name: str) -> str:
        figures = run[name]
        return "-" if figures["p50"] is None else f"{figures['p50']:.0f} / {figures['p95']:.0f}"

    fakes = run["fakes_late_ms"]
    cells = [
        run["sessions"],
        " ".join([run["speculation"], *(f"{n} {outcome}" for outcome, n in run["speculations"].items())]),
        run["turns_measured"],
        pair("voice_to_voice_ms"),
        pair("overhead_ms"),
        pair("detection_ms"),
        pair("after_detection_ms"),
        run["cpu_seconds_per_session_minute"],
        run["rss_mib"],
        run["caller_late_ms"]["p95"],
        "-" if fakes is None or fakes["p95"] is None else f"{fakes['p95']:.1f}",
        len(run["problems"]),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def machine() -> dict[str, Any]:
    """The machine in general terms."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
