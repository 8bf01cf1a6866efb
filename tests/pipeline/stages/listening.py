"""What tests of listener sounds have in common: sessions that want them, voices that are slow, ears."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from pipeline.config import Patch
from pipeline.events import (
    BackchannelDone,
    ResponseDone,
)
from pipeline.session import Session
from providers.contracts import (
    SttEvent,
    TranscriptDelta,
    TranscriptFinal,
)
from tests.pipeline.scripted import Heard, ScriptedStt, ScriptedTts
from tests.pipeline.sessions import tone

__all__ = [
    "PAUSE",
    "SPEECH",
    "VAD",
    "Choosy",
    "Slow",
    "finished",
    "hearing",
    "of_llm",
    "sounds",
    "talk",
    "wanted",
]

VAD: Patch = {
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 640}}},
}
SPEECH, PAUSE = 4000, 0  # levels


def wanted(**members: Any) -> dict[str, Any]:
    return {"backchannel": {"enabled": True, "rule_fire_probability": 1.0, "volume_gain": 1.0, **members}}


def of_llm(**members: Any) -> dict[str, Any]:
    return wanted(small_model="lab/small", **members)


class Choosy(ScriptedTts):
    """Breaks where it is to speak like a listener."""

    async def speak(self, text: Any, options: Any) -> AsyncGenerator[Any, None]:
        first = await anext(text)
        if first != "Hello. ":
            raise ZeroDivisionError

        async def whole() -> AsyncIterator[str]:
            yield first
            async for segment in text:
                yield segment

        async with aclosing(super().speak(whole(), options)) as chunks:
            async for chunk in chunks:
                yield chunk


class Slow(ScriptedTts):
    """Tells when it has been asked, and then waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.may_speak.clear()

    async def speak(self, text: Any, options: Any) -> AsyncGenerator[Any, None]:
        self.asked.set()
        async with aclosing(super().speak(text, options)) as chunks:
            async for chunk in chunks:
                yield chunk


def hearing(*words: str) -> ScriptedStt:
    """Transcribes these words with the first audio of each turn, and nothing more."""

    async def script(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        await anext(audio)
        for word in words:
            yield TranscriptDelta(word)
        async for _ in audio:
            pass
        yield TranscriptFinal("".join(words))

    return ScriptedStt(script)


async def talk(session: Session, *stretches: tuple[int, int]) -> None:
    """Send so many milliseconds at each level."""
    for ms, level in stretches:
        await session.append_audio(tone(ms, level))


async def sounds(client: Heard, count: int) -> list[str]:
    await client.wait(BackchannelDone, count)
    return [done.phrase for done in client.of(BackchannelDone)]


async def finished(session: Session, client: Heard, turns: int = 1) -> None:
    """The user falls silent, and the reply comes."""
    await session.append_audio(tone(1600, PAUSE))
    await client.wait(ResponseDone, turns)
