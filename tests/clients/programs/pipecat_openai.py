"""Pipecat: its OpenAI realtime service in a pipeline with both context aggregators."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioNoiseReduction,
    InputAudioTranscription,
    SemanticTurnDetection,
    SessionProperties,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner
from scenarios import CALL, LONG_STORY, RATE, WEATHER, chunks, run

logger.remove()
logger.add(sys.stderr, level="WARNING")


class Loudspeaker(FrameProcessor):
    """The end of the pipeline, where a transport would play what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_bytes = 0
        self.playing = asyncio.Event()
        self.interrupted = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.audio_bytes += len(frame.audio)
            self.playing.set()
        elif isinstance(frame, TTSStoppedFrame):
            await self.broadcast_frame(BotStoppedSpeakingFrame)
        elif isinstance(frame, InterruptionFrame):
            self.interrupted.set()
        await self.push_frame(frame, direction)


class Bot:
    """A pipeline around the service, and what its aggregators report."""

    def __init__(self, url: str, modality: str, tools: ToolsSchema | None) -> None:
        properties = SessionProperties(
            output_modalities=[modality],
            audio=AudioConfiguration(
                input=AudioInput(
                    transcription=InputAudioTranscription(),
                    turn_detection=SemanticTurnDetection(),
                    noise_reduction=InputAudioNoiseReduction(type="near_field"),
                )
            ),
        )
        self.llm = OpenAIRealtimeLLMService(
            api_key="none",
            base_url=f"{url.replace('http', 'ws', 1)}/v1/realtime",
            settings=OpenAIRealtimeLLMService.Settings(
                model="gpt-realtime", system_instruction="Be brief.", session_properties=properties
            ),
        )
        self.context = LLMContext(**({"tools": tools} if tools else {}))
        pair = LLMContextAggregatorPair(self.context)
        self.loudspeaker = Loudspeaker()
        self.worker = PipelineWorker(Pipeline([pair.user(), self.llm, self.loudspeaker, pair.assistant()]))
        self.started = asyncio.Event()
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.errors: list[str] = []

        @self.worker.event_handler("on_pipeline_started")
        async def on_pipeline_started(worker: Any, frame: Any) -> None:
            self.started.set()

        @self.worker.event_handler("on_pipeline_error")
        async def on_pipeline_error(worker: Any, frame: Any) -> None:
            self.errors.append(frame.error)

        @pair.user().event_handler("on_user_turn_message_added")
        async def on_user_turn_message_added(aggregator: Any, message: Any) -> None:
            self.heard.put_nowait(message.content)

        @pair.assistant().event_handler("on_assistant_turn_stopped")
        async def on_assistant_turn_stopped(aggregator: Any, message: Any) -> None:
            self.answers.put_nowait(message.content)

    async def say(self, text: str) -> None:
        """Begin the conversation with a typed user message."""
        self.context.add_message({"role": "user", "content": text})
        await self.worker.queue_frame(LLMRunFrame())

    async def speak(self, speech: bytes) -> None:
        """Put in what the microphone recorded."""
        for chunk in chunks(speech):
            await self.worker.queue_frame(InputAudioRawFrame(audio=chunk, sample_rate=RATE, num_channels=1))


@asynccontextmanager
async def running(url: str, modality: str = "audio", tools: ToolsSchema | None = None) -> AsyncIterator[Bot]:
    """A bot whose pipeline runs, and whose errors are ours."""
    bot = Bot(url, modality, tools)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(bot.worker)
    running = asyncio.create_task(runner.run())
    try:
        await bot.started.wait()
        yield bot
    finally:
        await bot.worker.cancel()
        await running
    if bot.errors:
        raise RuntimeError(bot.errors)


async def written(url: str, speech: bytes) -> dict[str, Any]:
    async with running(url, "text") as bot:
        await bot.say("Good morning")
        return {"answer": await bot.answers.get()}


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    async with running(url) as bot:
        await bot.say("Say hello.")  # bots speak first
        await bot.answers.get()
        greeting = bot.loudspeaker.audio_bytes
        await bot.speak(speech)
        answer = await bot.answers.get()
        return {
            "heard": await bot.heard.get(),
            "answer": answer,
            "audio_bytes": bot.loudspeaker.audio_bytes - greeting,
        }


async def called(url: str, speech: bytes) -> dict[str, Any]:
    asked = []

    async def weather(params: FunctionCallParams) -> None:
        asked.append(params.arguments["city"])
        await params.result_callback(WEATHER)

    schema = FunctionSchema(
        name="weather",
        description="The weather in a city.",
        properties={"city": {"type": "string"}},
        required=["city"],
    )
    async with running(url, "text", ToolsSchema(standard_tools=[schema])) as bot:
        bot.llm.register_function("weather", weather)
        await bot.say(CALL)
        answer = ""
        while not answer:  # the response that calls has no words
            answer = await bot.answers.get()
        return {"asked": asked, "answer": answer}


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    async with running(url) as bot:
        await bot.say(LONG_STORY)
        await bot.loudspeaker.playing.wait()
        await bot.speak(speech)
        await bot.loudspeaker.interrupted.wait()
        await bot.answers.get()  # as much of the story as came
        answer = await bot.answers.get()
        return {"heard": await bot.heard.get(), "answer": answer}


run(written=written, spoken=spoken, called=called, interrupted=interrupted)
