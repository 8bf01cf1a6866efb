"""Engines that do what a test tells them to, and a client that remembers what it was sent.

Each stands behind the real contract. What a test wants to see is counted; what it wants to hold up waits for
an `asyncio.Event` of its own, so that nothing has to sleep.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pipeline.commands import Command
from pipeline.effects import Effect
from pipeline.events import Event
from providers.contracts import (
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    SpeechChunk,
    Stt,
    SttEvent,
    SttOptions,
    TextDelta,
    TextMark,
    TranscriptFinal,
    Tts,
    TtsOptions,
    VadFrame,
    Voice,
)
from providers.errors import UnknownModelError

__all__ = [
    "GUARD_S",
    "Engines",
    "Heard",
    "LoudnessVad",
    "ScriptedLlm",
    "ScriptedStt",
    "ScriptedTts",
    "replying",
]

GUARD_S = 10.0  # no test waits so long; a hang fails instead of blocking

Found = TypeVar("Found")


class LoudnessVad:
    """Loud is speech. Remembers who was in every call."""

    sample_rate = 16_000
    frame_samples = 512

    def __init__(self) -> None:
        self.batches: list[list[int]] = []  # numbers of the streams in each call
        self.failing = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Event()
        self._streams = 0

    def new_stream(self) -> Any:
        self._streams += 1
        return self._streams - 1

    def infer(self, frames: Sequence[VadFrame]) -> list[float]:
        self.batches.append([frame.stream for frame in frames])
        self.asked.set()
        assert self.may_answer.wait(GUARD_S)
        if self.failing:
            raise RuntimeError("the detector broke")
        return [0.9 if _loudness(frame.pcm) > 500 else 0.0 for frame in frames]


def _loudness(pcm: bytes) -> float:
    return float(np.abs(np.frombuffer(pcm, "<i2").astype(float)).mean())


class ScriptedStt:
    """Hears everything and says how much it was, unless a script says something else."""

    streaming = True

    def __init__(
        self,
        script: Callable[[AsyncIterator[bytes]], AsyncGenerator[SttEvent, None]] | None = None,
        sample_rate: int = 16_000,
    ) -> None:
        self.sample_rate = sample_rate
        self.options: list[SttOptions] = []
        self.closed = asyncio.Event()
        self.heard: list[bytes] = []
        self._script = script or self._count

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        self.options.append(options)
        try:
            async for event in self._script(audio):
                yield event
        finally:
            self.closed.set()

    async def _count(self, audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        pcm = b"".join([chunk async for chunk in audio])
        self.heard.append(pcm)
        yield TranscriptFinal(f"{len(pcm) // 2} samples")


class ScriptedLlm:
    """Follows a script of events, one of which may be an `asyncio.Event` to wait for or an error to raise."""

    def __init__(self, *script: LlmEvent | asyncio.Event | BaseException) -> None:
        self.requests: list[LlmRequest] = []
        self.yielded = 0
        self.closed = asyncio.Event()
        self._script = script

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        try:
            for step in self._script:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    self.yielded += 1
                    yield step
        finally:
            self.closed.set()


def replying(text: str) -> ScriptedLlm:
    """A model with one answer to everything, word by word."""
    return ScriptedLlm(*(TextDelta(word + " ") for word in text.split()), LlmFinished("stop"))


class ScriptedTts:
    """Speaks a constant tone, 10 ms per letter, with a mark behind each segment."""

    voices: tuple[Voice, ...] | None = (Voice("ann", "Ann"),)
    speeds = (0.25, 1.5)
    tags = ""

    def __init__(self, sample_rate: int = 24_000) -> None:
        self.sample_rate = sample_rate
        self.segments: list[str] = []
        self.options: list[TtsOptions] = []
        self.opened = 0
        self.closed = asyncio.Event()
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.error: BaseException | None = None  # raised instead of the first sound
        self.gives_up = False  # after the first segment

    def knows_voice(self, voice: str) -> bool:
        return voice == "ann"

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        self.opened += 1
        self.options.append(options)
        chars = samples = 0
        try:
            async for segment in text:
                self.segments.append(segment)
                await self.may_speak.wait()
                if self.error is not None:
                    raise self.error
                count = len(segment) * self.sample_rate // 100
                chars, samples = chars + len(segment), samples + count
                yield SpeechChunk(b"\x10\x10" * count, (TextMark(chars, samples),))
                if self.gives_up:
                    return
        finally:
            self.closed.set()


@dataclass
class Engines:
    """A registry of one engine per kind, all under names that begin with `lab/`."""

    llm_engine: Llm = field(default_factory=lambda: replying("Hello."))
    stt_engine: Stt = field(default_factory=ScriptedStt)
    tts_engine: Tts = field(default_factory=ScriptedTts)

    def is_loaded(self, name: str) -> bool:
        return True

    def llm(self, name: str) -> Llm:
        return self.llm_engine

    def stt(self, name: str) -> Stt:
        return self.stt_engine

    def tts(self, name: str) -> Tts:
        return self.tts_engine

    def context_tokens(self, name: str) -> int:
        return 32_768

    def resolve_llm(self, name: str) -> str:
        return self._resolve(name)

    def resolve_stt(self, name: str) -> str:
        return self._resolve(name)

    def resolve_tts(self, name: str) -> str:
        return self._resolve(name)

    def resolve_voice(self, tts: str, voice: str) -> str:
        return voice.lower()

    def _resolve(self, name: str) -> str:
        if not name.startswith("lab/"):
            raise UnknownModelError(f"no model '{name}'")
        return name


class Heard:
    """A client, or whoever else is told things: remembers them, and can be waited for."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.waits_for_room = asyncio.Event()
        self._more = asyncio.Event()

    def send(self, event: Event) -> None:
        self._add(event)

    def dispatch(self, command: Command) -> None:
        self._add(command)

    def saw(self, effect: Effect) -> None:
        self._add(effect)

    def _add(self, told: Any) -> None:
        self.all.append(told)
        self._more.set()

    async def room(self) -> None:
        if not self.may_go_on.is_set():
            self.waits_for_room.set()
        await self.may_go_on.wait()

    def of(self, kind: type[Found]) -> list[Found]:
        return [told for told in self.all if isinstance(told, kind)]

    def names(self) -> list[str]:
        """The kinds of everything told, repetitions taken together."""
        names = [type(told).__name__ for told in self.all]
        return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]

    async def wait(self, kind: type[Found], count: int = 1) -> Found:
        """The `count`th thing of that kind."""
        async with asyncio.timeout(GUARD_S):
            while len(self.of(kind)) < count:
                self._more.clear()
                await self._more.wait()
        return self.of(kind)[count - 1]
