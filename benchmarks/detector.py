"""What speech detection costs per frame of 32 ms: the model alone, and the whole way through the detector.

    uv run python -m benchmarks.detector
    uv run python -m benchmarks.detector --sessions 20 --seconds 20 --message 40 --json out.json

model  The model judges one frame of every session in one call, again and again, in this thread.
live   Every session sends real speech at the pace of a microphone, each at moments of its own: push,
       gather, resample, cut into frames, judge, report. The time of the event loop and that of the
       detector's thread are told apart; what it costs to send is measured first and taken off. The wait
       is from the message that completes a frame to its report.
fast   Every session hands over its audio as fast as it is taken, as with a recording.

All times are those of a processor, in microseconds per frame, unless they say otherwise, so that other
programs on the machine do little harm; "wall" and "wait" are what a clock sees.
"""

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import uvloop

from benchmarks.report import machine, percentile
from pipeline.audio.resample import resample
from pipeline.detection import SpeechDetector
from pipeline.ticks import TICK_RATE
from providers.contracts import Vad, VadFrame
from providers.vad.silero import SileroVad
from providers.weights import wheel_file
from server.talk.recording import RATE, read_recording

__all__ = ["main"]

SPEECH = "assets/two_cities.wav"
APPEND_SECONDS = 1  # a session hands long recordings over in steps of this length

HEAD = """\
| sessions | model | model, wall | live: event loop | live: thread | frames per call | calls per second \
| wait, ms | fast | fast, wall | times real time |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each number of sessions in turn, and print a line of the table for it."""
    options = _parser().parse_args(arguments)
    vad = _Counted(SileroVad())
    speech = resample(read_recording(wheel_file("moonshine_voice", SPEECH)).pcm, RATE, options.rate)
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "rate": options.rate,
        "message_ms": options.message,
        "runs": [],
    }
    print(HEAD)
    for count in options.sessions:
        run: dict[str, Any] = {"sessions": count}
        run |= measure_model(vad.inner, count, _frames(vad, resample(speech, options.rate, vad.sample_rate)))
        run |= uvloop.run(measure_live(vad, count, speech, options.rate, options.message, options.seconds))
        run |= uvloop.run(measure_fast(vad, count, speech, options.rate, options.fast_frames))
        report["runs"].append(run)
        print(_row(run), flush=True)
    if options.json:
        options.json.write_bytes(orjson.dumps(report) + b"\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detector",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sessions",
        type=lambda text: [int(count) for count in text.split(",")],
        default=[1, 4, 16, 64, 256],
        metavar="N,...",
        help="how many at once, one line for each (1,4,16,64,256)",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the live part lasts (5)")
    parser.add_argument(
        "--rate", type=int, default=24_000, help="of the audio that is sent, in Hertz (24000)"
    )
    parser.add_argument("--message", type=int, default=20, help="milliseconds of audio in a message (20)")
    parser.add_argument(
        "--fast-frames", type=int, default=4000, help="frames of all sessions together in the fast part"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    return parser


class _Counted:
    """A detector's model that knows how many calls it had."""

    def __init__(self, inner: Vad) -> None:
        self.inner = inner
        self.sample_rate, self.frame_samples = inner.sample_rate, inner.frame_samples
        self.new_stream = inner.new_stream
        self.calls = 0

    def infer(self, frames: Sequence[VadFrame]) -> list[float]:
        self.calls += 1
        return self.inner.infer(frames)


def _frames(vad: Vad, pcm: bytes) -> list[bytes]:
    size = 2 * vad.frame_samples
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def measure_model(vad: Vad, count: int, frames: Sequence[bytes]) -> dict[str, Any]:
    """Calls of one frame per session; the best of several rounds, since others can only make it slower."""
    streams = [vad.new_stream() for _ in range(count)]
    calls = max(4, 400 // count)
    best_cpu = best_wall = float("inf")
    for turn in range(6):
        batches = [
            [VadFrame(stream, frames[(7 * i + call) % len(frames)]) for i, stream in enumerate(streams)]
            for call in range(turn * calls, (turn + 1) * calls)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        for batch in batches:
            vad.infer(batch)
        best_cpu = min(best_cpu, time.process_time() - cpu)
        best_wall = min(best_wall, time.perf_counter() - wall)
    each = 1e6 / calls / count
    return {"model_us": round(best_cpu * each, 1), "model_wall_us": round(best_wall * each, 1)}


class _Sender:
    """One session of the live part."""

    def __init__(self, speech: bytes, rate: int, message_ms: int, offset: int) -> None:
        self._bytes = 2 * (rate * message_ms // 1000)
        self._speech, self._place = speech, offset * self._bytes
        # What a frame needs beyond its end when it is resampled, in ticks: see `Resampler`.
        self._ahead = 0 if rate == TICK_RATE else TICK_RATE * max(16 / min(rate, TICK_RATE), 0.001)
        self._message_ticks = message_ms * TICK_RATE // 1000
        self._sent: list[float] = []
        self.waits_ms: list[float] = []

    def send(self, push: Callable[[bytes], None]) -> None:
        if self._place + self._bytes > len(self._speech):
            self._place = 0
        self._sent.append(time.perf_counter())
        push(self._speech[self._place : self._place + self._bytes])
        self._place += self._bytes

    def reported(self, start: int, end: int, probability: float) -> None:
        message = -int(-(end + self._ahead) // self._message_ticks) - 1
        if message < len(self._sent):
            self.waits_ms.append((time.perf_counter() - self._sent[message]) * 1000)


async def measure_live(
    vad: _Counted, count: int, speech: bytes, rate: int, message_ms: int, seconds: float
) -> dict[str, Any]:
    """Sessions at the pace of a microphone, for so long."""
    idle = [_Sender(speech, rate, message_ms, 10 * i) for i in range(count)]
    sending = await _send([(sender, lambda _: None) for sender in idle], message_ms, seconds)
    senders = [_Sender(speech, rate, message_ms, 10 * i) for i in range(count)]
    async with SpeechDetector(vad) as detector:
        streams = [detector.open(rate, 0, sender.reported) for sender in senders]
        calls, thread = vad.calls, _detector_time()
        loop = await _send(
            [(sender, stream.push) for sender, stream in zip(senders, streams, strict=True)],
            message_ms,
            seconds,
        )
        calls, thread = vad.calls - calls, _detector_time() - thread
        for stream in streams:
            stream.close()
    waits = [wait for sender in senders for wait in sender.waits_ms]
    frames = max(1, len(waits))
    return {
        "live_loop_us": round((loop - sending) * 1e6 / frames, 1),
        "live_thread_us": round(thread * 1e6 / frames, 1),
        "frames_per_call": round(frames / max(1, calls), 2),
        "calls_per_second": round(calls / seconds, 1),
        "wait_ms": {"p50": round(median(waits), 1), "p95": round(percentile(waits, 0.95) or 0.0, 1)},
    }


async def _send(
    sessions: Sequence[tuple[_Sender, Callable[[bytes], None]]], message_ms: int, seconds: float
) -> float:
    """Have all of them send at their own moments; returns the processor time of this thread, in seconds."""
    loop = asyncio.get_running_loop()
    spacing, began = message_ms / 1000, loop.time() + 0.05
    ended = began + seconds
    over = asyncio.Event()

    def tick(sender: _Sender, push: Callable[[bytes], None], at: float) -> None:
        sender.send(push)
        if at + spacing < ended:
            loop.call_at(at + spacing, tick, sender, push, at + spacing)

    for index, (sender, push) in enumerate(sessions):
        # The golden ratio spreads any number of sessions evenly over the time between two messages.
        at = began + index * 0.618034 % 1 * spacing
        loop.call_at(at, tick, sender, push, at)
    loop.call_at(ended + 0.1, over.set)
    cpu = time.thread_time()
    await over.wait()
    return time.thread_time() - cpu


def _detector_time() -> float:
    """Processor time of the detector's thread so far, in seconds; 0 where the system cannot tell."""
    if sys.platform != "linux":
        return 0.0
    threads = [thread.ident for thread in threading.enumerate() if thread.name.startswith("vad")]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in threads if ident)


async def measure_fast(vad: _Counted, count: int, speech: bytes, rate: int, frames: int) -> dict[str, Any]:
    """Sessions that hand over recordings, about so many frames in all."""
    each = max(1, frames // count)
    samples = -(-each * vad.frame_samples * rate // vad.sample_rate)
    step = 2 * rate * APPEND_SECONDS
    done = asyncio.Event()
    reports = 0

    def reported(start: int, end: int, probability: float) -> None:
        nonlocal reports
        reports += 1
        if reports >= count * each:
            done.set()

    async def hand_over(index: int) -> None:
        again = -(-2 * samples // len(speech)) + 1
        # Each from another place, and with a little more than the frames have, to look ahead.
        pcm = (speech[2000 * index % len(speech) :] + speech * again)[: 2 * samples + rate // 50]
        stream = detector.open(rate, 0, reported)
        for at in range(0, len(pcm), step):
            stream.push(pcm[at : at + step])
            await stream.room()
            await asyncio.sleep(0)

    async with SpeechDetector(vad) as detector:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*map(hand_over, range(count)))
        await done.wait()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    judged = reports * vad.frame_samples / vad.sample_rate
    return {
        "fast_us": round(cpu * 1e6 / reports, 1),
        "fast_wall_us": round(wall * 1e6 / reports, 1),
        "times_real_time": round(judged / wall),
    }


def _row(run: dict[str, Any]) -> str:
    wait = run["wait_ms"]
    cells = [
        run["sessions"],
        run["model_us"],
        run["model_wall_us"],
        run["live_loop_us"],
        run["live_thread_us"],
        run["frames_per_call"],
        run["calls_per_second"],
        f"{wait['p50']} / {wait['p95']}",
        run["fast_us"],
        run["fast_wall_us"],
        run["times_real_time"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
