"""The OpenAI Agents SDK: an agent with a tool, its realtime runner and session."""

from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from scenarios import CALL, LONG_STORY, WEATHER, chunks, run


async def open_session(url: str, agent: RealtimeAgent, **settings: Any) -> RealtimeSession:
    """A session of that agent, not entered yet; `settings` are those of the model."""
    return await RealtimeRunner(agent).run(
        model_config={
            "url": f"{url.replace('http', 'ws', 1)}/v1/realtime?model=gpt-realtime",
            "api_key": "none",
            "initial_model_settings": settings,
        }
    )


class Conversation:
    """The session's history and audio, kept up to date the way that the SDK's examples do it."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.messages: dict[str, tuple[str, str]] = {}  # item id: role and words
        self.audio_bytes = 0

    async def until(self, kind: str) -> None:
        """Follow the session up to the next event of that type; its errors are ours."""
        async for event in self.session:
            if event.type == "history_added":
                self.note(event.item)
            elif event.type == "history_updated":
                for item in event.history:
                    self.note(item)
            elif event.type == "audio":
                self.audio_bytes += len(event.audio.data)
            elif event.type == "error":
                raise RuntimeError(event.error)
            if event.type == kind:
                return
        raise RuntimeError(f"the session ended without {kind}")

    def note(self, item: Any) -> None:
        """Take in a history item; later versions of it replace earlier ones."""
        if item.type == "message":
            said = [part.text if "text" in part.type else part.transcript for part in item.content]
            self.messages[item.item_id] = item.role, " ".join(words for words in said if words)

    def said_last(self, role: str) -> str:
        """The newest words of that role."""
        return [words for speaker, words in self.messages.values() if speaker == role][-1]


async def written(url: str, speech: bytes) -> dict[str, Any]:
    agent = RealtimeAgent(name="Clerk", instructions="Be brief.")
    async with await open_session(url, agent, output_modalities=["text"]) as session:
        conversation = Conversation(session)
        await session.send_message("Good morning")
        await conversation.until("agent_end")
        return {"answer": conversation.said_last("assistant")}


async def spoken(url: str, speech: bytes) -> dict[str, Any]:
    agent = RealtimeAgent(name="Clerk", instructions="Be brief.")
    async with await open_session(url, agent) as session:
        conversation = Conversation(session)
        for chunk in chunks(speech):
            await session.send_audio(chunk)
        await conversation.until("agent_end")
        return {
            "heard": conversation.said_last("user"),
            "answer": conversation.said_last("assistant"),
            "audio_bytes": conversation.audio_bytes,
        }


async def called(url: str, speech: bytes) -> dict[str, Any]:
    asked = []

    @function_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return WEATHER

    agent = RealtimeAgent(name="Clerk", instructions="Be brief.", tools=[weather])
    async with await open_session(url, agent, output_modalities=["text"]) as session:
        conversation = Conversation(session)
        await session.send_message(CALL)
        await conversation.until("agent_end")  # of the response that called
        await conversation.until("agent_end")  # of the one that used the result
        return {"asked": asked, "answer": conversation.said_last("assistant")}


async def interrupted(url: str, speech: bytes) -> dict[str, Any]:
    agent = RealtimeAgent(name="Clerk", instructions="Be brief.")
    async with await open_session(url, agent) as session:
        conversation = Conversation(session)
        await session.send_message(LONG_STORY)
        await conversation.until("audio")
        for chunk in chunks(speech):
            await session.send_audio(chunk)
        await conversation.until("audio_interrupted")
        await conversation.until("agent_end")  # of the response that was interrupted
        await conversation.until("agent_end")
        return {"heard": conversation.said_last("user"), "answer": conversation.said_last("assistant")}


run(written=written, spoken=spoken, called=called, interrupted=interrupted)
