"""The provider of kind "gemini": Google's models through their own API."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo
from providers.llm.gemini import GeminiLlm
from providers.provider import ProviderSettings
from providers.remote import HttpOptions, RemoteProvider, long_words

__all__ = ["GeminiOptions", "GeminiProvider"]

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"

_MODELS = (
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-3-flash-preview",
    "gemini-3.1-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash-lite",
    "gemini-3.6-flash",
    "gemini-3.7-flash",
    "gemini-3.8-flash",
)


class GeminiOptions(HttpOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address up to and including /v1beta.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    models: list[str] | None = Field(None, description="Models to list; unset: those known. Others work too.")
    upstream_models: dict[str, str] = Field(
        default_factory=dict,
        description="Names to send instead of those that clients use, as for retired models.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="Used where a session does not say; unset: as the model does by itself."
    )


class GeminiProvider(RemoteProvider[GeminiOptions]):
    """Serves language models. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, GeminiOptions)
        headers = self._options.headers
        self._http = self._client(
            {**headers, **self._key_header("x-goog-api-key")}, secrets=long_words(headers)
        )

    def models(self) -> Sequence[ModelInfo]:
        listed = _MODELS if self._options.models is None else self._options.models
        return tuple(ModelInfo(model, "llm", streams="text; tool calls whole") for model in listed)

    def llm(self, model: str) -> Llm:
        return self._engine(
            GeminiLlm,
            model,
            lambda: GeminiLlm(
                self._http,
                model,
                upstream=self._options.upstream_models.get(model),
                effort=self._options.reasoning_effort,
            ),
        )
