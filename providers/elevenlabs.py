"""The provider of kind "elevenlabs": speech with word timings over WebSocket."""

from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Tts, Voice
from providers.provider import ProviderSettings
from providers.remote import RemoteOptions, RemoteProvider
from providers.tts.elevenlabs import ElevenLabsTts, list_voices

__all__ = ["ElevenLabsOptions", "ElevenLabsProvider"]

BASE_URL = "https://api.elevenlabs.io"

_MODELS = {
    "eleven_flash_v2_5": "32",
    "eleven_turbo_v2_5": "32",
    "eleven_multilingual_v2": "29",
}


class ElevenLabsOptions(RemoteOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address without /v1.")
    ssml: bool = Field(True, description='Whether pauses such as <break time="1s"/> are understood.')
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the first words to their sound.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of speech.")


class ElevenLabsProvider(RemoteProvider[ElevenLabsOptions]):
    """Serves speech. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, ElevenLabsOptions)
        self._http = self._client(self._key_header("xi-api-key"))

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "tts", streams="text and audio", languages=languages, word_timings=True)
            for model, languages in _MODELS.items()
        )

    def tts(self, model: str) -> Tts:
        return self._engine(
            ElevenLabsTts, model, lambda: ElevenLabsTts(self._http, model, ssml=self._options.ssml)
        )

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices of the account. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)
