"""The provider of kind "cartesia": speech with word timings over WebSocket."""

import threading
from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Tts, Voice
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.tts.cartesia import CartesiaTts, list_voices, open_pool

__all__ = ["CartesiaOptions", "CartesiaProvider"]

BASE_URL = "https://api.cartesia.ai"
VERSION = "2026-08-14"  # of the API that this was written for
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again


class CartesiaOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, pattern=r"^https?://", description="Address of the API.")
    version: str = Field(VERSION, pattern=r"^\d{4}-\d{2}-\d{2}$", description="Sent as Cartesia-Version.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the first words to their sound.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of speech.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class CartesiaProvider(Provider):
    """Serves speech. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        options = read_options(settings, CartesiaOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the API key has characters that no key has")
        headers = {"Cartesia-Version": options.version}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._http = HttpClient(
            settings.name,
            options.base_url,
            headers=headers,
            secrets=(key,),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )
        self._pool = open_pool(self._http)
        self._engines: dict[str, CartesiaTts] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "tts", streams="text and audio", languages="44", word_timings=True)
            for model in ("sonic-3", "sonic-3.5", "sonic-3.6", "sonic-latest")
        )

    def tts(self, model: str) -> Tts:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[model] = CartesiaTts(self._http, self._pool, model)
            return self._engines[model]

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices that the account may use. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._http.aclose()
