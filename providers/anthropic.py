"""The provider of kind "anthropic": Claude through the Messages API, or a server that imitates it."""

import threading
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.llm.anthropic_messages import NEWEST_VERSION, AnthropicMessagesLlm
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings

__all__ = ["AnthropicOptions", "AnthropicProvider"]

BASE_URL = "https://api.anthropic.com"
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again

_MODELS = (
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
)


class AnthropicOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, pattern=r"^https?://", description="Address without /v1.")
    api_version: str = Field(
        "2023-06-01",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="Sent as anthropic-version; 2026-10-21 and later have no temperature.",
    )
    auth: Literal["x-api-key", "bearer"] = Field("x-api-key", description="How the key is sent.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Sent with every request, such as anthropic-beta."
    )
    models: list[str] | None = Field(None, description="Models to list; unset: those known. Others work too.")
    max_tokens: int | None = Field(
        None, ge=1, description="The longest answer, thinking included; unset: what the model allows."
    )
    prompt_caching: bool = Field(
        False, description="Whether long conversations are cached: quicker to read, dearer to write."
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="Used where a session does not say; unset: as the model does by itself."
    )
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the request to the first byte.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of an answer.")
    total_timeout: float = Field(600.0, gt=0, description="Seconds for a whole answer.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class AnthropicProvider(Provider):
    """Serves language models. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, AnthropicOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the API key has characters that no key has")
        headers = {"anthropic-version": options.api_version, **options.headers}
        for header, value in headers.items():
            if not (header.isascii() and header.isprintable() and value.isprintable()):
                raise ValueError(
                    f"provider '{settings.name}': header {header!a} has characters that none may have"
                )
        if key and options.auth == "bearer":
            headers["Authorization"] = f"Bearer {key}"
        elif key:
            headers["x-api-key"] = key
        self._http = HttpClient(
            settings.name,
            options.base_url.rstrip("/").removesuffix("/v1"),
            headers=headers,
            secrets=(
                key,
                *(word for value in options.headers.values() for word in value.split() if len(word) >= 16),
            ),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
                total=options.total_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[str, AnthropicMessagesLlm] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        listed = _MODELS if self._options.models is None else self._options.models
        return tuple(ModelInfo(model, "llm", streams="text and tool calls") for model in listed)

    def llm(self, model: str) -> Llm:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        options = self._options
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[model] = AnthropicMessagesLlm(
                    self._http,
                    model,
                    samples=options.api_version < NEWEST_VERSION,
                    max_tokens=options.max_tokens,
                    caches=options.prompt_caching,
                    effort=options.reasoning_effort,
                )
            return self._engines[model]

    async def aclose(self) -> None:
        await self._http.aclose()
