"""A router as a language model."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

from providers.contracts import (
    LlmEvent,
    LlmFinished,
    LlmRequest,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from providers.routing.lookup import Lookup, Routed, engine
from providers.routing.race import Candidate, Race
from providers.routing.routers import Routers
from providers.routing.templates import asked
from providers.routing.warming import warm_first

__all__ = ["RouterLlm"]

CHARS_PER_TOKEN = 4  # where the provider does not count


class RouterLlm(Routed):
    """Sends each request to a model of its choice, and to another one while none has answered."""

    def __init__(self, router_id: str, routers: Routers, lookup: Lookup) -> None:
        self._id = router_id
        self._routers = routers
        self._lookup = lookup

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """`RouteTaken` first. Raises the last `ProviderError` when no model answers."""
        router, board = self._routers.get("llm", self._id), self._routers.boards["llm"]
        plan = await router.plan(self._lookup, board, request.caller, request.messages)
        to_ask = asked(request, plan.chosen, router.definition.defaults)

        async def stream(model: str) -> AsyncGenerator[LlmEvent, None]:
            found = await engine(self._lookup, "llm", model)
            events: AsyncGenerator[LlmEvent, None] = found.generate(to_ask)
            return events

        candidates = [Candidate(model, partial(stream, model)) for model in plan.models]
        fallback = router.definition.defaults.fallback
        async with Race(self._id, candidates, board, fallback, speaks=_is_first_piece) as race:
            won = await race.winner()
            assert won is not None
            board.measured(won.model, won.waited)
            yield plan.taken(won)
            speed = _Speed()
            async for event in race:
                speed.told(event)
                yield event
                speed.resumed()
            if speed.is_fair:
                board.wrote(won.model, speed.tokens, speed.seconds)

    async def warm(self) -> None:
        """Prepare the models that are asked first. Never raises."""
        await warm_first(self._lookup, self._routers, "llm", self._id)


def _is_first_piece(event: LlmEvent) -> bool:
    match event:
        case TextDelta(text):
            return bool(text)
        case ToolCallStarted() | ToolCallDelta() | LlmFinished():
            return True
    return False


class _Speed:
    """How fast one answer came after its first piece, as far as its reader did not hold it up."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began = self._ended = self._yielded = 0.0
        self._held = 0.0
        self._chars = 0
        self._counted: int | None = None

    def told(self, event: LlmEvent) -> None:
        now = self._ended = self._yielded = self._clock()
        self._began = self._began or now
        match event:
            case TextDelta(text):
                self._chars += len(text)
            case ToolCallDelta(_, arguments):
                self._chars += len(arguments)
            case LlmFinished(_, usage) if usage is not None:
                self._counted = usage.output_tokens

    def resumed(self) -> None:
        self._held += self._clock() - self._yielded

    @property
    def tokens(self) -> int:
        return self._counted if self._counted is not None else self._chars // CHARS_PER_TOKEN

    @property
    def seconds(self) -> float:
        return self._ended - self._began

    @property
    def is_fair(self) -> bool:
        return 5 * self._held < self.seconds
