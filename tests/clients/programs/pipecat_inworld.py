"""Pipecat: its Inworld realtime service, told nothing but another address and key where it can be helped."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    LLMUpdateSettingsFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.services.inworld.realtime.events import (
    AudioConfiguration,
    AudioInput,
    AudioOutput,
    ConversationItem,
    ConversationItemCreateEvent,
    InputTranscription,
    ItemContent,
    ResponseCreateEvent,
    SessionProperties,
)
from pipecat.services.inworld.realtime.llm import InworldRealtimeLLMService
from pipecat.services.llm_service import FunctionCallParams
from pipecat.turns.user_start import ExternalUserTurnStartStrategy
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat_bot import WEATHER_TOOL, Bot, running
from scenarios import CALL, LONG_STORY, RATE, WEATHER, Scenario, run

KEY = "aW53b3JsZDpzZWNyZXQ="  # in base64, as Inworld's console gives keys: "inworld:secret"
PATH = "/api/v1/realtime/session"

MICROPHONE, LOUDSPEAKER = 16_000, 24_000  # Hertz: what pipelines have unless told otherwise
PATIENCE_MS = 8_500  # how long a session is quiet before the least eager turn detection stops waiting

NO_TURN_FRAMES = "is not emitting turn frames"  # a note on manual mode, and how to go about it
NOT_READ = "ignoring unhandled server event: "

Settings = InworldRealtimeLLMService.Settings
TIME_TOOL = FunctionSchema(name="time", description="The time of day.", properties={}, required=[])


def service(url: str, **options: Any) -> InworldRealtimeLLMService:
    """The service as people make it, pointed at a server of ours."""
    return InworldRealtimeLLMService(api_key=KEY, base_url=url.replace("http", "ws", 1) + PATH, **options)


@asynccontextmanager
async def talking(
    llm: InworldRealtimeLLMService,
    *tools: FunctionSchema,
    rates: tuple[int, int] = (MICROPHONE, LOUDSPEAKER),
    user: LLMUserAggregatorParams | None = None,
    but: str | None = None,
) -> AsyncIterator[tuple[Bot, dict[str, Any]]]:
    """A bot whose pipeline runs, and the report on it. Any warning that pipecat logs is an error, `but` one.

    What the service does not understand, or cannot read, it logs and goes on without; `not_read` becomes the
    types of the events that it has no use for.
    """
    complaints: list[str] = []
    not_read: set[str] = set()

    def listen(message: Any) -> None:
        text = message.record["message"]
        if message.record["level"].no >= logger.level("WARNING").no:
            if but is None or but not in text:
                complaints.append(text)
        elif NOT_READ in text:
            not_read.add(text.split(NOT_READ)[1])

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    logger.add(listen, level="DEBUG", format="{message}")
    report: dict[str, Any] = {}
    async with running(Bot(llm, tools=tools, rates=rates, user=user)) as bot:
        yield bot, report
    if complaints:
        raise RuntimeError(complaints)
    report["not_read"] = sorted(not_read)


async def reply(bot: Bot) -> str:
    """The next answer to what the user said. A story that is interrupted ends once or twice before it."""
    answer = ""
    while not answer.startswith("You said"):
        answer = await bot.answers.get()
    return answer


async def written(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(service(url)) as (bot, report):
        await bot.say("Good morning")
        report["first"] = await bot.answers.get()
        await bot.type("Good evening")
        report["second"] = await bot.answers.get()
    return report


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(service(url)) as (bot, report):
        await bot.say("Say hello.")  # bots speak first
        await bot.answers.get()
        greeting = bot.loudspeaker.audio_bytes
        await bot.speak(speech + bytes(2 * RATE * PATIENCE_MS // 1000))
        report["answer"] = await bot.answers.get()
        report["heard"] = await bot.heard.get()
        report["audio_bytes"] = bot.loudspeaker.audio_bytes - greeting
    return report


async def called(url: str, speech: bytes) -> dict[str, Any]:
    asked = []

    async def weather(params: FunctionCallParams) -> None:
        asked.append(params.arguments["city"])
        await params.result_callback(WEATHER)

    async def time(params: FunctionCallParams) -> None:
        asked.append(dict(params.arguments))
        await params.result_callback("Noon")

    async with talking(service(url, auth_type="bearer"), WEATHER_TOOL, TIME_TOOL) as (bot, report):
        bot.llm.register_function("weather", weather)
        bot.llm.register_function("time", time)
        await bot.say(f"{CALL} [[call time {{}}]]")
        answer = ""
        while "Noon" not in answer:  # the response that calls has no words, and each result may get its own
            answer = await bot.answers.get()
        report |= {"asked": asked, "answer": answer, "audio_bytes": bot.loudspeaker.audio_bytes}
    return report


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(service(url)) as (bot, report):
        pause = bytes(2 * RATE * PATIENCE_MS // 1000)
        await bot.say(LONG_STORY)
        await bot.loudspeaker.playing.wait()
        added = asyncio.Event()

        @bot.llm.event_handler("on_conversation_item_created")
        async def on_conversation_item_created(llm: Any, id: str, item: ConversationItem) -> None:
            if item.role == "user":
                added.set()

        await bot.type("Hurry up.")  # which asks for a response while one runs
        await added.wait()
        await bot.speak(speech + pause)
        await bot.loudspeaker.interrupted.wait()
        report["answer"] = await reply(bot)
        await bot.speak(speech + pause)
        report["last"] = await reply(bot)
    return report


async def pressed(url: str, speech: bytes) -> dict[str, Any]:
    """Push to talk: the service says when to listen and when to answer, and stops the answers."""
    properties = SessionProperties(
        audio=AudioConfiguration(input=AudioInput(transcription=InputTranscription(), turn_detection=None))
    )
    button = LLMUserAggregatorParams(
        user_turn_strategies=UserTurnStrategies(
            start=[ExternalUserTurnStartStrategy()],
            stop=[ExternalUserTurnStopStrategy(wait_for_transcript=False)],
        )
    )
    llm = service(url, settings=Settings(session_properties=properties))
    async with talking(llm, rates=(48_000, 8_000), user=button, but=NO_TURN_FRAMES) as (bot, report):

        async def press() -> str:
            bot.loudspeaker.interrupted.clear()
            await bot.worker.queue_frame(ProposedUserStartedSpeakingFrame())
            await bot.loudspeaker.interrupted.wait()
            await bot.speak(speech)
            await bot.worker.queue_frame(ProposedUserStoppedSpeakingFrame())
            return await reply(bot)

        await bot.say("Say hello.")
        await bot.answers.get()
        report["first"] = await press()
        bot.loudspeaker.playing.clear()
        await bot.type(LONG_STORY)
        await bot.loudspeaker.playing.wait()
        report["second"] = await press()
    return report


async def changed(url: str, speech: bytes) -> dict[str, Any]:
    async with talking(service(url, voice="Sarah")) as (bot, report):
        await bot.say("Good morning")
        report["before"] = await bot.answers.get()
        properties = SessionProperties(audio=AudioConfiguration(output=AudioOutput(voice="Alex")))
        settings = Settings(
            model="builtin/echo",
            system_instruction="[[say The shop is closed.]]",
            temperature=0.3,
            session_properties=properties,
        )
        await bot.worker.queue_frame(LLMUpdateSettingsFrame(delta=settings))
        await bot.type("Good evening")
        report["after"] = await bot.answers.get()
    return report


async def remembered(url: str, speech: bytes) -> dict[str, Any]:
    """A conversation of yesterday, and more of it put in piece by piece, with nothing waited for."""
    yesterday: list[Any] = [
        {"role": "system", "content": "You keep a shop."},
        {"role": "user", "content": "Good morning"},
        {"role": "assistant", "content": "Good morning to you."},
        {"role": "user", "content": "[[say Welcome back.]]"},
    ]
    pieces = [
        ("user", "input_text", "I am Ann."),
        ("assistant", "text", "Hello Ann."),
        ("user", "text", "Bye."),
    ]
    async with talking(service(url)) as (bot, report):
        bot.context.set_messages(yesterday)
        await bot.say("[[say And well met.]]")
        report["first"] = await bot.answers.get()
        for role, kind, text in pieces:
            item = ConversationItem(type="message", role=role, content=[ItemContent(type=kind, text=text)])
            await bot.llm.send_client_event(ConversationItemCreateEvent(item=item))
        await bot.llm.send_client_event(ResponseCreateEvent())
        report["second"] = await bot.answers.get()
        await bot.llm.reset_conversation()
        await bot.type("Where were we?")
        report["third"] = await bot.answers.get()
    return report


SCENARIOS: tuple[Scenario, ...] = (written, spoken, called, interrupted, pressed, changed, remembered)

run(**{scenario.__name__: scenario for scenario in SCENARIOS})
