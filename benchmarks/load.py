"""How long callers wait, and what a session costs: the real server under real speech in real time.

    uv run python -m benchmarks.load --sessions 1,5,10,20,40 --turns 3 --pin --json out.json
    uv run python -m benchmarks.load --sessions 1,10,20 --speculation off,auto,always --pin

Starts `parley serve` with providers of known delays (or, with --local, the embedded engines) and lets N
callers talk to it at once. What is left of the time from the true end of the voice to the first audio, when
the silence window and the providers' own delays are taken away, is the server's overhead. It is negative
where replies are prepared before the silence window is over.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import orjson
import uvloop

from benchmarks.caller import CallerPlan, CallerResult, call
from benchmarks.fakes import FakeTimes
from benchmarks.processes import Cost, Server, started_fakes, started_server
from benchmarks.report import TABLE_HEAD, machine, memory_per_session, run_figures, table_row
from benchmarks.speech import utterances

__all__ = ["main"]

STAGGER_SECONDS = 4.0  # about as long as a turn, so that callers are in all phases of it

FAKES = """\
[defaults]
llm = "fake/llm"
stt = "fake/stt"
tts = "fake/tts"
voice = "fake"

[providers.fake]
kind = "openai-compatible"
base_url = "http://127.0.0.1:{port}/v1"
"""
LOCAL = """\
[defaults]
llm = "builtin/echo"
stt = "local/moonshine-tiny-en"
tts = "local/espeak"
"""


TURN_TAKING = """
[turn_taking]
speculation = "{speculation}"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all loads one after the other; returns 1 if any turn had a problem."""
    options = _parser().parse_args(arguments)
    counts = [int(count) for count in options.sessions.split(",")]
    cores = sorted(os.sched_getaffinity(0))
    if options.pin and len(cores) < 2:
        print("--pin needs two cores: one for the server, one for the callers", file=sys.stderr)
        return 2
    if options.pin:
        os.sched_setaffinity(0, set(cores[1:]))
    times = FakeTimes()
    explained = options.silence + (0.0 if options.local else times.total_ms)
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "server_cores": 1 if options.pin else len(cores),
        "engines": "embedded" if options.local else "timed fakes",
        "silence_ms": options.silence,
        "explained_ms": explained,
        "turns_per_session": options.turns,
        "runs": [],
    }
    print(TABLE_HEAD)
    for count in counts:
        for mode in options.speculation.split(
            ","
        ):  # side by side, so that one machine is compared with itself
            run = _run(count, mode, options, explained, cores[0] if options.pin else None)
            report["runs"].append(run)
            print(table_row(run), flush=True)
    report["mib_per_extra_session"] = memory_per_session(report["runs"])
    print(f"\nMemory per extra session: {report['mib_per_extra_session']} MiB")
    problems = [problem for run in report["runs"] for problem in run["problems"]]
    for problem in sorted(set(problems)):
        print(f"{problems.count(problem)} x {problem}")
    if options.json:
        options.json.write_bytes(orjson.dumps(report) + b"\n")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sessions", default="1,5,10,20,40", help="how many at once, one run for each")
    parser.add_argument("--turns", type=int, default=3, help="turns of each session")
    parser.add_argument("--silence", type=int, default=500, help="silence_duration_ms of the sessions")
    parser.add_argument(
        "--speculation", default="auto", help="off, auto or always, or several: turn_taking.speculation"
    )
    parser.add_argument(
        "--no-judge", action="store_true", help="without the model that hears whether a turn is over"
    )
    parser.add_argument(
        "--pin", action="store_true", help="the server on one core, everything else on others"
    )
    parser.add_argument(
        "--local", action="store_true", help="the embedded engines instead of the timed fakes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, turn by turn")
    return parser


def _run(
    count: int, speculation: str, options: argparse.Namespace, explained_ms: float, core: int | None
) -> dict[str, Any]:
    """A fresh server, so that the memory of one run is not that of another."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = None if options.local else stack.enter_context(started_fakes())
        settings = LOCAL if port is None else FAKES.format(port=port)
        if options.no_judge:
            settings = settings.replace("[defaults]\n", "[defaults]\nturn = false\n")
        settings += TURN_TAKING.format(speculation=speculation)
        server = stack.enter_context(started_server(settings, folder, core))
        uvloop.run(_warm_up(server, options))
        if port is not None:
            _delays(port)
        before, own_before = server.cost(), time.process_time()
        results, full = uvloop.run(_calls(server, count, options))
        after, own_after = server.cost(), time.process_time()
        return run_figures(
            results,
            options.silence,
            explained_ms,
            cpu_seconds=after.cpu_seconds - before.cpu_seconds,
            rss_mib=full.rss_mib,
            caller_cpu_seconds=own_after - own_before,
            fakes=None if port is None else _delays(port),
            speculation=speculation,
            speculations=_speculations(server),
        )


async def _warm_up(server: Server, options: argparse.Namespace) -> None:
    """One turn that nobody counts: connections to providers are made, caches are filled."""
    result = CallerResult()
    await call(CallerPlan(server.url, options.silence, utterances()[:1], time.perf_counter()), result)
    if result.problem:
        raise RuntimeError(f"the server does not work: {result.problem}")


async def _calls(server: Server, count: int, options: argparse.Namespace) -> tuple[list[CallerResult], Cost]:
    """Let all callers talk; also returns the cost when the first of them hangs up."""
    random.seed(count)  # the same starts every time
    spoken = utterances()
    starts = time.perf_counter() + 0.2
    spread = 0.0 if count == 1 else STAGGER_SECONDS
    results = [CallerResult() for _ in range(count)]
    calls = []
    for index, result in enumerate(results):
        words = [spoken[(index + turn) % len(spoken)] for turn in range(options.turns)]
        starts_at = starts + (index + random.random()) / count * spread
        calls.append(
            asyncio.create_task(call(CallerPlan(server.url, options.silence, words, starts_at), result))
        )
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    full = server.cost()
    await asyncio.gather(*calls)
    return results, full


def _speculations(server: Server) -> dict[str, int]:
    """How many replies were prepared in advance, by what became of them."""
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'^parley_speculations_total\{outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {outcome: int(float(count)) for outcome, count in found}


def _delays(port: int) -> dict[str, Any]:
    """What the fakes say about their own punctuality since they were last asked."""
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/delays", timeout=5) as answer:
        delays: dict[str, Any] = orjson.loads(answer.read())
        return delays


if __name__ == "__main__":
    sys.exit(main())
