"""The provider of kind "elevenlabs": speech with word timings over WebSocket."""

import asyncio
import threading
from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Tts, Voice
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.tts.elevenlabs import ElevenLabsTts, list_voices

__all__ = ["ElevenLabsOptions", "ElevenLabsProvider"]

BASE_URL = "https://api.elevenlabs.io"
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again

_MODELS = {
    "eleven_flash_v2_5": "32",
    "eleven_turbo_v2_5": "32",
    "eleven_multilingual_v2": "29",
}


class ElevenLabsOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, pattern=r"^https?://", description="Address without /v1.")
    ssml: bool = Field(True, description='Whether pauses such as <break time="1s"/> are understood.')
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the first words to their sound.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of speech.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class ElevenLabsProvider(Provider):
    """Serves speech. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, ElevenLabsOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the API key has characters that no key has")
        self._http = HttpClient(
            settings.name,
            options.base_url,
            headers={"xi-api-key": key} if key else None,
            secrets=(key,),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[str, ElevenLabsTts] = {}
        self._retired: list[ElevenLabsTts] = []
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "tts", streams="text and audio", languages=languages, word_timings=True)
            for model, languages in _MODELS.items()
        )

    def tts(self, model: str) -> Tts:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._retired.append(self._engines.pop(next(iter(self._engines))))
                    # Whoever still speaks with one much older has long been closed by its idle time.
                    del self._retired[:-MAX_ENGINES]
                self._engines[model] = ElevenLabsTts(self._http, model, ssml=self._options.ssml)
            return self._engines[model]

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices of the account. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)

    async def aclose(self) -> None:
        engines = [*self._engines.values(), *self._retired]
        await asyncio.gather(*(engine.aclose() for engine in engines))
        await self._http.aclose()
