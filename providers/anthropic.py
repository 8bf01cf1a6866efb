"""The provider of kind "anthropic": Claude through the Messages API, or a server that imitates it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo
from providers.llm.anthropic_messages import NEWEST_VERSION, AnthropicMessagesLlm
from providers.provider import ProviderSettings
from providers.remote import HttpOptions, RemoteProvider, long_words

__all__ = ["AnthropicOptions", "AnthropicProvider"]

BASE_URL = "https://api.anthropic.com"

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


class AnthropicOptions(HttpOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address without /v1.")
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


class AnthropicProvider(RemoteProvider[AnthropicOptions]):
    """Serves language models. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, AnthropicOptions)
        options = self._options
        if options.auth == "bearer":
            key = self._key_header("Authorization", "Bearer ")
        else:
            key = self._key_header("x-api-key")
        self._http = self._client(
            {"anthropic-version": options.api_version, **options.headers, **key},
            base_url=options.base_url.rstrip("/").removesuffix("/v1"),
            secrets=long_words(options.headers),
        )

    def models(self) -> Sequence[ModelInfo]:
        listed = _MODELS if self._options.models is None else self._options.models
        return tuple(ModelInfo(model, "llm", streams="text and tool calls") for model in listed)

    def llm(self, model: str) -> Llm:
        options = self._options
        return self._engine(
            AnthropicMessagesLlm,
            model,
            lambda: AnthropicMessagesLlm(
                self._http,
                model,
                samples=options.api_version < NEWEST_VERSION,
                max_tokens=options.max_tokens,
                caches=options.prompt_caching,
                effort=options.reasoning_effort,
            ),
        )
