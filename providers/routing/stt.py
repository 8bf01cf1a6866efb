"""A router as a transcription model."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from providers.contracts import (
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
    TranscriptSegment,
)
from providers.routing.lookup import Lookup, Routed, engine, loaded
from providers.routing.race import Candidate, Race
from providers.routing.rates import resampled
from providers.routing.routers import Routers
from providers.routing.tape import Tape
from providers.routing.warming import warm_first

__all__ = ["RouterStt"]

MAX_KEPT_BYTES = 4 * 1024 * 1024  # two minutes of audio that another model could be given again


class RouterStt(Routed):
    """Transcribes with a model of its choice; while it gave no text, another one can take over all of it.

    A model's time begins when the audio has ended: before that, silence is not its fault. Its latency is that
    of the whole transcript, which is what a conversation waits for.
    """

    sample_rate = 16_000  # of whatever it takes; engines with another rate get it resampled

    def __init__(self, router_id: str, routers: Routers, lookup: Lookup) -> None:
        self._id = router_id
        self._routers = routers
        self._lookup = lookup

    @property
    def streaming(self) -> bool:
        """Whether every model that is there already streams."""
        names = self._routers.names("stt", self._id)
        return all(found.streaming for found in loaded(self._lookup, "stt", names))

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """`RouteTaken` first. Raises the last `ProviderError` when no model answers."""
        router, board = self._routers.get("stt", self._id), self._routers.boards["stt"]
        plan = await router.plan(self._lookup, board, options.caller)
        tape, loop = Tape(audio, MAX_KEPT_BYTES), asyncio.get_running_loop()

        async def stream(model: str) -> AsyncGenerator[SttEvent, None]:
            found = await engine(self._lookup, "stt", model)
            heard = tape.read()
            if found.sample_rate != self.sample_rate:
                heard = resampled(heard, self.sample_rate, found.sample_rate)
            events: AsyncGenerator[SttEvent, None] = found.transcribe(heard, options)
            return events

        candidates = [Candidate(model, partial(stream, model)) for model in plan.models]
        fallback = router.definition.defaults.fallback
        try:
            async with Race(
                self._id, candidates, board, fallback, speaks=_is_first_piece, starts=tape.ended
            ) as race:
                won = await race.winner()
                assert won is not None
                tape.settle()
                yield plan.taken(won)
                async for event in race:
                    if isinstance(event, TranscriptFinal) and tape.ended.is_set():
                        board.measured(won.model, loop.time() - tape.ended_at)
                    yield event
        finally:
            await asyncio.shield(tape.aclose())

    async def warm(self) -> None:
        """Prepare the models that are asked first. Never raises."""
        await warm_first(self._lookup, self._routers, "stt", self._id)


def _is_first_piece(event: SttEvent) -> bool:
    match event:
        case TranscriptDelta(text) | TranscriptGuess(text):
            return bool(text)
        case TranscriptSegment() | TranscriptFinal():
            return True
    return False
