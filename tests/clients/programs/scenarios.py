"""What the programs share: each is told where the server is and prints what its client saw, as JSON.

Called as `python PROGRAM SPEECH SCENARIO=URL ...`, where SPEECH is a file of PCM (16 bits, mono, 24 kHz) in
which somebody says "Ever tried. Ever failed." and is then quiet, and URL is like "http://127.0.0.1:8000".
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

__all__ = ["CALL", "LONG_STORY", "RATE", "WEATHER", "Scenario", "chunks", "run"]

RATE = 24_000  # Hertz
PATIENCE = 20  # seconds for one scenario

# What makes the server's default model call a function, and talk for half a minute without haste.
CALL = '[[call weather {"city": "Oslo"}]]'
WEATHER = "Light rain in Oslo"
LONG_STORY = "[[pace 50]] [[words 400]]"

Scenario = Callable[[str, bytes], Awaitable[dict[str, Any]]]


def chunks(speech: bytes, ms: int = 100, rate: int = RATE) -> list[bytes]:
    """The recording in pieces of `ms` milliseconds, as a microphone would deliver it."""
    size = 2 * rate * ms // 1000
    return [speech[start : start + size] for start in range(0, len(speech), size)]


def run(**scenarios: Scenario) -> None:
    """Play those that the command line asks for, one after the other, and print what each of them saw."""
    speech = Path(sys.argv[1]).read_bytes()
    wanted = [argument.split("=", 1) for argument in sys.argv[2:]]

    async def play() -> dict[str, Any]:
        return {name: await _play(scenarios[name], url, speech) for name, url in wanted}

    print(json.dumps(asyncio.run(play())))


async def _play(scenario: Scenario, url: str, speech: bytes) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await scenario(url, speech)
    except Exception:  # noqa: BLE001 - reported to the test, which fails with it
        return {"failure": traceback.format_exc()}
