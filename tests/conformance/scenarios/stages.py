"""The servers that scenarios are played against."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from server.background import running_server
from server.settings import (
    DefaultsSettings,
    Limits,
    ProviderTable,
    QuotaSettings,
    ServerSettings,
    Settings,
    ToolSettings,
)
from tests.conformance.client import bare_socket
from tests.conformance.scenarios.registry import Stage
from tests.fakes.mcp_process import start_mcp_server
from tests.fakes.openai_api import FakeOpenAI, TranscriptionReply

__all__ = ["SHARED", "STAGES", "UNHEARD", "plain_settings"]

UNHEARD = "remote/down"  # a transcription model that fails


@asynccontextmanager
async def _serve(settings: Settings) -> AsyncIterator[str]:
    with running_server(settings, environ={}) as url:
        yield url


def plain_settings(folder: Path) -> Settings:
    """The default settings, a second language model, and a prompt template, written into the folder."""
    (folder / "greeter.md").write_text("[[say Hello, {{name}}.]]")
    return Settings(
        server=ServerSettings(prompts_dir=folder),
        providers={"other": ProviderTable(kind="builtin")},
        defaults=DefaultsSettings(llm="builtin/echo"),
    )


@asynccontextmanager
async def _remote() -> AsyncIterator[str]:
    """Speech goes to a service that tells speakers, languages and tokens, or fails."""
    async with FakeOpenAI(models={"gpt-4o-transcribe", "gpt-4o-transcribe-diarize"}) as fake:
        fake.transcriptions.default = TranscriptionReply(
            text="Ever tried. Ever failed.", speakers=("A", "B"), languages=("en",)
        )
        table = ProviderTable.model_validate(
            {"kind": "openai-compatible", "base_url": fake.base_url, "api_key": fake.api_key}
        )
        defaults = DefaultsSettings(stt="remote/gpt-4o-transcribe-diarize")
        async with _serve(Settings(providers={"remote": table}, defaults=defaults)) as url:
            yield url


@asynccontextmanager
async def _tools() -> AsyncIterator[str]:
    """There is an MCP server, whose address the sessions' instructions tell; it gets little time."""
    with start_mcp_server() as mcp:
        tools = ToolSettings(allowed_hosts=(mcp.host,), call_timeout=0.5)
        defaults = DefaultsSettings(llm="builtin/echo", instructions=mcp.url)
        async with _serve(Settings(tools=tools, defaults=defaults)) as url:
            yield url


def _locked() -> AbstractAsyncContextManager[str]:
    """A key is needed."""
    return _serve(Settings(server=ServerSettings(api_keys=(SecretStr("a-secret-key"),))))


def _small() -> AbstractAsyncContextManager[str]:
    """Little of everything."""
    limits = Limits(max_items=2, max_buffer_seconds=1.0, max_append_bytes=60_000)
    return _serve(Settings(server=ServerSettings(limits=limits)))


def _metered() -> AbstractAsyncContextManager[str]:
    """There is one request."""
    return _serve(Settings(server=ServerSettings(quotas=QuotaSettings(requests_per_minute=1))))


def _brief() -> AbstractAsyncContextManager[str]:
    """Sessions end soon."""
    return _serve(Settings(server=ServerSettings(limits=Limits(session_seconds=0.5))))


def _idle() -> AbstractAsyncContextManager[str]:
    """Clients may not be silent for long."""
    return _serve(Settings(server=ServerSettings(limits=Limits(idle_seconds=0.2))))


@asynccontextmanager
async def _taken(server: ServerSettings) -> AsyncIterator[str]:
    """Somebody has the one session that there is."""
    async with _serve(Settings(server=server)) as url, bare_socket(url):
        yield url


STAGES: Mapping[Stage, Callable[[], AbstractAsyncContextManager[str]]] = {
    "remote": _remote,
    "tools": _tools,
    "locked": _locked,
    "small": _small,
    "metered": _metered,
    "brief": _brief,
    "idle": _idle,
    "full server": lambda: _taken(ServerSettings(limits=Limits(max_sessions=1))),
    "full key": lambda: _taken(ServerSettings(quotas=QuotaSettings(concurrent_sessions=1))),
}

# Where one scenario leaves everything to the next. Of a metered server the first takes all that there is.
SHARED: frozenset[Stage] = frozenset(STAGES) - {"metered"}
