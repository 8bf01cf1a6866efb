"""The provider of kind "soniox": real-time transcription."""

from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Stt
from providers.provider import ProviderSettings
from providers.remote import RemoteOptions, RemoteProvider, over_http
from providers.stt.soniox import SonioxStt

__all__ = ["SonioxOptions", "SonioxProvider"]

BASE_URL = "https://stt-rt.soniox.com"

_MODELS = ("stt-rt-v4", "stt-rt-v5")


class SonioxOptions(RemoteOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address without a path.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds until the server takes a piece of audio.")
    final_timeout: float = Field(10.0, gt=0, description="Seconds from the end of the audio to its text.")
    keep_alive_interval: float = Field(
        8.0, gt=0, lt=20, description="Seconds without audio after which the connection is kept open."
    )


class SonioxProvider(RemoteProvider[SonioxOptions]):
    """Serves transcription. Raises `ValueError` for options that are unknown or wrong.

    Whether a model exists is known only once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, SonioxOptions)
        self._http = self._client(
            self._key_header("Authorization", "Bearer "), base_url=over_http(self._options.base_url)
        )

    def models(self) -> Sequence[ModelInfo]:
        return tuple(ModelInfo(model, "stt", streams="audio and text", languages="60+") for model in _MODELS)

    def stt(self, model: str) -> Stt:
        options = self._options
        return self._engine(
            SonioxStt,
            model,
            lambda: SonioxStt(
                self._http,
                model,
                done_within=options.final_timeout,
                keep_alive_s=options.keep_alive_interval,
            ),
        )
