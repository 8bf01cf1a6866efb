"""Finds adapters by kind, and engines and voices by the names that clients and settings use."""

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from providers.catalog import CATALOG
from providers.contracts import Llm, Stt, Tts, TurnModel, Vad
from providers.errors import ProviderError, UnknownModelError
from providers.names import ABSENT_PATTERNS, DEFAULT_PATTERNS, VOICES, WELL_KNOWN_NAMES, EngineKind
from providers.provider import Provider, ProviderSettings
from providers.routing.lookup import Routed
from providers.tts.prepared import PreparedTts

__all__ = ["Defaults", "ProviderSetupError", "Registry", "make_provider"]

GROUP = "openparley.providers"
TITLES = {"llm": "language model", "stt": "transcription model", "tts": "speech model"}

# Remote providers accept any name, so a client could fill the memory by inventing some. The oldest one is
# forgotten; providers keep the models that they loaded.
MAX_ENGINES = 512


class ProviderSetupError(Exception):
    """A provider's table in the settings cannot be used. The message says why and what there is."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a session uses that names nothing itself; models are canonical `provider/model` names."""

    llm: str
    stt: str
    tts: str
    vad: str
    voice: str
    turn: str | None = None  # None: nobody judges by the sound whether a turn is over


def make_provider(kind: str, settings: ProviderSettings) -> Provider:
    """Make the provider of one settings table. Raises `ProviderSetupError`.

    Kinds are entry points of the group "openparley.providers", so installing a package can add one.
    """
    kinds = _kinds()
    if kind not in kinds:  # unless it was installed meanwhile
        _kinds.cache_clear()
        kinds = _kinds()
    if kind not in kinds:
        raise ProviderSetupError(
            f"provider '{settings.name}': there is no kind '{kind}'{_nearest(kind, kinds)};"
            f" installed kinds: {', '.join(sorted(kinds))}"
        )
    try:
        cls = kinds[kind].load()
    except (ImportError, AttributeError) as error:
        raise ProviderSetupError(
            f"provider '{settings.name}': kind '{kind}' ({kinds[kind].value}) cannot be loaded: {error}"
        ) from error
    try:
        provider = cls(settings)
    except (ValueError, TypeError) as error:  # options that the kind does not know, or cannot use
        raise ProviderSetupError(str(error)) from error
    if not isinstance(provider, Provider):
        raise ProviderSetupError(f"provider '{settings.name}': kind '{kind}' is not a Provider")
    return provider


@cache
def _kinds() -> dict[str, EntryPoint]:
    """Looked up once: it reads the metadata of every installed package, for 10 to 30 ms."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


class Registry:
    """All configured engines. Owns its providers: `aclose` closes them. Aliases that go round in a circle
    raise `UnknownModelError` at once.

    The `resolve_` methods are quick and do no I/O. The engine methods return cached engines, but the first
    call for an engine may load its model: make it in a worker thread. All are safe in any thread.
    """

    def __init__(
        self, providers: Mapping[str, Provider], *, defaults: Defaults, aliases: Mapping[str, str]
    ) -> None:
        self.providers = dict(providers)
        self.defaults = defaults
        self.aliases = dict(aliases)
        self._engines: dict[tuple[str, str], Any] = {}
        self._lock = threading.RLock()
        for name in self.aliases:
            list(self._chain(name))  # refuses circles before anybody walks into one

    def resolve_llm(self, name: str) -> str:
        """The canonical `provider/model` of a language model; raises `UnknownModelError`."""
        return self._resolve("llm", name)

    def resolve_stt(self, name: str) -> str:
        """The canonical `provider/model` of a transcription model; raises `UnknownModelError`."""
        return self._resolve("stt", name)

    def resolve_tts(self, name: str) -> str:
        """The canonical `provider/model` of a speech model; raises `UnknownModelError`."""
        return self._resolve("tts", name)

    def context_tokens(self, name: str) -> int:
        """How many tokens the language model of that canonical name holds, input and output together."""
        provider, _, model = name.partition("/")
        return self.providers[provider].context_tokens(model)

    def is_loaded(self, name: str) -> bool:
        """Whether an engine of that canonical name has been made, so that asking for it returns at once."""
        # A copy, since a worker thread may be adding an engine.
        return any(canonical == name for _, canonical in list(self._engines))

    def llm(self, name: str) -> Llm:
        """The engine of a name as `resolve_llm` takes it; raises also `ProviderError` when loading fails."""
        engine: Llm = self._engine("llm", self.resolve_llm(name))
        return engine

    def stt(self, name: str) -> Stt:
        """The engine of a name as `resolve_stt` takes it; raises also `ProviderError` when loading fails."""
        engine: Stt = self._engine("stt", self.resolve_stt(name))
        return engine

    def tts(self, name: str) -> Tts:
        """The engine of a name as `resolve_tts` takes it; raises also `ProviderError` when loading fails."""
        engine: Tts = self._engine("tts", self.resolve_tts(name))
        return engine

    def vad(self) -> Vad:
        """The one detector that all sessions share; raises `UnknownModelError` or `ProviderError`."""
        name = self.defaults.vad
        self._provider("voice activity detector", name)
        engine: Vad = self._engine("vad", name)
        return engine

    def turn(self) -> TurnModel | None:
        """The judge of turns that all sessions share, where there is one; raises as `vad` does."""
        name = self.defaults.turn
        if name is None:
            return None
        self._provider("model that judges turns", name)
        engine: TurnModel = self._engine("turn", name)
        return engine

    def resolve_voice(self, tts: str, voice: str) -> str:
        """The speech model's own id of a voice; raises `UnknownModelError`.

        A voice that the engine knows is itself. Else the settings' aliases are followed, then the built-in
        ones, which give the names of OpenAI's and Inworld's voices to voices that the engine has.
        """
        engine = self.tts(tts)
        names = list(self._chain(voice))
        for name in names:
            if name and engine.knows_voice(name):
                return name
        for mark, table in VOICES.items():
            if engine.knows_voice(mark):
                for name in names:
                    target = table.get(name.lower())
                    if target is not None and engine.knows_voice(target):
                        return target
        listed = [item.id for item in engine.voices or ()]
        raise UnknownModelError(
            f"Unknown voice '{_shorten(voice)}' of '{self.resolve_tts(tts)}'{_nearest(voice, listed)}."
            f" Some that it has: {', '.join(listed[:12])}. The settings can give it a voice:"
            f' [aliases] "{_shorten(voice)}" = "{next(iter(listed), "...")}".'
        )

    def models(self) -> list[tuple[str, str]]:
        """Every name that is sure to resolve, with its kind (llm, stt, tts, vad, turn): models first."""
        found = {
            (f"{name}/{model.id}", str(model.kind)): None
            for name, provider in self.providers.items()
            for model in provider.models()
        }
        kinds: tuple[EngineKind, ...] = ("llm", "stt", "tts")
        for kind in kinds:
            found[getattr(self.defaults, kind), kind] = None
        for kind in kinds:
            for name in (*self.aliases, *WELL_KNOWN_NAMES[kind]):
                if self._means(kind, name):
                    found[name, kind] = None
        return list(found)

    async def aclose(self) -> None:
        """Close every provider, also when one of them fails; the first failure is raised at the end."""
        failures: list[Exception] = []
        for provider in self.providers.values():
            try:
                await provider.aclose()
            except Exception as error:  # noqa: BLE001 - the others must be closed as well
                failures.append(error)
        if failures:
            raise failures[0]

    def _means(self, kind: EngineKind, name: str) -> bool:
        """Whether a listed name is one of this kind: an alias of a language model is no transcription model,
        although as a bare name it would be taken for one."""
        *_, target = self._chain(name)
        if "/" not in target:
            return target in WELL_KNOWN_NAMES[kind]
        provider = self.providers.get(target.partition("/")[0])
        listed = provider.models() if provider is not None else ()
        kinds = {str(model.kind) for model in listed if target.partition("/")[2] == model.id}
        return provider is not None and kind in (kinds or {"llm"})  # most unlisted models are that

    def _chain(self, name: str) -> Iterator[str]:
        """`name` and what the settings' aliases make of it, step by step. Raises `UnknownModelError`."""
        seen = [name]
        yield name
        while (target := self.aliases.get(seen[-1])) is not None:
            if target in seen:
                loop = " -> ".join(f"'{step}'" for step in (*seen, target))
                raise UnknownModelError(f"The aliases in the settings go round in a circle: {loop}.")
            seen.append(target)
            yield target

    def _resolve(self, kind: EngineKind, name: str) -> str:
        *_, target = self._chain(name)
        if "/" in target:
            if self._is_absent(kind, target):
                return str(getattr(self.defaults, kind))
            self._check(kind, target)
            return target
        owners = [
            f"{owner}/{target}"
            for owner, provider in self.providers.items()
            if any(model.id == target and model.kind == kind for model in provider.models())
        ]
        if len(owners) == 1:
            return owners[0]
        if any(fnmatchcase(target, pattern) for pattern in DEFAULT_PATTERNS[kind]):
            return str(getattr(self.defaults, kind))
        if owners:
            raise UnknownModelError(f"'{target}' is ambiguous: {', '.join(owners)}.")
        raise self._unknown(kind, target)

    def _is_absent(self, kind: EngineKind, target: str) -> bool:
        """Whether clients name it without being asked, and its service is not configured."""
        provider = self.providers.get(target.partition("/")[0])
        return (provider is None or not provider.models()) and any(
            fnmatchcase(target, pattern) for pattern in ABSENT_PATTERNS[kind]
        )

    def _check(self, kind: EngineKind, target: str) -> None:
        """Whether the model exists, without loading one that its provider lists."""
        provider = self._provider(TITLES[kind], target)
        model = target.partition("/")[2]
        if any(item.id == model and item.kind == kind for item in provider.models()):
            return
        try:
            # Remote providers serve more than they list, and making an engine of theirs costs nothing; a
            # provider that loads models refuses names that it does not list before it loads anything.
            self._engine(kind, target)
        except UnknownModelError as error:
            raise UnknownModelError(f"Unknown {TITLES[kind]} '{_shorten(target)}': {error}.") from None
        except ProviderError as error:  # it is known, and something that it needs is not here
            title = TITLES[kind].capitalize()
            raise UnknownModelError(f"{title} '{_shorten(target)}' cannot be used: {error}.") from None

    def _provider(self, title: str, target: str) -> Provider:
        name = target.partition("/")[0]
        if name in self.providers:
            return self.providers[name]
        if name in CATALOG:
            how = f"set {' or '.join(CATALOG[name].key_variables)} in the server's environment"
        else:
            how = f"add [providers.{_shorten(name)}] to the settings"
        raise UnknownModelError(
            f"Unknown {title} '{_shorten(target)}': there is no provider '{_shorten(name)}'"
            f"{_nearest(name, self.providers)}. Configured: {', '.join(self.providers)}. To use it, {how}."
        )

    def _engine(self, kind: str, canonical: str) -> Any:
        key = (kind, canonical)
        engine = self._engines.get(key)
        if engine is None:
            with self._lock:
                engine = self._engines.get(key)
                if engine is None:
                    if len(self._engines) >= MAX_ENGINES:
                        self._engines.pop(next(iter(self._engines)))
                    name, _, model = canonical.partition("/")
                    engine = getattr(self.providers[name], kind)(model)
                    engine = self._engines[key] = _prepared(engine) if kind == "tts" else engine
        return engine

    def _unknown(self, kind: EngineKind, name: str) -> UnknownModelError:
        names = [model for model, listed in self.models() if listed == kind]
        return UnknownModelError(
            f"Unknown {TITLES[kind]} '{_shorten(name)}'{_nearest(name, names)}."
            f" Available: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
        )


def _prepared(engine: Tts) -> Tts:
    """A voice as sessions get it; a router's are prepared already, since it has them from here."""
    if isinstance(engine, Routed):
        return engine
    return PreparedTts(engine, numbers=not getattr(engine, "reads_numbers", True))


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _shorten(name: str) -> str:
    """A name from a client, fit to be quoted in a message."""
    return name if len(name) <= 100 else f"{name[:100]}..."
