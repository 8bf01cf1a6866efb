"""The provider of kind "openai-compatible": OpenAI itself and every server that offers the same routes."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from providers.contracts import Llm, ModelInfo, Stt, Tts, Voice
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.llm.openai_chat import OpenAIChatLlm
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.stt.openai_realtime import OpenAIRealtimeStt, is_realtime_only
from providers.stt.openai_transcriptions import OpenAITranscriptionStt
from providers.tts.openai_speech import MAX_INPUT_CHARS, OPENAI_VOICES, OpenAISpeechTts

__all__ = ["OpenAICompatibleOptions", "OpenAICompatibleProvider"]

OPENAI_BASE_URL = "https://api.openai.com/v1"
MAX_ENGINES = 256  # names come from clients; engines are cheap to make again

Engine = TypeVar("Engine")


class OpenAICompatibleOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str | None = Field(None, description="Address up to and including /v1; `openai` has one.")
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    models: list[str] = Field(default_factory=list, description="Language models to list; others work too.")
    stt_models: list[str] = Field(default_factory=list, description="Transcription models to list.")
    tts_models: list[str] = Field(default_factory=list, description="Speech models to list.")
    voices: list[str] | None = Field(None, description="Voices to accept; unset: OpenAI's, or any elsewhere.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None, description="Name of the output limit; unset: max_completion_tokens at OpenAI, else max_tokens."
    )
    system_role: Literal["system", "developer"] = Field("system", description="Role of the instructions.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Added to each chat request, such as reasoning_effort."
    )
    context_tokens: int | None = Field(
        None, ge=1, description="Tokens that its language models hold; unset: by the model's name."
    )
    vision: bool | None = Field(
        None, description="Whether its language models see images; unset: images are sent to them."
    )
    echo_reasoning: bool = Field(
        False,
        description="Whether it wants its reasoning back with the calls that it led to, as DeepSeek does.",
    )
    realtime_transcription: bool | None = Field(
        None, description="Whether it transcribes over /v1/realtime; unset: models that have no other way."
    )
    sample_rate: int = Field(24_000, ge=8_000, le=48_000, description="Hertz of the PCM that speech returns.")
    max_input_chars: int = Field(MAX_INPUT_CHARS, ge=16, description="Longest text of one speech request.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the request to the first byte.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of an answer.")
    total_timeout: float = Field(600.0, gt=0, description="Seconds for a whole answer.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class OpenAICompatibleProvider(Provider):
    """Serves language models, transcription and speech over one shared HTTP session.

    Raises `ValueError` for options that are unknown or wrong. Whether the upstream has a model is known only
    once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, OpenAICompatibleOptions)
        self._is_openai = settings.name == "openai"
        base_url = _base_url(settings.name, options.base_url)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the key holds characters that no key has")
        headers = _headers(settings.name, options)
        if key and "authorization" not in map(str.lower, headers):
            headers["Authorization"] = f"Bearer {key}"
        self._http = HttpClient(
            settings.name,
            base_url,
            headers=headers,
            secrets=(key, *_long_words(options.headers.values())),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
                total=options.total_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[tuple[type, str], Any] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        options = self._options
        return (
            *(ModelInfo(model, "llm") for model in options.models),
            *(ModelInfo(model, "stt") for model in options.stt_models),
            *(ModelInfo(model, "tts") for model in options.tts_models),
        )

    def llm(self, model: str) -> Llm:
        options = self._options
        default = "max_completion_tokens" if self._is_openai else "max_tokens"
        return self._engine(
            OpenAIChatLlm,
            model,
            lambda: OpenAIChatLlm(
                self._http,
                model,
                max_tokens_field=options.max_tokens_field or default,
                system_role=options.system_role,
                extra_body=options.extra_body,
                sees_images=options.vision is not False,
                echo_reasoning=options.echo_reasoning,
            ),
        )

    def context_tokens(self, model: str) -> int:
        return self._options.context_tokens or super().context_tokens(model)

    def stt(self, model: str) -> Stt:
        realtime = self._options.realtime_transcription
        if is_realtime_only(model) if realtime is None else realtime:
            return self._engine(OpenAIRealtimeStt, model, lambda: OpenAIRealtimeStt(self._http, model))
        return self._engine(OpenAITranscriptionStt, model, lambda: OpenAITranscriptionStt(self._http, model))

    def tts(self, model: str) -> Tts:
        options = self._options
        voices = OPENAI_VOICES if self._is_openai else None
        if options.voices is not None:
            voices = tuple(Voice(voice, voice) for voice in options.voices)
        return self._engine(
            OpenAISpeechTts,
            model,
            lambda: OpenAISpeechTts(
                self._http,
                model,
                voices=voices,
                sample_rate=options.sample_rate,
                max_input_chars=options.max_input_chars,
            ),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    def _engine(self, kind: type[Engine], model: str, make: Callable[[], Engine]) -> Engine:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if (kind, model) not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[kind, model] = make()
            engine: Engine = self._engines[kind, model]
            return engine


def _base_url(name: str, configured: str | None) -> str:
    if name == "openai":
        configured = configured or os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL
    if not configured:
        raise ValueError(f"provider '{name}': base_url is missing, such as \"http://127.0.0.1:8080/v1\"")
    parts = urlsplit(configured.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"provider '{name}': base_url must start with http:// or https:// and name a host")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"provider '{name}': base_url: {error}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"provider '{name}': base_url may hold neither credentials nor a query")
    return configured.strip()


def _long_words(values: Iterable[str]) -> list[str]:
    """What may be a secret in a header, such as both halves of "Token abc...", but no flags and versions."""
    return [word for value in values for word in value.split() if len(word) >= 8]


def _headers(name: str, options: OpenAICompatibleOptions) -> dict[str, str]:
    env: Mapping[str, str] = os.environ if name == "openai" else {}
    headers = dict(options.headers)
    if organization := options.organization or env.get("OPENAI_ORG_ID"):
        headers["OpenAI-Organization"] = organization
    if project := options.project or env.get("OPENAI_PROJECT_ID"):
        headers["OpenAI-Project"] = project
    for header, value in headers.items():
        if not (header.isascii() and header.isprintable() and value.isprintable()):
            raise ValueError(f"provider '{name}': header {header!a} has characters that none may have")
    return headers
