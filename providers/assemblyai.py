"""The provider of kind "assemblyai": streaming transcription."""

from collections.abc import Sequence

from pydantic import Field

from providers.contracts import ModelInfo, Stt
from providers.provider import ProviderSettings
from providers.remote import RemoteOptions, RemoteProvider, over_http
from providers.stt.assemblyai import AssemblyAIStt

__all__ = ["AssemblyAIOptions", "AssemblyAIProvider"]

BASE_URL = "https://streaming.assemblyai.com"
VERSION = "2025-05-12"  # of the API, as its own clients say

_MODELS = {
    "u3-rt-pro": "en es fr de it pt",
    "universal-streaming-multilingual": "en es fr de it pt",
    "universal-streaming-english": "en",
}


class AssemblyAIOptions(RemoteOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(
        BASE_URL,
        description="Address without a path; in Europe https://streaming.eu.assemblyai.com.",
    )
    format_turns: bool = Field(
        True,
        description="Whether Universal-Streaming models punctuate; without it, their words come sooner.",
    )
    first_byte_timeout: float = Field(5.0, gt=0, description="Seconds until a session has begun.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds until the server takes a piece of audio.")
    final_timeout: float = Field(10.0, gt=0, description="Seconds from the end of the audio to its text.")


class AssemblyAIProvider(RemoteProvider[AssemblyAIOptions]):
    """Serves transcription. Raises `ValueError` for options that are unknown or wrong.

    Whether a model exists is known only once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, AssemblyAIOptions)
        self._http = self._client(
            {"AssemblyAI-Version": VERSION, **self._key_header("Authorization")},
            base_url=over_http(self._options.base_url),
        )

    def models(self) -> Sequence[ModelInfo]:
        return tuple(
            ModelInfo(model, "stt", streams="audio and text", languages=languages)
            for model, languages in _MODELS.items()
        )

    def stt(self, model: str) -> Stt:
        options = self._options
        return self._engine(
            AssemblyAIStt,
            model,
            lambda: AssemblyAIStt(
                self._http,
                model,
                formats=options.format_turns,
                done_within=options.final_timeout,
            ),
        )
