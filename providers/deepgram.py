"""The provider of kind "deepgram": transcription by Nova and Flux, speech by Aura, all over WebSocket."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from providers.contracts import ModelInfo, Stt, Tts
from providers.provider import ProviderSettings
from providers.remote import RemoteOptions, RemoteProvider
from providers.stt.deepgram_flux import DeepgramFluxStt, FluxSettings
from providers.stt.deepgram_nova import DeepgramNovaStt, NovaSettings
from providers.tts.deepgram_aura import DeepgramAuraTts

__all__ = ["DeepgramOptions", "DeepgramProvider"]

BASE_URL = "https://api.deepgram.com"


class DeepgramOptions(RemoteOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address of the API.")
    language: str = Field("multi", min_length=2, description="Nova: where a session names none.")
    endpointing: Literal[False] | Annotated[int, Field(ge=10, le=5000)] = Field(
        300, description="Nova: milliseconds of silence that settle a segment; or false."
    )
    utterance_end: Literal[False] | Annotated[int, Field(ge=1000, le=5000)] = Field(
        1000, description="Nova: milliseconds without a word that end an utterance; or false."
    )
    smart_format: bool = Field(True, description="Nova: whether numbers, dates and the like are formatted.")
    punctuate: bool = Field(True, description="Nova: whether there are capitals and punctuation.")
    eot_threshold: float = Field(0.7, ge=0.5, le=0.9, description="Flux: how sure an end of turn must be.")
    eager_eot_threshold: Literal[False] | Annotated[float, Field(ge=0.3, le=0.9)] = Field(
        0.5, description="Flux: how sure the suggestion of one must be; or false."
    )
    eot_timeout: int = Field(
        5000, ge=500, le=60_000, description="Flux: milliseconds of silence that end a turn in any case."
    )
    mip_opt_out: bool = Field(False, description="Whether to stay out of the model improvement program.")
    tags: list[str] = Field(default_factory=list, description="Labels for Deepgram's reports of usage.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the first words to their sound.")
    gap_timeout: float = Field(10.0, gt=0, description="Seconds between two pieces of speech.")
    final_timeout: float = Field(10.0, gt=0, description="Seconds from the end of an utterance to its text.")


class DeepgramProvider(RemoteProvider[DeepgramOptions]):
    """Serves transcription and speech. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, DeepgramOptions)
        self._http = self._client(self._key_header("Authorization", "Token "))
        self._query = (("mip_opt_out", "true"),) if self._options.mip_opt_out else ()
        self._tags = tuple(("tag", tag) for tag in self._options.tags)

    def models(self) -> Sequence[ModelInfo]:
        # Words do come with their times, but transcripts here carry none.
        return (
            ModelInfo("nova-3", "stt", streams="audio and text", languages="55, or found out"),
            ModelInfo("nova-3-medical", "stt", streams="audio and text", languages="10, or found out"),
            ModelInfo("nova-2", "stt", streams="audio and text", languages="36"),
            ModelInfo("flux-general-en", "stt", streams="audio, text and ends of turns", languages="en"),
            ModelInfo("flux-general-multi", "stt", streams="audio, text and ends of turns", languages="10"),
            ModelInfo("aura-2", "tts", streams="text and audio", languages="en, es, de, nl, fr, it, ja"),
            ModelInfo("aura", "tts", streams="text and audio", languages="en"),
        )

    def stt(self, model: str) -> Stt:
        options = self._options
        query = (*self._query, *self._tags)
        if model.startswith("flux"):
            flux = FluxSettings(
                eot_threshold=options.eot_threshold,
                eager_eot_threshold=options.eager_eot_threshold or None,
                eot_timeout_ms=options.eot_timeout,
                query=query,
            )
            return self._engine(
                DeepgramFluxStt,
                model,
                lambda: DeepgramFluxStt(self._http, model, flux, done_within=options.final_timeout),
            )
        nova = NovaSettings(
            language=options.language,
            endpointing_ms=options.endpointing or None,
            utterance_end_ms=options.utterance_end or None,
            smart_format=options.smart_format,
            punctuate=options.punctuate,
            query=query,
        )
        return self._engine(
            DeepgramNovaStt,
            model,
            lambda: DeepgramNovaStt(self._http, model, nova, done_within=options.final_timeout),
        )

    def tts(self, model: str) -> Tts:
        return self._engine(
            DeepgramAuraTts,
            model,
            lambda: DeepgramAuraTts(
                self._http, model, query=self._query, begins_within=self._options.first_byte_timeout
            ),
        )
