"""The checks behind `parley doctor`: each finding says what was seen and what to do about it."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from providers.catalog import CATALOG
from providers.errors import ProviderError, UnknownModelError
from providers.provider import Provider
from providers.registry import Registry
from server.serving import bind, url_of
from server.settings import ServerSettings, Settings, SettingsError, load_settings
from server.settings_sources import config_file
from server.startup import (
    IN_PROCESS,
    NOTHING,
    Choice,
    StartupError,
    add_routers,
    build_registry,
    check_exposure,
    choose_voice,
    in_process,
    key_variable,
    load_provider,
    may_be_missing,
    provider_tables,
)
from server.table_keys import TableKeyError
from server.tls import server_context
from server.toolbox import make_toolbox
from server.traces import check_traces
from server.warmup import ENGINE_STAGES, warm_stage

__all__ = ["Check", "Status", "examine"]

Status = Literal["ok", "warn", "fail"]

REACH = 2.0  # seconds to wait for a provider's address to accept a connection


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `fix` says what to do; it is empty when nothing is wrong."""

    name: str
    status: Status
    detail: str
    fix: str = ""


async def examine(config: Path | None, environ: Mapping[str, str]) -> list[Check]:
    """All findings, in the order in which a person would mend them. Never raises for what it examines."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        return [Check("settings", "fail", problem, "Correct it and try again.") for problem in error.problems]
    path = config_file(config)
    checks = [Check("settings", "ok", str(path) if path else "no file, so the defaults are used")]
    checks += _listening(settings)
    checks += _tools(settings, environ)
    providers, found = _providers(settings, environ)
    checks += found
    try:
        providers = add_routers(settings, providers)
        checks += await _engines(settings, providers, environ)
        checks += await _reachable(settings, providers)
    finally:
        for provider in providers.values():
            await provider.aclose()
    return checks


def _listening(settings: Settings) -> list[Check]:
    server = settings.server
    checks = []
    try:
        check_exposure(settings)
        keys = len(server.api_keys)
        access = f"{keys} configured" if keys else "none, so only this machine can connect"
        checks.append(Check("api keys", "ok", access))
    except StartupError as error:
        checks.append(Check("api keys", "fail", f"none, but host is {server.host}", str(error)))
    if server.tls_cert is not None:
        try:
            server_context(server)
            checks.append(Check("tls", "ok", f"the certificate {server.tls_cert} and its key"))
        except StartupError as error:
            checks.append(Check("tls", "fail", str(error), "Without it the server does not start."))
    if settings.log.traces is not None:
        try:
            check_traces(settings.log)
            checks.append(Check("traces", "ok", f"appended to {settings.log.traces}"))
        except StartupError as error:
            checks.append(Check("traces", "fail", str(error), "Without it the server does not start."))
    return [*checks, *_port(server)]


def _tools(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    if not settings.tools.web_search:
        return []
    try:
        engines = make_toolbox(settings.tools, environ).search_engines
    except TableKeyError as error:
        return [Check("web search", "fail", str(error), "Without it the server does not start.")]
    return [Check("web search", "ok", f"{', '.join(engines)}; none of them was asked")]


def _port(server: ServerSettings) -> list[Check]:
    try:
        sock = bind(server.host, server.port)
    except StartupError as error:
        if _is_ours(server):
            detail = f"{server.host}:{server.port} has a server already, and it is alive"
            return [Check("port", "warn", detail, "Stop it before you start another one there.")]
        return [Check("port", "fail", f"{server.host}:{server.port} cannot be used", str(error))]
    with sock:
        return [Check("port", "ok", f"{url_of(sock, server)} is free")]


def _is_ours(server: ServerSettings) -> bool:
    scheme = "http" if server.tls_cert is None else "https"
    unverified = ssl.create_default_context()  # its certificate need not be for the address it listens on
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    url = f"{scheme}://{server.host}:{server.port}/health"
    try:
        with urllib.request.urlopen(url, timeout=REACH, context=unverified) as answer:
            return bool(json.load(answer) == {"status": "ok"})
    except (OSError, ValueError):
        return False


def _providers(settings: Settings, environ: Mapping[str, str]) -> tuple[dict[str, Provider], list[Check]]:
    providers: dict[str, Provider] = {}
    checks = []
    for name, table in provider_tables(settings, environ).items():
        try:
            providers[name] = load_provider(name, table, environ)
        except StartupError as error:
            checks.append(Check(f"provider {name}", "fail", str(error), "The server would not start."))
            continue
        if _is_presumed(name, settings):
            continue
        variable = key_variable(name, table, environ)
        if name in IN_PROCESS:
            key = "in process"
        elif table.api_key is not None:
            key = "key in the settings"
        else:
            key = f"key from {variable}" if variable else "no key"
        checks.append(Check(f"provider {name}", "ok", key))
    return providers, checks


async def _engines(
    settings: Settings, providers: Mapping[str, Provider], environ: Mapping[str, str]
) -> list[Check]:
    """Load the engine of each stage, and run those in this process."""
    try:
        registry, choices = build_registry(settings, providers, environ)
    except StartupError as error:
        return [Check("defaults", "fail", str(error), "Correct the name in the settings.")]
    checks = [await _engine(settings, registry, choice) for choice in choices]
    if not any(check.name == "tts" and check.status == "fail" for check in checks):
        try:
            voice = choose_voice(settings, registry)
            checks.append(Check("voice", "ok", f"{voice.chosen} ({voice.why})"))
        except StartupError as error:
            checks.append(Check("voice", "fail", str(error), "Set defaults.voice to one of its voices."))
    for name, target in settings.aliases.items():
        if "/" in target and not _resolves(registry, target):
            fix = "Correct the alias, or add its provider to the settings."
            checks.append(Check(f"alias {name}", "warn", f"{target} is no model of any kind", fix))
    return checks


async def _engine(settings: Settings, registry: Registry, choice: Choice) -> Check:
    stage = next(stage for stage in ENGINE_STAGES if stage == choice.stage)
    if choice.chosen == NOTHING:
        return Check(stage, "ok", f"none: {choice.why}")
    local = in_process(choice.chosen, settings)
    if choice.chosen == "builtin/echo" and settings.defaults.llm is None:
        fix = "Set GEMINI_API_KEY or OPENAI_API_KEY, or name your own model in defaults.llm."
        return Check(stage, "warn", "builtin/echo: it only repeats what was said", fix)
    try:
        seconds = await warm_stage(registry, stage, run=local)
    except (ProviderError, UnknownModelError) as error:
        if may_be_missing(stage, settings):
            fix = "Until then semantic_vad goes by silence and words."
            return Check(stage, "warn", f"{choice.chosen}: {error}", fix)
        return Check(stage, "fail", f"{choice.chosen}: {error}", "Without it the server does not start.")
    except Exception as error:  # noqa: BLE001 - whatever an engine does, the other findings must be shown
        return Check(stage, "fail", f"{choice.chosen}: {type(error).__name__}: {error}", "Please report it.")
    how = f"loaded and run in {seconds:.2f} s" if local and stage != "llm" else "not tried, it may cost money"
    return Check(stage, "ok", f"{choice.chosen}, {'in process' if local and stage == 'llm' else how}")


def _resolves(registry: Registry, target: str) -> bool:
    for resolve in (registry.resolve_llm, registry.resolve_stt, registry.resolve_tts):
        try:
            resolve(target)
        except (UnknownModelError, ProviderError):
            continue
        return True
    return False


def _is_presumed(name: str, settings: Settings) -> bool:
    """Whether nobody said that this server runs here: it is worth a line only where it is found."""
    return name not in settings.providers and name in CATALOG and CATALOG[name].is_local


def _is_here(url: str, settings: Settings) -> bool:
    """Whether that would be the server itself: vLLM has the same port."""
    return urlsplit(url).port == settings.server.port


async def _reachable(settings: Settings, providers: Mapping[str, Provider]) -> list[Check]:
    """Whether each provider's address accepts a connection; nothing is sent."""
    addresses = {
        name: str(provider.settings.options["base_url"])
        for name, provider in providers.items()
        if "base_url" in provider.settings.options
    }
    checks = await asyncio.gather(*(_reach(name, url) for name, url in addresses.items()))
    return [
        check
        for name, check in zip(addresses, checks, strict=True)
        if not _is_presumed(name, settings)
        or (check.status == "ok" and not _is_here(addresses[name], settings))
    ]


async def _reach(name: str, url: str) -> Check:
    label = f"reach {name}"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        return Check(
            label, "fail", f"base_url is not an address: {error}", f"Correct providers.{name}.base_url."
        )
    address = f"{parts.hostname}:{port}"
    try:
        async with asyncio.timeout(REACH):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        fix = f"Start that server, or correct providers.{name}.base_url, or look at the network."
        return Check(label, "warn", f"{address}: {reason}", fix)
    writer.close()
    return Check(label, "ok", f"{address} accepts connections")
