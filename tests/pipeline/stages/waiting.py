"""What tests of filler speech have in common: replies, sessions that want fillers, and a clock."""

import asyncio
from typing import Any

from pipeline.config import Patch
from pipeline.effects import Effect, ReportFirstOutput
from pipeline.events import (
    ResponseDone,
)
from pipeline.items import MessageItem, OutputAudio
from providers.contracts import (
    FunctionTool,
    LlmFinished,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from tests.pipeline.scripted import Heard

__all__ = ["CALL", "REPLY", "TEXT", "WEATHER", "Clock", "said", "wanted"]

REPLY = (TextDelta("Rather."), LlmFinished("stop"))
CALL = (
    ToolCallStarted(0, "call_1", "weather"),
    ToolCallDelta(0, "{}"),
    LlmFinished("tool_calls"),
)
WEATHER: Patch = {"tools": (FunctionTool("weather"),)}
TEXT: Patch = {"output_modalities": ("text",)}


def wanted(**members: Any) -> dict[str, Any]:
    return {"responsiveness": {"enabled": True, "initial_wait_timeout_ms": 1200, **members}}


class Clock(Heard):
    """Remembers when the first words of each response came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []
        self.began = asyncio.get_running_loop().time()

    def saw(self, effect: Effect) -> None:
        super().saw(effect)
        if isinstance(effect, ReportFirstOutput):
            self.at.append(round(asyncio.get_running_loop().time() - self.began, 3))


def said(done: ResponseDone) -> str:
    """The transcript of the message that a response has made."""
    (message,) = [item for item in done.response.output if isinstance(item, MessageItem)]
    (part,) = message.content
    assert isinstance(part, OutputAudio)
    return part.transcript
