"""The voices of all configured speech models, for clients that let people choose one.

A voice comes from an engine that can list its own, from the list of an account, or is one of the names of
other services that the default model gives a voice to. Accounts are asked over the network, all at once, and
one that does not answer costs only what it would have added.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, runtime_checkable

from providers.contracts import Tts, Voice
from providers.errors import ProviderError, UnknownModelError
from providers.names import VOICES
from providers.provider import Provider
from providers.registry import Registry
from providers.remote import RemoteProvider
from providers.router import WithRouters

__all__ = ["Gender", "ListedVoice", "VoiceLists", "gently"]

log = logging.getLogger(__name__)

FRESH_S = 60.0  # for so long the list of an account is not asked for again
FAILED_S = 10.0  # nor one that could not be had
DEADLINE_S = 5.0  # for all pages of one account; people wait for this
MAX_VOICES = 20_000  # of one provider, far more than services give

T = TypeVar("T")
Gender = Literal["MALE", "FEMALE", ""]

# What tells the sex of a name: the variant that eSpeak speaks it with, such as "en-us+f2".
_VARIANTS = VOICES["en-us+m3"]
_INWORLD_NAMES = VOICES["alloy"]  # what OpenAI's voices are given to; the other names are OpenAI's


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """One voice. Where `is_default`, sessions that do not choose a speech model may use its id."""

    id: str
    name: str
    language: str  # BCP 47, empty when not known
    provider: str
    model: str  # canonical, one that speaks with it: for `audio.output.model`
    models: tuple[str, ...]  # all that do
    gender: Gender = ""
    is_default: bool = False
    spoken_as: str = ""  # for a name of another service: the model's own voice


@runtime_checkable
class VoiceLister(Protocol):
    """A provider whose account has voices of its own."""

    async def list_voices(self) -> Sequence[Voice]:
        """All of them; raises every kind of `ProviderError`."""


@dataclass(slots=True)
class _Account:
    """What is known of one account's voices."""

    voices: tuple[Voice, ...] | None = None  # None: it has not told them yet
    good_until: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # who waits finds what the first one got


class VoiceLists:
    """Gathers the voices of a registry. `clock` is monotonic, in seconds."""

    def __init__(
        self, registry: Registry, *, clock: Callable[[], float] = time.monotonic, deadline: float = DEADLINE_S
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._deadline = deadline
        self._accounts: dict[str, _Account] = {}
        self._made_of: list[object] = []
        self._all: tuple[ListedVoice, ...] = ()

    async def all(self) -> tuple[ListedVoice, ...]:
        """Those of the default model first; the same object while nothing has changed. Never raises for a
        provider that fails."""
        providers = {name: _upstream(found) for name, found in self._registry.providers.items()}
        named = [(name, found) for name, found in providers.items() if isinstance(found, VoiceLister)]
        lists = await asyncio.gather(*(self._account(name, provider) for name, provider in named))
        accounts = {name: found for (name, _), found in zip(named, lists, strict=True)}
        engines = await asyncio.to_thread(lambda: dict(self._engines()))
        made_of: list[object] = [*lists, *engines, *(engine.voices for engine in engines.values())]
        if made_of != self._made_of:
            self._all = await asyncio.to_thread(lambda: tuple(self._merged(engines, accounts)))
            self._made_of = made_of
        return self._all

    async def _account(self, name: str, lister: VoiceLister) -> tuple[Voice, ...] | None:
        account = self._accounts.setdefault(name, _Account())
        async with account.lock:
            if self._clock() >= account.good_until:
                fresh = FRESH_S
                try:
                    async with asyncio.timeout(self._deadline):
                        account.voices = tuple(await lister.list_voices())[:MAX_VOICES]
                except (ProviderError, TimeoutError) as error:
                    # What was listed before is better than nothing.
                    why = str(error) or f"no answer within {self._deadline:g} s"
                    log.warning("the voices of %s cannot be listed: %s", name, why)
                    fresh = FAILED_S
                except Exception:
                    log.exception("the voices of %s cannot be listed", name)
                    fresh = FAILED_S
                account.good_until = self._clock() + fresh
        return account.voices

    def _engines(self) -> Iterator[tuple[str, Tts]]:
        """The speech models to be listed, by canonical name, the default one first."""
        registry = self._registry
        names = [registry.defaults.tts]
        for provider, found in registry.providers.items():
            names += [f"{provider}/{model.id}" for model in found.models() if model.kind == "tts"]
        for name in dict.fromkeys(names):
            try:
                if name == registry.defaults.tts or self._is_cheap(name):
                    yield name, registry.tts(name)
            except (ProviderError, UnknownModelError) as error:
                log.warning("the voices of %s cannot be listed: %s", name, error)

    def _is_cheap(self, name: str) -> bool:
        """Whether asking for an engine loads nothing; the name of a router only has voices of others."""
        provider = self._registry.providers[name.partition("/")[0]]
        return isinstance(_upstream(provider), RemoteProvider) or self._registry.is_loaded(name)

    def _merged(
        self, engines: Mapping[str, Tts], accounts: Mapping[str, tuple[Voice, ...] | None]
    ) -> Iterator[ListedVoice]:
        default = self._registry.defaults.tts
        speakers: dict[tuple[str, str], list[str]] = {}  # a provider's voice -> the models that speak with it
        known: dict[tuple[str, str], Voice] = {}
        for name, engine in engines.items():
            provider = name.partition("/")[0]
            voices = _voices_of(engine, accounts.get(provider))
            if name == default:
                yield from self._names_of_others(engine, voices)
            for voice in voices:
                known.setdefault((provider, voice.id), voice)
                speakers.setdefault((provider, voice.id), []).append(name)
        for (provider, id), voice in gently(known.items()):
            models = tuple(speakers[provider, id])
            yield ListedVoice(
                id,
                voice.name,
                voice.language,
                provider,
                models[0],
                models,
                gender=_gender(id, voice.name),
                is_default=default in models,
            )

    def _names_of_others(self, engine: Tts, own: Iterable[Voice]) -> Iterator[ListedVoice]:
        """The names of OpenAI's and Inworld's voices, and of the settings, where they mean a voice of this
        engine, and it has none of that name itself."""
        languages = {voice.id: voice.language for voice in own}
        if not languages:
            return  # every name is passed on, and which of them the service knows nobody can tell
        taken = {voice.id.casefold() for voice in own} | {voice.name.casefold() for voice in own}
        registry, default = self._registry, self._registry.defaults.tts
        given = [name for name, target in registry.aliases.items() if "/" not in target]
        for name in (*given, *_VARIANTS):
            if name.casefold() in taken:
                continue
            try:
                voice = registry.resolve_voice(default, name)
            except UnknownModelError:
                continue
            stem = voice if voice in languages else voice.partition("+")[0]
            if stem not in languages:
                continue  # the service takes any name, but this one is not among its voices
            taken.add(name.casefold())
            id = name.capitalize() if name in _INWORLD_NAMES and name not in registry.aliases else name
            yield ListedVoice(
                id,
                id,
                languages[stem],
                default.partition("/")[0],
                default,
                (default,),
                gender=_gender(voice, name),
                is_default=True,
                spoken_as=voice,
            )


def gently(things: Iterable[T]) -> Iterator[T]:
    """The same, for a thread that has thousands of things to work on beside the event loop: without a break
    now and then it would keep the interpreter for 5 ms at a time."""
    for number, thing in enumerate(things):
        if number % 16 == 0:
            time.sleep(0)
        yield thing


def _upstream(provider: Provider) -> object:
    """The service that is asked, without the routers under its name."""
    return provider.own if isinstance(provider, WithRouters) else provider


def _voices_of(engine: Tts, account: tuple[Voice, ...] | None) -> tuple[Voice, ...]:
    """What one engine may be asked for; an account knows better than the engine what it has."""
    listed = (engine.voices or ()) if account is None else account
    return tuple({voice.id: voice for voice in gently(listed) if engine.knows_voice(voice.id)}.values())


def _gender(id: str, name: str) -> Gender:
    """What the names tell, which is nothing of most."""
    variant = id.partition("+")[2] or _VARIANTS.get(name.casefold(), "").partition("+")[2]
    return {"m": "MALE", "f": "FEMALE"}.get(variant[:1], "")  # type: ignore[return-value]
