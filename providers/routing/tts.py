"""A router as a speech model."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from providers.contracts import RouteTaken, SpeechChunk, TextMark, Tts, TtsOptions, Voice
from providers.errors import InvalidRequestError, UnknownModelError
from providers.routing.choosing import Plan, names_of
from providers.routing.lookup import Lookup, Routed, canonical, engine, loaded
from providers.routing.race import Candidate, Race
from providers.routing.rates import RateChanger
from providers.routing.routers import Routers
from providers.routing.tape import Tape
from providers.routing.warming import warm_first

__all__ = ["RouterTts"]

MAX_KEPT_CHARS = 256 * 1024  # of text that another voice could be given again


class RouterTts(Routed):
    """Speaks with a model of its choice; while there is no audio, another one can take over all of the text.

    A model's time begins with the first text that can be spoken.
    """

    sample_rate = 24_000  # of whatever it gives; engines with another rate are resampled

    def __init__(self, router_id: str, routers: Routers, lookup: Lookup) -> None:
        self._id = router_id
        self._routers = routers
        self._lookup = lookup

    @property
    def voices(self) -> tuple[Voice, ...] | None:
        """All voices of its models, any of which the others replace by their nearest; None where one of them
        cannot list its own, or was not needed yet."""
        known: dict[str, Voice] = {}
        for name in self._routers.names("tts", self._id):
            for found in (engines := list(loaded(self._lookup, "tts", [name]))):
                if found.voices is None:
                    return None
                for voice in found.voices:
                    known.setdefault(voice.id, voice)
            if not engines:
                return None
        return tuple(known.values()) or None

    @property
    def speeds(self) -> tuple[float, float]:
        """What every model that is there already can do."""
        ranges = [found.speeds for found in self._loaded()]
        slowest = max((low for low, _ in ranges), default=1.0)
        fastest = min((high for _, high in ranges), default=1.0)
        return (slowest, fastest) if slowest <= 1.0 <= fastest else (1.0, 1.0)

    @property
    def tags(self) -> str:
        """Those of its models where they agree: others would read them aloud."""
        understood = {found.tags for found in self._loaded()}
        return understood.pop() if len(understood) == 1 else ""

    def knows_voice(self, voice: str) -> bool:
        """Whether one of the models speaks with it, or they have voices of their own."""
        if not voice or not self._routers.has("tts", self._id):
            return False
        variants = self._routers.get("tts", self._id).definition.variants()
        if all(variant.voice for variant in variants):
            return True
        unsure = True  # for want of a model that could be asked
        for name in (name for variant in variants if not variant.voice for name in names_of(variant)):
            try:
                model = canonical(self._lookup, "tts", name)
                if self._lookup.is_loaded(model):
                    unsure = False
                    self._lookup.resolve_voice(model, voice)
                    return True
            except UnknownModelError:
                continue
        return unsure

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """The first chunk has the `route`. Raises the last `ProviderError` when no model speaks."""
        router, board = self._routers.get("tts", self._id), self._routers.boards["tts"]
        plan = await router.plan(self._lookup, board, options.caller)
        tape = Tape(text, MAX_KEPT_CHARS, lambda segment: bool(segment.strip()))
        candidates = [
            Candidate(model, partial(self._open, model, tape, plan, options)) for model in plan.models
        ]
        try:
            async with Race(
                self._id,
                candidates,
                board,
                router.definition.defaults.fallback,
                speaks=lambda chunk: bool(chunk.pcm),
                starts=tape.started,
                may_be_silent=lambda: not tape.started.is_set(),
            ) as race:
                won = await race.winner()
                if won is None:
                    return
                board.measured(won.model, won.waited)
                tape.settle()
                route: RouteTaken | None = plan.taken(won)
                async for chunk in race:
                    yield replace(chunk, route=route)
                    route = None
        finally:
            await asyncio.shield(tape.aclose())

    async def warm(self) -> None:
        """Prepare the models that are asked first. Never raises."""
        await warm_first(self._lookup, self._routers, "tts", self._id)

    async def _open(
        self, model: str, tape: Tape[str], plan: Plan, options: TtsOptions
    ) -> AsyncGenerator[SpeechChunk, None]:
        found: Tts = await engine(self._lookup, "tts", model)
        try:
            voice = self._lookup.resolve_voice(model, plan.chosen.voice or options.voice)
        except UnknownModelError as error:
            raise InvalidRequestError(str(error)) from None
        slowest, fastest = found.speeds
        told = replace(options, voice=voice, speed=min(max(options.speed, slowest), fastest))
        return _at_rate(found.speak(tape.read(), told), found.sample_rate, self.sample_rate)

    def _loaded(self) -> Iterator[Tts]:
        return loaded(self._lookup, "tts", self._routers.names("tts", self._id))


async def _at_rate(
    chunks: AsyncGenerator[SpeechChunk, None], rate_in: int, rate_out: int
) -> AsyncGenerator[SpeechChunk, None]:
    """Chunks and their marks at another rate."""
    async with aclosing(chunks):
        if rate_in == rate_out:
            async for chunk in chunks:
                yield chunk
            return
        changer = RateChanger(rate_in, rate_out)
        async for chunk in chunks:
            marks = tuple(TextMark(mark.chars, mark.samples * rate_out // rate_in) for mark in chunk.marks)
            pcm = changer.process(chunk.pcm)
            if pcm or marks:
                yield SpeechChunk(pcm, marks)
        if rest := changer.flush():
            yield SpeechChunk(rest)
