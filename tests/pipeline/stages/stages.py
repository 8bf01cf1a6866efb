"""Sessions that have one stage, and what its tests have in common: slow models, and several of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.commands import CreateItem, CreateResponse
from pipeline.config import Patch
from pipeline.events import ResponseDone, TranscriptDelta
from pipeline.items import MessageItem, OutputText
from pipeline.session import Session
from pipeline.stages.contracts import Host, Stage
from providers.contracts import Llm, LlmEvent, LlmRequest
from tests.pipeline.playbook import user
from tests.pipeline.scripted import Engines, Heard, ScriptedLlm
from tests.pipeline.sessions import opened

__all__ = ["TwoModels", "after", "ask_for_reply", "assistant", "staged", "transcript"]


@dataclass
class TwoModels(Engines):
    """As `Engines`, with other models beside the one that answers: by canonical name."""

    others: dict[str, Llm] = field(default_factory=dict)

    def llm(self, name: str) -> Llm:
        return self.others.get(name, self.llm_engine)


class _After(ScriptedLlm):
    """Waits so long before it follows its script, each time it is asked."""

    def __init__(self, seconds: float, *script: Any) -> None:
        super().__init__(*script)
        self._seconds = seconds

    async def generate(self, request: LlmRequest) -> Any:
        self.requests.append(request)
        try:
            await asyncio.sleep(self._seconds)
            for step in self._script:
                if isinstance(step, BaseException):
                    raise step
                assert not isinstance(step, asyncio.Event)
                yield step
        finally:
            self.closed.set()


def after(seconds: float, *script: LlmEvent | BaseException) -> ScriptedLlm:
    """A model that thinks so long, in the time of the event loop, and then follows its script."""
    return _After(seconds, *script)


def assistant(text: str, id: str = "") -> MessageItem:
    return MessageItem(id, "assistant", (OutputText(text),))


@asynccontextmanager
async def staged(
    make: Callable[[Host], Stage],
    engines: Engines,
    provider_data: dict[str, Any],
    patch: Patch | None = None,
    *,
    greeted: bool = True,
    **options: Any,
) -> AsyncIterator[tuple[Session, Heard]]:
    """A session that has that stage, and in which the assistant has said something already.

    `options` are those of `opened`.
    """
    config = {"provider_data": provider_data, **(patch or {})}
    async with opened(engines, config, stages=[make], **options) as (session, client):
        if greeted:
            session.dispatch(CreateItem(assistant("Good evening.")))
        yield session, client


async def ask_for_reply(session: Session, client: Heard, text: str = "Is it cold?") -> ResponseDone:
    """One typed turn, to the end of its reply."""
    before = len(client.of(ResponseDone))
    session.dispatch(CreateItem(user(text)))
    session.dispatch(CreateResponse())
    return await client.wait(ResponseDone, before + 1)


def transcript(client: Heard) -> list[str]:
    """What was told of the words of all replies, piece by piece."""
    return [delta.delta for delta in client.of(TranscriptDelta)]
