"""The provider of kind "assemblyai": streaming transcription."""

import threading
from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Stt
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.stt.assemblyai import AssemblyAIStt

__all__ = ["AssemblyAIOptions", "AssemblyAIProvider"]

BASE_URL = "https://streaming.assemblyai.com"
VERSION = "2025-05-12"  # of the API, as its own clients say
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again

_MODELS = {
    "u3-rt-pro": "en es fr de it pt",
    "universal-streaming-multilingual": "en es fr de it pt",
    "universal-streaming-english": "en",
}


class AssemblyAIOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(
        BASE_URL,
        pattern=r"^(https?|wss?)://[^/]",
        description="Address without a path; in Europe https://streaming.eu.assemblyai.com.",
    )
    format_turns: bool = Field(
        True,
        description="Whether Universal-Streaming models punctuate; without it, their words come sooner.",
    )
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(5.0, gt=0, description="Seconds until a session has begun.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds until the server takes a piece of audio.")
    final_timeout: float = Field(10.0, gt=0, description="Seconds from the end of the audio to its text.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class AssemblyAIProvider(Provider):
    """Serves transcription. Raises `ValueError` for options that are unknown or wrong.

    Whether a model exists is known only once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, AssemblyAIOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the key holds characters that no key has")
        headers = {"AssemblyAI-Version": VERSION}
        if key:
            headers["Authorization"] = key  # without a scheme
        self._http = HttpClient(
            settings.name,
            options.base_url.replace("ws", "http", 1) if options.base_url[0] == "w" else options.base_url,
            headers=headers,
            secrets=(key,),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[str, AssemblyAIStt] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "stt", streams="audio and text", languages=languages)
            for model, languages in _MODELS.items()
        )

    def stt(self, model: str) -> Stt:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[model] = AssemblyAIStt(
                    self._http,
                    model,
                    formats=self._options.format_turns,
                    done_within=self._options.final_timeout,
                )
            return self._engines[model]

    async def aclose(self) -> None:
        await self._http.aclose()
