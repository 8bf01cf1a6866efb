"""What an outage costs: how much later the first piece comes when a router's first choice fails.

    uv run python -m benchmarks.outages --json out.json
    uv run python -m benchmarks.outages --trials 20 --only cartesia

Adapters, sockets and routers are real, and the services are faithful fakes on loopback. Both choices of a
router are the same service, so that what a fault adds is all that differs. Needs a checkout with its tests.
"""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

import orjson
import uvloop

from benchmarks.report import machine, percentile
from providers.contracts import (
    LlmRequest,
    SttOptions,
    TextDelta,
    TextPart,
    TranscriptFinal,
    TtsOptions,
    UserMessage,
)
from providers.provider import Provider, ProviderSettings
from providers.registry import Defaults, Registry, make_provider
from providers.routing.definition import parse_definition
from providers.routing.llm import RouterLlm
from providers.routing.routers import Routers
from providers.routing.stt import RouterStt
from providers.routing.tts import RouterTts
from tests.fakes.hearing import in_pieces, say
from tests.fakes.upstreams import FAULTS, HEARD, SAID, UPSTREAMS, FaultName, Upstream

__all__ = ["TIMEOUT_MS", "main"]

State = FaultName | Literal["healthy", "refused"]

TIMEOUT_MS = 300  # of the router, for a first piece
ALLOWED_MS = 50  # beyond it
STATES: tuple[State, ...] = ("healthy", "refused", *FAULTS)
# Bytes that are no speech cannot be told from speech where that is all that comes.
UNNOTICED = {("openai-compatible/gpt-4o-mini-tts", "corrupted")}

REQUEST = LlmRequest((UserMessage((TextPart(HEARD),)),))
RATE = 16_000  # of what routers hear
VOICE = "Dennis"
PIECE_S = 0.05
APART_S = 0.14  # seven transcriptions within the time of one utterance


class Bench:
    """One service: a client of it in each state, and a healthy one to take over."""

    def __init__(self, upstream: Upstream, fakes: Mapping[str, Any], registry: Registry) -> None:
        self.upstream = upstream
        self._fakes = fakes
        self._registry = registry

    async def wait(self, state: State) -> float:
        """Milliseconds until the first piece; for a transcription, from the end of speech to its text."""
        for fault in FAULTS:
            if fault == state:
                self.upstream.suffer(self._fakes[state], fault)
        models = [f"{name}/{self.upstream.model}" for name in (state, "second")]
        routers = Routers()  # which know of no failure yet
        routers.put(
            parse_definition(
                {
                    "kind": self.upstream.kind,
                    "defaults": {"fallback": {"ttft_timeout": f"{TIMEOUT_MS}ms"}},
                    "default_route": {"variants": [{"variant": {"model_selection": {"models": models}}}]},
                },
                name="r",
            )
        )
        match self.upstream.kind:
            case "llm":
                return await _first_text(RouterLlm("r", routers, self._registry))
            case "stt":
                return await _whole_text(RouterStt("r", routers, self._registry))
            case _:
                return await _first_sound(RouterTts("r", routers, self._registry))


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


async def _first_text(llm: RouterLlm) -> float:
    began = _now_ms()
    waited: float | None = None
    text = ""
    async with aclosing(llm.generate(REQUEST)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                waited = waited if waited is not None else _now_ms() - began
                text += event.text
    if waited is None or text != SAID:
        raise RuntimeError(f"the model said {text!r}")
    return waited


async def _whole_text(stt: RouterStt) -> float:
    ended = 0.0

    async def audio() -> AsyncIterator[bytes]:
        nonlocal ended
        due = asyncio.get_running_loop().time()
        for piece in in_pieces(say(HEARD, rate=RATE, pause_s=0.2), rate=RATE, seconds=PIECE_S):
            due += PIECE_S
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            yield piece
        ended = _now_ms()

    text, waited = "", 0.0
    async with aclosing(stt.transcribe(audio(), SttOptions())) as events:
        async for event in events:
            if isinstance(event, TranscriptFinal):
                text, waited = event.text, _now_ms() - ended
    if text != HEARD:
        raise RuntimeError(f"the service heard {text!r}")
    return waited


async def _first_sound(tts: RouterTts) -> float:
    async def text() -> AsyncIterator[str]:
        yield SAID

    began = _now_ms()
    waited: float | None = None
    async with aclosing(tts.speak(text(), TtsOptions(VOICE))) as chunks:
        async for chunk in chunks:
            if chunk.pcm and waited is None:
                waited = _now_ms() - began
    if waited is None:
        raise RuntimeError("the voice said nothing")
    return waited


async def _measure(upstream: Upstream, trials: int, after_s: float) -> dict[str, list[float]]:
    """The times of each state, which take turns; begins so many seconds from now."""
    await asyncio.sleep(after_s)
    async with AsyncExitStack() as stack:
        fakes: dict[str, Any] = {}
        providers: dict[str, Provider] = {}
        for name in ("second", *STATES):
            fakes[name] = fake = await stack.enter_async_context(upstream.fake())
            base_url = fake.base_url.removesuffix("/v1")
            if name == "refused":
                unused = stack.enter_context(socket.socket())
                unused.bind(("127.0.0.1", 0))  # and not listening
                base_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            options = {"base_url": base_url + upstream.path}
            providers[name] = make_provider(
                upstream.provider_kind, ProviderSettings(name, options, fake.api_key)
            )
        registry = Registry(providers, defaults=Defaults("", "", "", "", ""), aliases={})
        stack.push_async_callback(registry.aclose)
        bench = Bench(upstream, fakes, registry)
        states = [state for state in STATES if (upstream.name, state) not in UNNOTICED]
        await bench.wait("healthy")  # loads what has to be loaded
        times: dict[str, list[float]] = {state: [] for state in states}
        for _ in range(trials):
            for state in states:
                times[state].append(await bench.wait(state))
    return times


def _figures(upstream: Upstream, label: str, times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    healthy = median(times["healthy"])
    added = {
        state: {
            "p50": round(median(values) - healthy, 1),
            "p95": round((percentile(values, 0.95) or 0.0) - healthy, 1),
        }
        for state, values in times.items()
        if state != "healthy"
    }
    return {
        "service": label,
        "kind": upstream.kind,
        "healthy_ms": round(healthy, 1),
        "added_ms": added,
        "trials_ms": {state: [round(value, 1) for value in values] for state, values in times.items()},
    }


def _row(run: Mapping[str, Any]) -> str:
    cells = [run["kind"], run["service"], f"{run['healthy_ms']:.0f}"]
    for state in STATES[1:]:
        added = run["added_ms"].get(state)
        cells.append(f"{added['p50']:.0f} / {added['p95']:.0f}" if added else "-")
    return f"| {' | '.join(cells)} |"


async def _run(chosen: Mapping[str, Upstream], trials: int) -> list[dict[str, Any]]:
    print("| kind | service | healthy, ms | " + " | ".join(f"{state}, +ms" for state in STATES[1:]) + " |")
    print("|---|---|---:|" + "---:|" * (len(STATES) - 1))
    groups = [[label] for label, upstream in chosen.items() if upstream.kind != "stt"]
    # Speech takes its time, so transcriptions are measured together, none at the same moment as another.
    groups.append([label for label, upstream in chosen.items() if upstream.kind == "stt"])
    runs = []
    for labels in groups:
        work = (_measure(chosen[label], trials, index * APART_S) for index, label in enumerate(labels))
        measured = await asyncio.gather(*work)
        for label, times in zip(labels, measured, strict=True):
            runs.append(_figures(chosen[label], label, times))
            print(_row(runs[-1]), flush=True)
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """The status is 1 where a fault added more than is allowed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outages", description=__doc__)
    parser.add_argument("--trials", type=int, default=10, metavar="N", help="of each fault")
    parser.add_argument("--only", default="", metavar="TEXT", help="services with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, trial by trial")
    options = parser.parse_args(arguments)
    chosen = {label: upstream for label, upstream in UPSTREAMS.items() if options.only in label}

    runs = uvloop.run(_run(chosen, options.trials))
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "timeout_ms": TIMEOUT_MS,
        "trials": options.trials,
        "runs": runs,
    }
    if options.json:
        options.json.write_bytes(orjson.dumps(report) + b"\n")
    late = [
        f"{run['service']} {state}: {added['p50']} ms"
        for run in runs
        for state, added in run["added_ms"].items()
        if added["p50"] > TIMEOUT_MS + ALLOWED_MS
    ]
    print("\n" + ("Over the limit: " + "; ".join(late) if late else "Nothing is over the limit."))
    return 1 if late else 0


if __name__ == "__main__":
    logging.getLogger("providers").setLevel(logging.ERROR)  # every fault is worth a warning elsewhere
    sys.exit(main())
