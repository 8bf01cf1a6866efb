"""Settings: one TOML file, the environment and the command line, checked as a whole before anything starts.

Precedence: command line > environment > file > the defaults below. `Settings()` alone is the defaults: only
`load_settings` looks at files and at the environment.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from pipeline.turn_taking import Speculation, TurnTaking
from providers.routing.definition import DefinitionError, parse_definition
from providers.tools.outbound import AllowList
from server.protocol.profiles import ProfileName
from server.settings_sources import SettingsError, explain, read_sources

__all__ = [
    "DefaultsSettings",
    "Limits",
    "LogSettings",
    "ProviderTable",
    "QuotaSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "ToolSettings",
    "TurnDetectionSettings",
    "TurnTakingSettings",
    "WebSearchTable",
    "load_settings",
]

MIB = 1024 * 1024


def _split_commas(value: Any) -> Any:
    """The environment writes a list as `a,b`; a file writes a TOML array."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _none_for_off(value: Any) -> Any:
    """TOML has no null: `false`, "none" and "off" say it."""
    return None if value is False or value in ("none", "off", "null") else value


def _none_by_name(value: Any) -> Any:
    """As `_none_for_off`, for what has another meaning when it is left out."""
    return "none" if value is False or value in ("off", "null") else value


CommaList = NoDecode, BeforeValidator(_split_commas)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Table):
    """What one client may ask of the server. Sizes are bytes, times are seconds."""

    max_sessions: int = Field(256, ge=1)
    # The largest WebSocket message: an append of 15 MiB of audio is 20 MiB of base64, plus its JSON.
    max_message_bytes: int = Field(24 * MIB, ge=1024)
    max_append_bytes: int = Field(15 * MIB, ge=1024)  # decoded audio of one append; the protocol's own bound
    max_buffer_seconds: float = Field(600, gt=0)  # input audio that is not committed yet
    max_item_bytes: int = Field(16 * MIB, ge=1024)  # decoded, of each recording and image in an item
    max_items: int = Field(1000, ge=1)  # of one conversation
    max_conversation_bytes: int = Field(64 * MIB, ge=1024)  # text and images of all its items, as sent
    max_outbox_bytes: int = Field(8 * MIB, ge=1024)  # not yet read by a slow client, who is then disconnected
    events_per_second: float = Field(1000, gt=0)  # from one client
    max_session_audio_bytes: int = Field(16 * MIB, ge=0)  # kept so that items can be retrieved with audio
    session_seconds: float = Field(3600, gt=0)  # the longest life of one session
    idle_seconds: float | None = Field(None, gt=0)  # for so long a client may send nothing at all


class QuotaSettings(_Table):
    """What each API key may use; a server without keys has one quota for everybody."""

    requests_per_minute: int = Field(10_000, ge=1)  # responses that call the model
    tokens_per_minute: int = Field(10_000_000, ge=1)  # read and written by language models
    concurrent_sessions: int | None = Field(None, ge=1)


class ServerSettings(_Table):
    """Where the server listens and who may use it."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)  # 0 picks a free one
    api_keys: Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], *CommaList] = ()
    # Web pages of other hosts that may use a server without keys, such as "https://voice.example.com".
    allowed_origins: Annotated[tuple[str, ...], *CommaList] = ()
    # PEM files: the certificate with its chain, and its key. Without them the server speaks plain HTTP.
    tls_cert: Path | None = None
    tls_key: Annotated[Path | None, Field(validate_default=True)] = None
    # What a connection gets that does not choose with ?profile=
    profile: ProfileName = "parley"
    # Workers that share it accept each other's client secrets; unset, it is made of the API keys.
    secret: Annotated[SecretStr, Field(min_length=16)] | None = None
    prompts_dir: DirectoryPath | None = None  # templates that sessions may name as their `prompt`
    limits: Limits = Limits()
    quotas: QuotaSettings = QuotaSettings()

    @field_validator("tls_key")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_cert" in info.data and (value is None) != (info.data["tls_cert"] is None):
            raise PydanticCustomError("tls_pair", "for TLS both tls_cert and tls_key are needed")
        return value


class TurnDetectionSettings(_Table):
    """Who decides that a turn is over; members that are absent take the protocol's defaults."""

    # Unset: semantic_vad, or server_vad where one of its own members is set.
    type: Literal["server_vad", "semantic_vad"] | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(None, ge=0)
    silence_duration_ms: int | None = Field(None, ge=0)
    idle_timeout_ms: int | None = Field(None, ge=5000, le=30000)
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class DefaultsSettings(_Table):
    """What a new session starts with. Models are `provider/model` or an alias; None: the server chooses."""

    llm: str | None = None
    stt: str | None = None
    tts: str | None = None
    vad: str | None = None
    turn: Annotated[str | None, BeforeValidator(_none_by_name)] = None  # "none": nobody judges turns
    voice: str = "Dennis"
    instructions: str = ""
    temperature: float | None = Field(None, ge=0, le=2)
    turn_detection_table: Annotated[TurnDetectionSettings | None, BeforeValidator(_none_for_off)] = Field(
        TurnDetectionSettings(), alias="turn_detection"
    )

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """As on the wire, without the members that were left out; None for push to talk."""
        if self.turn_detection_table is None:
            return None
        given = self.turn_detection_table.model_dump(exclude_none=True)
        own = {"threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"} & given.keys()
        return {"type": "server_vad" if own else "semantic_vad", **given}


class TurnTakingSettings(_Table):
    """How the server goes about turns in every session; clients can change `defaults.turn_detection`."""

    speculation: Speculation = "auto"
    min_interruption_ms: int = Field(200, ge=0, le=2000)
    echo_guard: bool = True
    ignore_backchannels: bool = False
    suggestion_events: bool = False

    def with_model(self, has_turn_model: bool) -> TurnTaking:
        """As the pipeline wants it. `has_turn_model`: whether turns can be judged by their sound."""
        return TurnTaking(**self.model_dump(), has_turn_model=has_turn_model)


class ProviderTable(BaseModel):
    """One named upstream. Options of its kind, such as `base_url`, pass through to the adapter."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str | None = None  # may be left out where the name says it, as `openai` does
    api_key_env: str | None = None  # the environment variable that holds the key
    api_key: SecretStr | None = None  # for PARLEY_PROVIDERS__NAME__API_KEY and mounted secrets

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Headers may carry credentials, so printing a table names the options without their values."""
        yield from (("kind", self.kind), ("api_key_env", self.api_key_env), ("api_key", self.api_key))
        yield "options", sorted(self.options)


class WebSearchTable(_Table):
    """One search engine: an HTTP API that answers in JSON. Texts have blanks: {query} and {max_results}."""

    url: str = Field(pattern=r"^https?://[^/?#\s]+\S*$")
    method: Literal["GET", "POST"] = "GET"
    params: dict[str, str] = Field(default_factory=dict)  # of the URL's query; the key's blank is {api_key}
    headers: dict[str, str] = Field(default_factory=dict)  # with {api_key}, too
    body: dict[str, Any] | None = None  # of POST, as JSON
    api_key_env: str | None = None
    api_key: SecretStr | None = None
    # Where in the answer the results are, and in each of them what is told of it: names with dots between.
    results: str = "results"
    title: str = "title"
    link: str = "url"
    text: str = "text"
    timeout: float = Field(10, gt=0, le=60)  # seconds

    @field_validator("body")
    @classmethod
    def _posted(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if value is not None and info.data.get("method") != "POST":
            raise PydanticCustomError("search_body", 'a body needs method = "POST"')
        return value

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Headers and parameters may carry credentials."""
        yield from (("method", self.method), ("api_key_env", self.api_key_env), ("api_key", self.api_key))


class ToolSettings(_Table):
    """What the server runs for its sessions. Times are seconds."""

    mcp: bool = True  # whether sessions may use tools of MCP servers
    # Hosts, hosts with a port, and networks that may be reached although they are not public.
    allowed_hosts: Annotated[tuple[str, ...], *CommaList] = ()
    connect_timeout: float = Field(10, gt=0, le=60)
    call_timeout: float = Field(60, gt=0, le=600)
    max_tools: int = Field(128, ge=1, le=1024)  # of one MCP server
    max_schema_bytes: int = Field(256 * 1024, ge=1024)  # of all of them
    max_result_chars: int = Field(64 * 1024, ge=100)
    max_response_bytes: int = Field(MIB, ge=1024, le=64 * MIB)  # of one answer over HTTP
    web_search: dict[str, WebSearchTable] = Field(default_factory=dict)  # the first is the default

    @field_validator("allowed_hosts")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            AllowList.parse(value)
        except ValueError as error:
            raise PydanticCustomError("allowed_hosts", "{fault}", {"fault": str(error)}) from None
        return value


class LogSettings(_Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    traces: Path | None = None  # a JSON Lines file, for the sessions that have tracing on
    trace_content: bool = False  # whether what people and models said is written into it


class Settings(BaseSettings):
    """Everything that can be set. Immutable; keys are shown as asterisks wherever it is printed."""

    model_config = ConfigDict(extra="forbid", frozen=True)  # type: ignore[assignment]

    server: ServerSettings = ServerSettings()
    defaults: DefaultsSettings = DefaultsSettings()
    turn_taking: TurnTakingSettings = TurnTakingSettings()
    providers: dict[str, ProviderTable] = Field(default_factory=dict)
    aliases: dict[str, str] = Field(default_factory=dict)
    routers: dict[str, dict[str, Any]] = Field(default_factory=dict)  # definitions by id
    tools: ToolSettings = ToolSettings()
    router_db: Path | None = None  # a file for routers made over REST; unset, they are gone at the end
    log: LogSettings = LogSettings()

    @field_validator("routers")
    @classmethod
    def _usable_routers(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, definition in value.items():
            try:
                parse_definition(definition, name=name)
            except DefinitionError as error:
                raise PydanticCustomError("router", "{fault}", {"fault": f"{name}: {error}"}) from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Constructing settings reads nothing from outside; see `load_settings`."""
        return (init_settings,)


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read and check all sources. `overrides` are nested as in the file and come from the command line.

    The file is `config`, else `./parley.toml`, else `~/.config/openparley/parley.toml`, else none. Raises
    `SettingsError`, which lists every problem with the file or variable that it is in and quotes no values.
    """
    sources = read_sources(Settings, config, overrides or {})
    try:
        return Settings(**sources.merged)
    except ValidationError as error:
        raise SettingsError(explain(error, Settings, sources)) from None
