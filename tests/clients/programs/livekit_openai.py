"""LiveKit's OpenAI plugin: its realtime model and session, driven directly as its agents framework would."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.plugins.openai.realtime import RealtimeModel, RealtimeSession
from scenarios import CALL, LONG_STORY, RATE, WEATHER, chunks, run


class Conversation:
    """A session, with everything that it reports."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.generations: asyncio.Queue[llm.GenerationCreatedEvent] = asyncio.Queue()
        self.speech_started = asyncio.Event()
        self.heard = asyncio.get_running_loop().create_future()
        self.errors: list[str] = []
        session.on("generation_created", self.generations.put_nowait)
        session.on("input_speech_started", self.interrupt)
        session.on("input_audio_transcription_completed", self.note_transcript)
        session.on("error", lambda error: self.errors.append(repr(error.error)))

    def note_transcript(self, event: llm.InputTranscriptionCompleted) -> None:
        """Keep the final words of the first spoken turn."""
        if event.is_final and not self.heard.done():
            self.heard.set_result(event.transcript)

    def interrupt(self, event: llm.InputSpeechStartedEvent) -> None:
        """Stop what is being said, as the framework does, although the server has seen to it already."""
        self.session.interrupt()
        self.speech_started.set()

    async def say(self, text: str) -> None:
        """Add a typed user message to the conversation."""
        history = self.session.chat_ctx.copy()
        history.add_message(role="user", content=text)
        await self.session.update_chat_ctx(history)

    def speak(self, speech: bytes) -> None:
        """Push what the microphone recorded."""
        for chunk in chunks(speech):
            self.session.push_audio(rtc.AudioFrame(chunk, RATE, 1, len(chunk) // 2))


@asynccontextmanager
async def talking(url: str, **options: Any) -> AsyncIterator[Conversation]:
    """A conversation whose errors are ours."""
    async with RealtimeModel(base_url=f"{url}/v1", api_key="none", **options) as model:
        session = model.session()
        conversation = Conversation(session)
        try:
            yield conversation
        finally:
            await session.aclose()
    if conversation.errors:
        raise RuntimeError(conversation.errors)


async def read(generation: llm.GenerationCreatedEvent) -> tuple[str, int]:
    """The words of a whole generation, and the bytes of its speech."""
    words, audio_bytes = "", 0
    async for message in generation.message_stream:
        words += "".join([piece async for piece in message.text_stream])
        audio_bytes += sum([len(frame.data.tobytes()) async for frame in message.audio_stream])
    return words, audio_bytes


async def written(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url, modalities=["text"]) as conversation:
        await conversation.say("Good morning")
        answer, _ = await read(await conversation.session.generate_reply())
        return {"answer": answer}


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url) as conversation:
        conversation.speak(speech)
        answer, audio_bytes = await read(await conversation.generations.get())
        return {"heard": await conversation.heard, "answer": answer, "audio_bytes": audio_bytes}


@llm.function_tool
async def weather(city: str) -> str:
    """The weather in a city."""
    return WEATHER


async def called(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url, modalities=["text"]) as conversation:
        session = conversation.session
        await session.update_tools([weather])
        await conversation.say(CALL)
        generation = await session.generate_reply()
        calls = [call async for call in generation.function_stream]
        outputs = [
            llm.FunctionCallOutput(
                call_id=call.call_id,
                name=call.name,
                output=await weather(**json.loads(call.arguments)),
                is_error=False,
            )
            for call in calls
        ]
        history = session.chat_ctx.copy()
        history.items.extend(outputs)
        await session.update_chat_ctx(history)
        answer, _ = await read(await session.generate_reply())
        return {"asked": [json.loads(call.arguments)["city"] for call in calls], "answer": answer}


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(url) as conversation:
        session = conversation.session
        await conversation.say(LONG_STORY)
        story = await session.generate_reply()
        message = await anext(aiter(story.message_stream))
        frame = await anext(aiter(message.audio_stream))
        conversation.generations.get_nowait()  # the story itself
        # The rest waits for what its beginning does: sent at once, faster than anybody speaks, it could be
        # answered before the interruption arrives, which would then hit the answer.
        beginning = 2 * RATE * 2  # two seconds
        conversation.speak(speech[:beginning])
        await conversation.speech_started.wait()
        session.truncate(
            message_id=message.message_id,
            modalities=["audio", "text"],
            audio_end_ms=int(frame.duration * 1000),
        )
        conversation.speak(speech[beginning:])
        answer, _ = await read(await conversation.generations.get())
        return {"heard": await conversation.heard, "answer": answer}


run(written=written, spoken=spoken, called=called, interrupted=interrupted)
