"""Sessions with a memory, and a model that answers the user on one hand and writes notes on the other."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline.commands import CreateItem, CreateResponse
from pipeline.config import Patch
from pipeline.detection import SpeechDetector
from pipeline.events import ErrorRaised, ResponseDone, SessionUpdated
from pipeline.extensions import MemoryState, extensions_of
from pipeline.session import Session
from pipeline.stages.guarded import guarded
from pipeline.stages.memory import MemoryStage
from providers.contracts import LlmEvent, LlmFinished, LlmRequest, SystemMessage, TextDelta, UserMessage
from tests.pipeline.playbook import PLAIN, session_config, text_of, user
from tests.pipeline.scripted import GUARD_S, Engines, Heard, LoudnessVad, ScriptedStt

__all__ = [
    "Step",
    "TwoHanded",
    "instructions_in",
    "notes",
    "remembering",
    "state_of",
    "taken_down",
    "turn",
]

# A piece of text, what to wait for, seconds to let pass, what to raise, or any event of a model.
Step = str | asyncio.Event | float | BaseException | LlmEvent


def notes(*facts: str, summary: str = "") -> str:
    """What a model answers that is asked for the notes."""
    return json.dumps({"facts": facts, "summary": summary})


class TwoHanded:
    """Answers the user with `replies` and requests for notes with `notes`, each a list of steps or a text."""

    def __init__(self, *notes: str | list[Step], replies: list[str | list[Step]] | None = None) -> None:
        self.asked: list[LlmRequest] = []  # for notes
        self.requests: list[LlmRequest] = []  # for replies
        self.writing = asyncio.Event()  # it was asked for notes
        self.most_at_once = 0  # requests for notes
        self._at_once = 0
        self._notes = deque(notes)
        self._replies = deque(replies or ())

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        if instructions_in(request).startswith("You keep the notes"):
            self.asked.append(request)
            self.writing.set()
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                async for event in _played(self._notes.popleft() if self._notes else notes("Unasked.")):
                    yield event
            finally:
                self._at_once -= 1
        else:
            self.requests.append(request)
            async for event in _played(self._replies.popleft() if self._replies else "Fine."):
                yield event

    def read(self) -> list[str]:
        """What the latest reply was made of, one line for each message."""
        return text_of(self.requests[-1])


async def _played(script: str | list[Step]) -> AsyncIterator[LlmEvent]:
    finish = LlmFinished("stop")
    for step in [script] if isinstance(script, str) else script:
        match step:
            case str():
                yield TextDelta(step)
            case asyncio.Event():
                await step.wait()
            case float():
                await asyncio.sleep(step)
            case BaseException():
                raise step
            case LlmFinished():
                finish = step
            case _:
                yield step
    yield finish


def instructions_in(request: LlmRequest) -> str:
    """The first message, where that is for the model itself."""
    first = request.messages[0]
    return first.text if isinstance(first, SystemMessage) else ""


def taken_down(request: LlmRequest) -> list[str]:
    """The conversation, line by line, in a request for notes."""
    data = request.messages[1]
    assert isinstance(data, UserMessage)
    return data.text.partition("<conversation>\n")[2].partition("\n</conversation>")[0].splitlines()


@asynccontextmanager
async def remembering(
    llm: TwoHanded,
    memory: Patch | None = None,
    patch: Patch | None = None,
    *,
    speech: bool = False,
    stt: ScriptedStt | None = None,
) -> AsyncIterator[tuple[Session, Heard]]:
    """A session that remembers after every turn, unless `memory` says something else.

    Where there is no `speech` it writes and is written to, so that it runs in virtual time.
    """
    before = asyncio.all_tasks()
    audio: Patch = {"input": {"turn_detection": {"silence_duration_ms": 320} if speech else None}}
    settings = {"enabled": True, "turn_interval": 1, **(memory or {})}
    config = session_config(
        {
            "instructions": "Be kind.",
            "output_modalities": ("text",),
            "audio": audio,
            **(patch or {}),
            "provider_data": {"memory": settings},
        }
    )
    async with (
        SpeechDetector(LoudnessVad()) as detector,
        asyncio.timeout(3 * GUARD_S if speech else None),
        Session(
            "sess",
            config,
            Engines(llm, stt or ScriptedStt()),
            detector,
            default_stt="lab/stt",
            turn_taking=PLAIN,
            stages=(guarded(MemoryStage),),
        ) as session,
    ):
        client = Heard()
        session.join(client)
        yield session, client
        assert not client.of(ErrorRaised)
    assert asyncio.all_tasks() == before


async def turn(session: Session, client: Heard, text: str) -> ResponseDone:
    """Type something and wait for the answer."""
    done = len(client.of(ResponseDone))
    session.dispatch(CreateItem(user(text)))
    session.dispatch(CreateResponse())
    return await client.wait(ResponseDone, done + 1)


def state_of(told: SessionUpdated | Session) -> MemoryState:
    """The memory in a session, or in what its clients were told."""
    return extensions_of(told.config.provider_data).memory.state


def sent_back(state: MemoryState) -> dict[str, Any]:
    """A state as a client sends it."""
    return json.loads(json.dumps({name: getattr(state, name) for name in state.__slots__}))  # type: ignore[no-any-return]
