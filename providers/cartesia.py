"""The provider of kind "cartesia": speech with word timings over WebSocket."""

from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Tts, Voice
from providers.provider import ProviderSettings
from providers.remote import RemoteOptions, RemoteProvider
from providers.tts.cartesia import CartesiaTts, list_voices, open_pool

__all__ = ["CartesiaOptions", "CartesiaProvider"]

BASE_URL = "https://api.cartesia.ai"
VERSION = "2026-08-14"  # of the API that this was written for


class CartesiaOptions(RemoteOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address of the API.")
    version: str = Field(VERSION, pattern=r"^\d{4}-\d{2}-\d{2}$", description="Sent as Cartesia-Version.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the first words to their sound.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of speech.")


class CartesiaProvider(RemoteProvider[CartesiaOptions]):
    """Serves speech. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, CartesiaOptions)
        self._http = self._client(
            {"Cartesia-Version": self._options.version, **self._key_header("Authorization", "Bearer ")}
        )
        self._pool = self._own(open_pool(self._http))

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "tts", streams="text and audio", languages="44", word_timings=True)
            for model in ("sonic-3", "sonic-3.5", "sonic-3.6", "sonic-latest")
        )

    def tts(self, model: str) -> Tts:
        return self._engine(CartesiaTts, model, lambda: CartesiaTts(self._http, self._pool, model))

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices that the account may use. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)
