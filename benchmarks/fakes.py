"""Providers whose delays are known: an OpenAI-compatible HTTP API that says when it really answered.

Run as a process of its own (`python -m benchmarks.fakes`), so that its work is not the server's. It prints
its port on the first line. `GET /delays` tells how late it was, so that a reader can trust the figures.
"""

import argparse
import asyncio
import json
import math
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field

import uvloop
from aiohttp import web

__all__ = ["FakeTimes", "make_app"]

RATE = 24_000  # Hertz, of the speech
CHUNK_MS = 100
MS_PER_CHARACTER = 65  # of speech: the pace of an ordinary voice

# No comma before the first full stop: the first thing that can be spoken is the whole sentence.
FIRST = ("The", " answer", " to", " that", " is", " quite", " simple.")
REST = (" It", " takes", " a", " while,", " but", " it", " works.")


@dataclass(frozen=True, slots=True)
class FakeTimes:
    """Milliseconds that each stage takes, from the end of its request on."""

    stt_ms: float = 100.0
    llm_sentence_ms: float = 210.0  # until the token that ends the first sentence
    llm_token_ms: float = 10.0  # between tokens
    tts_first_ms: float = 80.0  # until the first bytes of speech
    tts_speed: float = 10.0  # seconds of speech per second, after that

    @property
    def total_ms(self) -> float:
        """What a server cannot do without, when it speaks as soon as it can."""
        return self.stt_ms + self.llm_sentence_ms + self.tts_first_ms


@dataclass(slots=True)
class Clock:
    """Waits until moments, and keeps how much later than planned each came."""

    late_ms: list[float] = field(default_factory=list)

    async def until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        self.late_ms.append((time.perf_counter() - moment) * 1000)


CLOCK = web.AppKey("clock", Clock)
TIMES = web.AppKey("times", FakeTimes)


def make_app(times: FakeTimes) -> web.Application:
    """The three endpoints of `kind = "openai-compatible"`, and `/delays`."""
    app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[_hang_up])
    app[CLOCK], app[TIMES] = Clock(), times
    app.router.add_post("/v1/audio/transcriptions", _transcribe)
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_post("/v1/audio/speech", _speak)
    app.router.add_get("/delays", _delays)
    app.router.add_get("/v1/models", _models)
    return app


@web.middleware
async def _hang_up(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A reply that is interrupted is no error: its client has gone."""
    try:
        return await handler(request)
    except ConnectionResetError:
        return web.Response()


async def _transcribe(request: web.Request) -> web.Response:
    await request.read()
    await request.app[CLOCK].until(time.perf_counter() + request.app[TIMES].stt_ms / 1000)
    return web.json_response({"text": "What is the answer?", "usage": {"type": "duration", "seconds": 1}})


async def _chat(request: web.Request) -> web.StreamResponse:
    await request.read()
    times, clock = request.app[TIMES], request.app[CLOCK]
    gap = times.llm_token_ms / 1000
    moment = time.perf_counter() + times.llm_sentence_ms / 1000 - (len(FIRST) - 1) * gap
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for token in FIRST + REST:
        await clock.until(moment)
        await response.write(
            _sse({"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
        )
        moment += gap
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": len(FIRST + REST),
        "total_tokens": 20 + len(FIRST + REST),
    }
    await response.write(_sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    await response.write(_sse({"choices": [], "usage": usage}))
    await response.write(b"data: [DONE]\n\n")
    return response


def _sse(members: dict[str, object]) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "llm", **members}
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def _speak(request: web.Request) -> web.StreamResponse:
    arrived = time.perf_counter()
    text = str((await request.json()).get("input", ""))
    times, clock = request.app[TIMES], request.app[CLOCK]
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await response.prepare(request)
    moment = arrived + times.tts_first_ms / 1000
    for _ in range(math.ceil(len(text) * MS_PER_CHARACTER / CHUNK_MS)):
        await clock.until(moment)
        await response.write(_TONE)
        moment += CHUNK_MS / 1000 / times.tts_speed
    return response


def _tone() -> bytes:
    """A quiet hum that begins and ends at zero; it stands for speech that nobody listens to."""
    count = RATE * CHUNK_MS // 1000
    return struct.pack(
        f"<{count}h", *(round(3000 * math.sin(2 * math.pi * 200 * n / RATE)) for n in range(count))
    )


_TONE = _tone()


async def _delays(request: web.Request) -> web.Response:
    """How late the answers were, in milliseconds, since the last time that somebody asked."""
    late = sorted(request.app[CLOCK].late_ms)
    request.app[CLOCK].late_ms = []
    at = {
        name: late[int(len(late) * share)] if late else None for name, share in (("p50", 0.5), ("p95", 0.95))
    }
    return web.json_response({"count": len(late), **at, **asdict(request.app[TIMES])})


async def _models(request: web.Request) -> web.Response:
    names = ("llm", "stt", "tts")
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def _serve(times: FakeTimes) -> None:
    runner = web.AppRunner(make_app(times), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    # Ends with the process that started it, however that one ended.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fakes", description=__doc__)
    for name, value in asdict(FakeTimes()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, metavar="N")
    uvloop.run(_serve(FakeTimes(**vars(parser.parse_args(arguments)))))


if __name__ == "__main__":
    main()
