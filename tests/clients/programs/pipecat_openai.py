"""Pipecat: its OpenAI realtime service in a pipeline with both context aggregators."""

import sys
from typing import Any

from loguru import logger
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
from pipecat_bot import WEATHER_TOOL, Bot, running
from scenarios import CALL, LONG_STORY, WEATHER, run

logger.remove()
logger.add(sys.stderr, level="WARNING")


def service(url: str, modality: str = "audio") -> OpenAIRealtimeLLMService:
    """The service as people make it, pointed at a server of ours."""
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
    return OpenAIRealtimeLLMService(
        api_key="none",
        base_url=f"{url.replace('http', 'ws', 1)}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(
            model="gpt-realtime", system_instruction="Be brief.", session_properties=properties
        ),
    )


async def written(url: str, speech: bytes) -> dict[str, Any]:
    async with running(Bot(service(url, "text"))) as bot:
        await bot.say("Good morning")
        return {"answer": await bot.answers.get()}


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    async with running(Bot(service(url))) as bot:
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

    async with running(Bot(service(url, "text"), tools=[WEATHER_TOOL])) as bot:
        bot.llm.register_function("weather", weather)
        await bot.say(CALL)
        answer = ""
        while not answer:  # the response that calls has no words
            answer = await bot.answers.get()
        return {"asked": asked, "answer": answer}


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    async with running(Bot(service(url))) as bot:
        await bot.say(LONG_STORY)
        await bot.loudspeaker.playing.wait()
        await bot.speak(speech)
        await bot.loudspeaker.interrupted.wait()
        await bot.answers.get()  # as much of the story as came
        answer = await bot.answers.get()
        return {"heard": await bot.heard.get(), "answer": answer}


run(written=written, spoken=spoken, called=called, interrupted=interrupted)
