"""Engines that do what a test tells them to, for tests in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from providers.contracts import (
    Attempt,
    LlmEvent,
    LlmRequest,
    SpeechChunk,
    SttEvent,
    SttOptions,
    TtsOptions,
    Voice,
)
from providers.errors import UnknownModelError
from providers.routing.definition import parse_definition
from providers.routing.routers import Routers
from providers.routing.scoreboard import Scoreboard

__all__ = ["Bench", "FakeLlm", "FakeStt", "FakeTts", "about", "pause"]


def about(model: str, error: str | None, seconds: float) -> Any:
    """An attempt that took about so long."""
    return Attempt(model, error, pytest.approx(seconds))  # type: ignore[arg-type]


def pause(seconds: float) -> Callable[[], Awaitable[None]]:
    """A step of a script that takes so long."""
    return lambda: asyncio.sleep(seconds)


class _Scripted:
    """Follows a script: pieces, errors to raise, and pauses."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.begun: list[float] = []  # when each stream was begun
        self.closed = 0
        self.warmed = 0

    async def warm(self) -> None:
        self.warmed += 1

    async def _play(self) -> AsyncGenerator[Any, None]:
        self.begun.append(asyncio.get_running_loop().time())
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    await step()
                else:
                    yield step
        finally:
            self.closed += 1


class FakeLlm(_Scripted):
    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.requests: list[LlmRequest] = []

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        stream = self._play()
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()


class FakeStt(_Scripted):
    """Hears first: `hears` chunks, or all of them, and then follows its script."""

    streaming = True

    def __init__(self, *script: Any, rate: int = 16_000, hears: int | None = None) -> None:
        super().__init__(*script)
        self.sample_rate = rate
        self.heard: list[bytes] = []
        self.options: list[SttOptions] = []
        self._hears = hears

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        self.options.append(options)
        heard = bytearray()
        self.heard.append(b"")
        count = 0
        while self._hears is None or count < self._hears:
            try:
                heard += await anext(audio)
            except StopAsyncIteration:
                break
            count += 1
            self.heard[-1] = bytes(heard)
        stream = self._play()
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()


class FakeTts(_Scripted):
    """Reads `reads` segments, or all of them, and then follows its script."""

    def __init__(
        self,
        *script: Any,
        rate: int = 24_000,
        reads: int | None = None,
        voices: Sequence[str] = ("Ann",),
        speeds: tuple[float, float] = (0.5, 2.0),
        tags: str = "",
    ) -> None:
        super().__init__(*script)
        self.sample_rate = rate
        self.voices: tuple[Voice, ...] | None = tuple(Voice(name, name) for name in voices)
        self.speeds = speeds
        self.tags = tags
        self.read: list[list[str]] = []
        self.options: list[TtsOptions] = []
        self._reads = reads

    def knows_voice(self, voice: str) -> bool:
        return voice in [known.id for known in self.voices or ()]

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        self.options.append(options)
        self.read.append([])
        while self._reads is None or len(self.read[-1]) < self._reads:
            try:
                self.read[-1].append(await anext(text))
            except StopAsyncIteration:
                break
        if not "".join(self.read[-1]).strip():
            return
        stream = self._play()
        try:
            async for chunk in stream:
                yield chunk
        finally:
            await stream.aclose()


@dataclass
class Bench:
    """Engines by canonical name, routers, and what has been learnt: all that a router needs."""

    engines: dict[str, Any] = field(default_factory=dict)
    defaults: str = ""
    voices: dict[tuple[str, str], str] = field(default_factory=dict)
    chances: Iterable[float] = ()  # then 0.99 for ever: nobody explores

    def __post_init__(self) -> None:
        self.given = iter(self.chances)
        self.routers = Routers(lambda: Scoreboard(_now, lambda: next(self.given, 0.99)))

    def define(self, **definition: Any) -> None:
        """Add the router "r"."""
        self.routers.put(parse_definition(definition, name="r"))

    def _resolve(self, name: str) -> str:
        if not name and self.defaults:
            return self.defaults
        if name in self.engines:
            return name
        for known in self.engines:
            if known.partition("/")[2] == name:
                return known
        raise UnknownModelError(f"Unknown model '{name}'")

    resolve_llm = resolve_stt = resolve_tts = _resolve

    def is_loaded(self, name: str) -> bool:
        return name in self.engines

    def _engine(self, name: str) -> Any:
        return self.engines[self._resolve(name)]

    llm = stt = tts = _engine

    def resolve_voice(self, tts: str, voice: str) -> str:
        if self.engines[tts].knows_voice(voice):
            return voice
        try:
            return self.voices[tts, voice]
        except KeyError:
            raise UnknownModelError(f"Unknown voice '{voice}' of '{tts}'") from None

    def context_tokens(self, name: str) -> int:
        return {"a/one": 8000, "b/two": 4000}.get(name, 128_000)


def _now() -> float:
    return asyncio.get_running_loop().time()
