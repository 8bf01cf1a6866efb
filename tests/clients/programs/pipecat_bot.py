"""What pipecat's programs share: a pipeline around one of its services, with both context aggregators."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.utils import create_file_resampler
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.workers.runner import WorkerRunner
from scenarios import RATE, chunks

__all__ = ["WEATHER_TOOL", "Bot", "Loudspeaker", "running"]

WEATHER_TOOL = FunctionSchema(
    name="weather",
    description="The weather in a city.",
    properties={"city": {"type": "string"}},
    required=["city"],
)


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

    def __init__(
        self,
        llm: LLMService[Any],
        *,
        tools: Sequence[FunctionSchema] = (),
        user: LLMUserAggregatorParams | None = None,
        rates: tuple[int, int] = (RATE, RATE),  # Hertz: of the microphone, of the loudspeaker
    ) -> None:
        self.llm = llm
        self.microphone_rate, speech_rate = rates
        self.context = LLMContext(**({"tools": ToolsSchema(standard_tools=list(tools))} if tools else {}))
        pair = LLMContextAggregatorPair(self.context, user_params=user)
        self.loudspeaker = Loudspeaker()
        self.worker = PipelineWorker(
            Pipeline([pair.user(), self.llm, self.loudspeaker, pair.assistant()]),
            params=PipelineParams(
                audio_in_sample_rate=self.microphone_rate, audio_out_sample_rate=speech_rate
            ),
        )
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

    async def type(self, text: str) -> None:
        """Go on with a typed user message."""
        message: Any = {"role": "user", "content": text}
        await self.worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    async def speak(self, speech: bytes) -> None:
        """Put in what the microphone recorded: PCM at `RATE`, which it has at a rate of its own."""
        rate = self.microphone_rate
        pcm = await create_file_resampler().resample(speech, RATE, rate)
        for chunk in chunks(pcm, rate=rate):
            await self.worker.queue_frame(InputAudioRawFrame(audio=chunk, sample_rate=rate, num_channels=1))


@asynccontextmanager
async def running(bot: Bot) -> AsyncIterator[Bot]:
    """That bot, whose pipeline runs, and whose errors are ours."""
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
