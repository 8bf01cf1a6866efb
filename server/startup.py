"""Start-up: makes the providers, chooses the engine of each stage and says why, loads and warms the models.

The language model is the configured one; else Google's when its key is set; else the first provider table
that names a language model; else that of the first service in the catalogue whose key is set; else
`builtin/echo`, so that a fresh install always answers.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from providers.catalog import CATALOG
from providers.errors import ProviderError, UnknownModelError
from providers.provider import Provider, ProviderSettings
from providers.registry import Defaults, ProviderSetupError, Registry, make_provider
from providers.router import RouterProvider, WithRouters
from providers.routing.definition import parse_definition
from providers.routing.routers import Routers
from providers.tools.toolbox import ConfiguredToolbox
from server.auth import is_loopback
from server.settings import ProviderTable, Settings
from server.table_keys import TableKeyError, key_in
from server.toolbox import make_toolbox
from server.warmup import ENGINE_STAGES, warm_stage

__all__ = [
    "IN_PROCESS",
    "NOTHING",
    "ROUTERS",
    "Choice",
    "Prepared",
    "Stage",
    "StartupError",
    "add_routers",
    "build_registry",
    "check_exposure",
    "choose_voice",
    "in_process",
    "key_variable",
    "load_provider",
    "load_providers",
    "log_choices",
    "may_be_missing",
    "prepare",
    "provider_tables",
    "warm",
]

Stage = Literal["vad", "turn", "stt", "llm", "tts", "voice"]

# Kinds that run in this process, so that warming them costs nobody money.
IN_PROCESS = ("builtin", "local")
LOCAL_DEFAULTS: Mapping[str, str] = {
    "vad": "local/silero-vad",
    "turn": "local/smart-turn-v3",
    "stt": "local/moonshine-tiny-en",
    "tts": "local/espeak",
}

ROUTERS = "router"  # the provider whose models are routers; Inworld's clients know them by its name

LLM_KEYS = "GEMINI_API_KEY or OPENAI_API_KEY"  # the two that most people have

NOTHING = "none"
_WITHOUT_JUDGE = "semantic_vad goes by silence and words"
_SWITCHED_OFF = f"switched off in defaults.turn, so {_WITHOUT_JUDGE}"

logger = logging.getLogger(__name__)


class StartupError(Exception):
    """The server cannot start. The message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one stage uses unless a session asks for something else."""

    stage: Stage
    chosen: str  # a canonical `provider/model`, the speech model's own id of a voice, or `NOTHING`
    why: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is ready before the first client comes. Its holder closes registry and toolbox."""

    registry: Registry
    choices: tuple[Choice, ...]
    seconds: float  # that loading and warming took
    toolbox: ConfiguredToolbox = field(default_factory=ConfiguredToolbox)


async def prepare(settings: Settings, environ: Mapping[str, str]) -> Prepared:
    """Choose, load and warm the engines. Raises `StartupError`; may be cancelled.

    `environ` is where keys are looked up. Must run in the event loop that will serve the sessions.
    """
    began = time.perf_counter()
    check_exposure(settings)
    try:
        toolbox = make_toolbox(settings.tools, environ)
    except TableKeyError as error:
        raise StartupError(str(error)) from error
    registry, choices = build_registry(settings, load_providers(settings, environ), environ)
    try:
        choices = await warm(registry, settings, choices)
        voice = await asyncio.to_thread(choose_voice, settings, registry)
        if settings.tools.mcp and settings.tools.allowed_hosts:  # so MCP servers are meant to be used
            await toolbox.warm()
    except BaseException:
        await toolbox.aclose()
        await registry.aclose()
        raise
    return Prepared(registry, (*choices, voice), time.perf_counter() - began, toolbox)


def log_choices(prepared: Prepared) -> None:
    """One log line for each stage."""
    for choice in prepared.choices:
        missing = choice.chosen == NOTHING and choice.why != _SWITCHED_OFF
        level = logging.WARNING if missing else logging.INFO
        logger.log(level, "%s: %s (%s)", choice.stage, choice.chosen, choice.why)


def check_exposure(settings: Settings) -> None:
    """Refuse to be reachable from other machines without keys. Raises `StartupError`."""
    if settings.server.api_keys or is_loopback(settings.server.host):
        return
    raise StartupError(
        f"Without API keys anybody who reaches {settings.server.host} could use this server and your"
        " providers' accounts, so it does not start. Either set keys (PARLEY_API_KEYS=key1,key2 or"
        " server.api_keys), or listen on this machine only (--host 127.0.0.1) behind a proxy that checks who"
        " is calling."
    )


def load_providers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers of `provider_tables`, and the routers, made without any I/O. Raises `StartupError`."""
    tables = provider_tables(settings, environ)
    providers = {name: load_provider(name, table, environ) for name, table in tables.items()}
    return add_routers(settings, providers)


def add_routers(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """The providers, with the routers of the settings in front. Raises `StartupError`."""
    if ROUTERS in settings.providers:
        raise StartupError(f"providers.{ROUTERS}: that name is taken by the routers; choose another one")
    routers = Routers()
    for name, definition in settings.routers.items():
        routers.put(parse_definition(definition, name=name))
    provider = RouterProvider(routers, ROUTERS)
    return {
        **providers,
        ROUTERS: provider,
        "inworld": WithRouters("inworld", provider, providers.get("inworld")),
    }


def provider_tables(settings: Settings, environ: Mapping[str, str]) -> dict[str, ProviderTable]:
    """The tables of the settings in their order, then those that need none."""
    tables = dict(settings.providers)
    for name in IN_PROCESS:
        tables.setdefault(name, ProviderTable(kind=name))
    for name, service in CATALOG.items():
        if service.is_local or key_variable(name, ProviderTable(), environ) is not None:
            tables.setdefault(name, ProviderTable())
    return tables


def load_provider(name: str, table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    """Make the provider of one table. Raises `StartupError` when the table or its key cannot be used."""
    service = CATALOG.get(name)
    kind = table.kind
    if kind is None:
        kind = service.kind if service is not None else name if name in IN_PROCESS else None
    if kind is None:
        raise StartupError(f'providers.{name}.kind is missing; for example kind = "openai-compatible"')
    options = table.options
    if service is not None and kind == service.kind:
        options = {**service.options, **options}
        if base_url := environ.get(service.base_url_variable or "") or service.base_url:
            options.setdefault("base_url", base_url)
    try:
        variable = key_variable(name, table, environ)
        key = key_in(f"providers.{name}", table.api_key, variable, environ, what="server")
        return make_provider(kind, ProviderSettings(name, options, key))
    except (ProviderSetupError, TableKeyError) as error:
        raise StartupError(str(error)) from error


def key_variable(name: str, table: ProviderTable, environ: Mapping[str, str]) -> str | None:
    """The environment variable that this provider's key comes from; None if there is no such."""
    if table.api_key is not None or table.api_key_env is not None:
        return table.api_key_env
    service = CATALOG.get(name)
    return _first_set(service.key_variables, environ) if service is not None else None


def build_registry(
    settings: Settings, providers: Mapping[str, Provider], environ: Mapping[str, str]
) -> tuple[Registry, tuple[Choice, ...]]:
    """Choose the model of each stage. Raises `StartupError` when a configured name means nothing."""
    chosen = settings.defaults
    echo = Defaults("builtin/echo", LOCAL_DEFAULTS["stt"], LOCAL_DEFAULTS["tts"], LOCAL_DEFAULTS["vad"], "")
    try:
        # With these in place, a configured default may itself be an alias or a name like "tts-1".
        registry = Registry(providers, defaults=echo, aliases=settings.aliases)
    except UnknownModelError as error:
        raise StartupError(f"aliases: {error}") from error
    routers = providers.get(ROUTERS)
    if isinstance(routers, RouterProvider):
        routers.connect(registry)
    choices = (
        _choose("vad", chosen.vad, lambda name: name, "in process, no key needed"),
        Choice("turn", NOTHING, _SWITCHED_OFF)
        if chosen.turn == NOTHING
        else _choose("turn", chosen.turn, lambda name: name, "in process, no key needed"),
        _choose("stt", chosen.stt, registry.resolve_stt, "in process, no key needed"),
        _choose("llm", chosen.llm, registry.resolve_llm, "")
        if chosen.llm
        else _choose_llm(settings, providers, environ),
        _choose("tts", chosen.tts, registry.resolve_tts, "in process, no key needed"),
    )
    names = {choice.stage: choice.chosen for choice in choices}
    turn = None if names["turn"] == NOTHING else names["turn"]
    registry.defaults = Defaults(names["llm"], names["stt"], names["tts"], names["vad"], chosen.voice, turn)
    return registry, choices


async def warm(registry: Registry, settings: Settings, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Load every default engine at once, and run those that are in this process. Raises `StartupError`.

    Engines of remote providers are only made: a request would cost money. Returns the choices as they are
    after that: nobody judges turns where nothing was configured and the usual model cannot be loaded.
    """
    stages = [stage for stage in ENGINE_STAGES if getattr(registry.defaults, stage) is not None]
    results = await asyncio.gather(
        *(
            warm_stage(registry, stage, run=in_process(getattr(registry.defaults, stage), settings))
            for stage in stages
        ),
        return_exceptions=True,
    )
    for stage, result in zip(stages, results, strict=True):
        if isinstance(result, ProviderError | UnknownModelError) and may_be_missing(stage, settings):
            registry.defaults = replace(registry.defaults, turn=None)
            without = Choice("turn", NOTHING, f"{_WITHOUT_JUDGE}: {result}")
            choices = tuple(without if choice.stage == "turn" else choice for choice in choices)
            continue
        if isinstance(result, ProviderError | UnknownModelError):
            raise StartupError(f"{stage} ({getattr(registry.defaults, stage)}): {result}") from result
        if isinstance(result, BaseException):
            raise result
        logger.debug("%s is warm after %.0f ms", stage, 1000 * result)
    return choices


def may_be_missing(stage: Stage, settings: Settings) -> bool:
    """Whether the server does without this stage where its model cannot be loaded: nobody asked for it."""
    local = settings.providers.get("local")
    named = settings.defaults.turn is not None or (local is not None and "smart_turn" in local.options)
    return stage == "turn" and not named


def in_process(model: str, settings: Settings) -> bool:
    """Whether a canonical model runs in this process, needing neither network nor money."""
    name = model.partition("/")[0]
    table = settings.providers.get(name)
    return ((table.kind if table is not None else None) or name) in IN_PROCESS


def _choose(stage: Stage, configured: str | None, resolve: Callable[[str], str], why: str) -> Choice:
    if configured is None:
        return Choice(stage, LOCAL_DEFAULTS[stage], why)
    try:
        name = resolve(configured)
    except UnknownModelError as error:
        raise StartupError(f"defaults.{stage}: {error}") from error
    via = "" if name == configured else f" as '{configured}'"
    return Choice(stage, name, f"set in defaults.{stage}{via}")


def _choose_llm(settings: Settings, providers: Mapping[str, Provider], environ: Mapping[str, str]) -> Choice:
    google = next(iter(CATALOG))  # what Inworld's clients expect, wherever its key is there
    if google in providers and google not in settings.providers:
        return _by_key(google, environ)
    for name, table in settings.providers.items():
        if name not in providers:  # it could not be made; `parley doctor` goes on nevertheless
            continue
        models = [model.id for model in providers[name].models() if model.kind == "llm"]
        service = CATALOG.get(name)
        if service is not None and service.default_llm is not None and "models" not in table.options:
            return Choice("llm", f"{name}/{service.default_llm}", f"providers.{name} is configured")
        if models:
            return Choice("llm", f"{name}/{models[0]}", f"the first model of providers.{name}")
    for name, service in CATALOG.items():
        if service.default_llm is not None and name in providers and name not in settings.providers:
            return _by_key(name, environ)
    return Choice(
        "llm",
        "builtin/echo",
        f"no language model is configured; set {LLM_KEYS} or another provider's key, or defaults.llm,"
        " for a real one",
    )


def _by_key(name: str, environ: Mapping[str, str]) -> Choice:
    variable = key_variable(name, ProviderTable(), environ)
    return Choice("llm", f"{name}/{CATALOG[name].default_llm}", f"{variable} is set")


def choose_voice(settings: Settings, registry: Registry) -> Choice:
    """What the default voice means to the default speech model, which must be loaded by now."""
    wanted = settings.defaults.voice
    try:
        voice = registry.resolve_voice(registry.defaults.tts, wanted)
    except UnknownModelError as error:
        raise StartupError(f"defaults.voice: {error}") from error
    return Choice("voice", voice, "the default voice" if voice == wanted else f"speaks for '{wanted}'")


def _first_set(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((name for name in names if environ.get(name)), None)
