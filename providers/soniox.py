"""The provider of kind "soniox": real-time transcription."""

import threading
from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Stt
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.stt.soniox import SonioxStt

__all__ = ["SonioxOptions", "SonioxProvider"]

BASE_URL = "https://stt-rt.soniox.com"
MAX_ENGINES = 64  # names come from clients; engines are cheap to make again

_MODELS = ("stt-rt-v4", "stt-rt-v5")


class SonioxOptions(ProviderOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, pattern=r"^(https?|wss?)://[^/]", description="Address without a path.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds until the server takes a piece of audio.")
    final_timeout: float = Field(10.0, gt=0, description="Seconds from the end of the audio to its text.")
    keep_alive_interval: float = Field(
        8.0, gt=0, lt=20, description="Seconds without audio after which the connection is kept open."
    )
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class SonioxProvider(Provider):
    """Serves transcription. Raises `ValueError` for options that are unknown or wrong.

    Whether a model exists is known only once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, SonioxOptions)
        key = (settings.api_key or "").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the key holds characters that no key has")
        self._http = HttpClient(
            settings.name,
            options.base_url.replace("ws", "http", 1) if options.base_url[0] == "w" else options.base_url,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            secrets=(key,),
            timeouts=Timeouts(connect=options.connect_timeout, gap=options.gap_timeout),
            proxy_from_env=options.proxy_from_env,
        )
        self._engines: dict[str, SonioxStt] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

    def models(self) -> Sequence[ModelInfo]:
        return tuple(ModelInfo(model, "stt", streams="audio and text", languages="60+") for model in _MODELS)

    def stt(self, model: str) -> Stt:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        options = self._options
        with self._lock:
            if model not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[model] = SonioxStt(
                    self._http,
                    model,
                    done_within=options.final_timeout,
                    keep_alive_s=options.keep_alive_interval,
                )
            return self._engines[model]

    async def aclose(self) -> None:
        await self._http.aclose()
