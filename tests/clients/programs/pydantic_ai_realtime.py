"""Pydantic AI: an agent with a tool, and its realtime session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import Agent, PartEndEvent, SpeechPart, TextPart
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import (
    RealtimeInputSpeechStartEvent,
    RealtimeSession,
    RealtimeSessionErrorEvent,
    RealtimeTurnCompleteEvent,
)
from pydantic_ai.realtime.openai import OpenAIRealtimeModel
from scenarios import CALL, LONG_STORY, WEATHER, chunks, run


@asynccontextmanager
async def talking(url: str, agent: Agent, **settings: Any) -> AsyncIterator[RealtimeSession]:
    """A session of that agent, which bears a pause between two sentences."""
    settings["turn_detection"] = {"silence_duration_ms": 700}
    model = OpenAIRealtimeModel(
        "gpt-realtime", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"), settings=settings
    )
    async with agent.realtime(model).session(handle_barge_in=True) as session:
        yield session


class Listener:
    """Reads the session's events and remembers who said what."""

    def __init__(self, session: RealtimeSession) -> None:
        self.events = aiter(session)  # the only one that a session allows
        self.said: dict[str, list[str]] = {"user": [], "assistant": []}

    async def until(self, kind: type) -> None:
        """Follow the session up to the next event of that kind; its errors are ours."""
        async for event in self.events:
            if isinstance(event, RealtimeSessionErrorEvent):
                raise RuntimeError(event.message)
            if isinstance(event, PartEndEvent) and isinstance(event.part, SpeechPart):
                self.said[event.part.speaker].append(event.part.transcript or "")
            if isinstance(event, PartEndEvent) and isinstance(event.part, TextPart):
                self.said["assistant"].append(event.part.content)
            if isinstance(event, kind):
                return
        raise RuntimeError(f"the session ended without {kind.__name__}")


async def play(audio: AsyncIterator[bytes]) -> int:
    """Play everything that the model says; the bytes of it."""
    return sum([len(chunk) async for chunk in audio])


async def written(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url, Agent(instructions="Be brief."), output_modality="text") as session:
        listener = Listener(session)
        await session.send("Good morning")
        await listener.until(RealtimeTurnCompleteEvent)
        return {"answer": listener.said["assistant"][-1]}


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url, Agent(instructions="Be brief.")) as session:
        listener, playback = Listener(session), asyncio.create_task(play(session.stream_audio()))
        for chunk in chunks(speech):
            await session.send_audio(chunk)
        await listener.until(RealtimeTurnCompleteEvent)
        await session.wait_for_playback()
        said = listener.said
    return {"heard": said["user"][-1], "answer": said["assistant"][-1], "audio_bytes": await playback}


async def called(url: str, speech: bytes) -> dict[str, Any]:
    asked = []
    agent = Agent(instructions="Be brief.")

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return WEATHER

    async with talking(url, agent, output_modality="text") as session:
        listener = Listener(session)
        await session.send(CALL)
        await listener.until(RealtimeTurnCompleteEvent)
        return {"asked": asked, "answer": listener.said["assistant"][-1]}


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url, Agent(instructions="Be brief.")) as session:
        listener, audio = Listener(session), session.stream_audio()
        await session.send(LONG_STORY)
        await anext(audio)  # begins to play
        for chunk in chunks(speech):
            await session.send_audio(chunk)
        await listener.until(RealtimeInputSpeechStartEvent)
        await listener.until(RealtimeTurnCompleteEvent)  # of what was interrupted
        await listener.until(RealtimeTurnCompleteEvent)
        return {"heard": listener.said["user"][-1], "answer": listener.said["assistant"][-1]}


run(written=written, spoken=spoken, called=called, interrupted=interrupted)
