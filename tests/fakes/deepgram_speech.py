"""The part of the fake of Deepgram that speaks (`/v1/speak`).

A plan's reply is None, a `Speech`, or an object to be told at once, such as an error.
One reply serves a whole connection, however many texts it speaks.
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_replies import sine
from tests.fakes.websocket import Line

__all__ = ["CHAR_S", "MAX_CHARS", "MAX_FLUSHES", "Speech", "converse", "spoken"]

CHAR_S = 0.002  # of speech for each character
MAX_CHARS = 2000
MAX_FLUSHES = 20  # in a minute
ENOUGH_CHARS = 150  # are spoken without a flush


@dataclass(frozen=True, slots=True)
class Speech:
    """How the service speaks."""

    chunk_bytes: int = 1001  # odd: samples are cut in two
    hold: asyncio.Event | None = None  # after the first chunk of every text, this is awaited
    answers_late: bool = False  # a flush that was cleared is answered all the same, before the next text
    mutes: bool = False  # no sound comes


def spoken(text: str, rate: int = 24_000) -> bytes:
    """What the service says for a text."""
    return sine(len(text) * CHAR_S * rate / 24_000)


async def converse(line: Line) -> None:
    """One connection."""
    if isinstance(line.reply, dict):
        await line.send(line.reply)
        await line.close(1011, "NET-0000")
    model = line.query["model"]
    await line.send(
        {
            "type": "Metadata",
            "request_id": str(uuid.uuid4()),
            "model_name": model,
            "model_version": "2026-08-01.0",
            "model_uuid": str(uuid.uuid4()),
        }
    )
    speaker = _Speaker(line)
    async with asyncio.TaskGroup() as tasks:
        mouth = tasks.create_task(speaker.speak(), name="fake voice")
        while (message := await line.receive()) is not None:
            if not await speaker.obey(message):
                break
        if message is not None:
            await speaker.work.join()
        mouth.cancel()


class _Speaker:
    """Texts are spoken by a task of their own, so that they can be cleared."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.speech = line.reply if isinstance(line.reply, Speech) else Speech()
        self.buffer = ""
        self.work: asyncio.Queue[str | int] = asyncio.Queue()  # texts, and numbers of flushes
        self.flushes: deque[float] = deque()
        self.sequence = 0
        self.dropped: list[int] = []  # flushes that were cleared, and not answered
        self.clearing = asyncio.Event()

    async def obey(self, message: dict[str, Any] | str | bytes) -> bool:
        match message:
            case bytes():
                await self.line.close(1003, "MESSAGE-0000")
            case {"type": "Speak", "text": str(text)}:
                if len(text) > MAX_CHARS:
                    await self.line.close(1009, "BIG-0001")
                for number in self.dropped:
                    await self.line.send({"type": "Flushed", "sequence_id": number})
                self.dropped = []
                self.buffer += text
                if len(self.buffer) >= ENOUGH_CHARS:
                    self.say()
            case {"type": "Flush"}:
                await self.flush()
            case {"type": "Clear"}:
                await self.clear()
            case {"type": "Close"}:
                self.say()
                return False
            case _:
                await self.line.close(1008, "DATA-0000")
        return True

    def say(self) -> None:
        if self.buffer:
            self.work.put_nowait(self.buffer)
            self.buffer = ""

    async def flush(self) -> None:
        now = asyncio.get_running_loop().time()
        while self.flushes and now - self.flushes[0] >= 60:
            self.flushes.popleft()
        if len(self.flushes) >= MAX_FLUSHES:
            told = "Cannot process any more Flush messages until the 60 second window has passed."
            await self.line.send({"type": "Warning", "code": "EXCESSIVE_FLUSH", "description": told})
            return
        self.flushes.append(now)
        self.say()
        self.work.put_nowait(self.sequence)
        self.sequence += 1

    async def clear(self) -> None:
        self.buffer = ""
        dropped = []
        self.clearing.set()
        while not self.work.empty():
            if isinstance(entry := self.work.get_nowait(), int):
                dropped.append(entry)
            self.work.task_done()
        await self.work.join()
        self.clearing.clear()
        await self.line.send({"type": "Cleared", "sequence_id": self.sequence})
        self.dropped = dropped if self.speech.answers_late else []

    async def speak(self) -> None:
        while True:
            entry = await self.work.get()
            if isinstance(entry, int):
                await self.line.send({"type": "Flushed", "sequence_id": entry})
            elif not self.speech.mutes:
                async for chunk in self.chunks(entry):
                    await self.line.send(chunk)
            self.work.task_done()

    async def chunks(self, text: str) -> AsyncIterator[bytes]:
        pcm, size = spoken(text, int(self.line.query["sample_rate"])), self.speech.chunk_bytes
        for offset in range(0, len(pcm), size):
            if self.clearing.is_set():
                return
            yield pcm[offset : offset + size]
            if self.speech.hold is not None:
                await _either(self.speech.hold.wait, self.clearing.wait)


async def _either(*waits: Callable[[], Any]) -> None:
    tasks = [asyncio.create_task(wait()) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
