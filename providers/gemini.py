"""The provider of kind "gemini": Google's models through their own API."""

import threading
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.llm.gemini import GeminiLlm
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings

__all__ = ["GeminiOptions", "GeminiProvider"]

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again

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


class GeminiOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, pattern=r"^https?://", description="Address up to and including /v1beta.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    models: list[str] | None = Field(None, description="Models to list; unset: those known. Others work too.")
    upstream_models: dict[str, str] = Field(
        default_factory=dict,
        description="Names to send instead of those that clients use, as for retired models.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="Used where a session does not say; unset: as the model does by itself."
    )
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the request to the first byte.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of an answer.")
    total_timeout: float = Field(600.0, gt=0, description="Seconds for a whole answer.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class GeminiProvider(Provider):
    """Serves language models. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, GeminiOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the API key has characters that no key has")
        headers = dict(options.headers)
        for header, value in headers.items():
            if not (header.isascii() and header.isprintable() and value.isprintable()):
                raise ValueError(
                    f"provider '{settings.name}': header {header!a} has characters that none may have"
                )
        if key:
            headers["x-goog-api-key"] = key
        words = (word for value in options.headers.values() for word in value.split() if len(word) >= 16)
        self._http = HttpClient(
            settings.name,
            options.base_url,
            headers=headers,
            secrets=(key, *words),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
                total=options.total_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[str, GeminiLlm] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        listed = _MODELS if self._options.models is None else self._options.models
        return tuple(ModelInfo(model, "llm", streams="text; tool calls whole") for model in listed)

    def llm(self, model: str) -> Llm:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[model] = GeminiLlm(
                    self._http,
                    model,
                    upstream=self._options.upstream_models.get(model),
                    effort=self._options.reasoning_effort,
                )
            return self._engines[model]

    async def aclose(self) -> None:
        await self._http.aclose()
