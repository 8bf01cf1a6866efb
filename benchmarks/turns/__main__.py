"""Turn taking, measured: who cuts speakers off, who dawdles, and who is interrupted by a cough.

    uv run python -m benchmarks.turns                 all of it, ten to fifteen minutes the first time
    uv run python -m benchmarks.turns --quick         a third of the corpus
    uv run python -m benchmarks.turns --systems semantic,pipecat --kinds "made pauses,digits" --json out.json
    uv run python -m benchmarks.turns --systems "semantic medium" --worst 20

Every system hears the same recordings on one virtual clock, that of the audio; the time that models take is
added as modelled, so that a busy machine changes nothing. What models answer is kept: a second run takes a
minute, one of a single system seconds. Change the thresholds in pipeline/core/endpointing.py and look again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.report import machine
from benchmarks.turns.corpus import KINDS, build
from benchmarks.turns.environment import UnavailableError, cache_folder
from benchmarks.turns.models import Ear
from benchmarks.turns.report import Results, as_json, print_tables, print_worst
from benchmarks.turns.systems import SYSTEMS, System, play

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play everything to everybody and print the tables; returns 2 for what cannot be measured."""
    options = _parser().parse_args(arguments)
    console = Console()
    problems = Console(stderr=True)
    systems = _chosen(options.systems, SYSTEMS)
    kinds = _chosen(options.kinds, {kind: kind for kind in KINDS})
    if not systems or not kinds:
        problems.print(f"systems are: {', '.join(SYSTEMS)}\nkinds are: {', '.join(KINDS)}")
        return 2
    memory = cache_folder()
    ear = Ear(memory / "answers.json", options.smart_turn)
    if any(system.judged for system in systems) and not ear.has_turn_model:
        problems.print("Smart Turn is not installed; give its file with --smart-turn.")
        return 2
    began = time.monotonic()
    with console.status("building the corpus"):
        clips, missing = build(kinds, seed=options.seed, quick=options.quick)
    results = Results(clips, missing)
    try:
        _measure(results, systems, ear, memory, problems)
    finally:
        ear.save()
    print_tables(results, console)
    if options.worst:
        print_worst(results, console, options.worst)
    if options.json:
        facts = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "seed": options.seed}
        options.json.write_text(json.dumps(facts | as_json(results), indent=1) + "\n")
    problems.print(f"{time.monotonic() - began:.0f} s, {ear.asked} questions to models")
    return 0


def _measure(results: Results, systems: Sequence[System], ear: Ear, memory: Path, problems: Console) -> None:
    silent = [clip for clip in results.clips if not clip.is_speech]
    complete = [clip for clip in results.clips if clip.kind == "complete"]
    with Progress(console=problems, transient=True) as bars:
        bar = bars.add_task("Silero", total=len(results.clips))
        ear.listen(results.clips, lambda done: bars.advance(bar, done))
        for system in systems:
            ours = system.detection is not None
            talked_over = [*silent, *complete] if ours and not system.suggestions else []
            bar = bars.add_task(system.name, total=len(results.clips) + len(talked_over))
            ask = partial(play, system, ear=ear, memory=memory, progress=partial(bars.advance, bar))
            try:
                results.heard[system.name] = ask(clips=results.clips)
            except UnavailableError as error:
                results.missing.append(f"{system.name}: {error}")
                continue
            # Pipecat starts turns in the same way whether its bot talks or not.
            results.talked_over[system.name] = (
                ask(clips=talked_over, talking=True) if ours else results.heard[system.name]
            )
            ear.save()


def _chosen(wanted: str, known: dict[str, Any]) -> list[Any]:
    """By the beginnings of their names; none where one of them is unknown."""
    if not wanted:
        return list(known.values())
    starts = [start.strip() for start in wanted.split(",")]
    if any(not any(name.startswith(start) for name in known) for start in starts):
        return []
    return [known[name] for name in known if any(name.startswith(start) for start in starts)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.turns",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="a third of the corpus, two to five minutes the first time"
    )
    parser.add_argument(
        "--systems",
        default="",
        help="beginnings of names, with commas; " + ", ".join(SYSTEMS),
        metavar="NAMES",
    )
    parser.add_argument(
        "--kinds", default="", help="beginnings of names, with commas; " + ", ".join(KINDS), metavar="NAMES"
    )
    parser.add_argument("--seed", type=int, default=1, help="another one makes other noises and pauses")
    parser.add_argument(
        "--json", type=Path, help="write every figure, and what was done with each clip", metavar="FILE"
    )
    parser.add_argument(
        "--worst",
        type=int,
        default=0,
        help="list so many clips that went worst for each system, and why",
        metavar="N",
    )
    parser.add_argument(
        "--smart-turn", type=Path, help="Smart Turn's file, where it is not installed", metavar="FILE"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
