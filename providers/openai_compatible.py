"""The provider of kind "openai-compatible": OpenAI itself and every server that offers the same routes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo, Stt, Tts, Voice
from providers.llm.openai_chat import OpenAIChatLlm
from providers.provider import ProviderSettings
from providers.remote import HttpOptions, RemoteProvider, long_words
from providers.stt.openai_realtime import OpenAIRealtimeStt, is_realtime_only
from providers.stt.openai_transcriptions import OpenAITranscriptionStt
from providers.tts.openai_speech import MAX_INPUT_CHARS, OPENAI_VOICES, OpenAISpeechTts

__all__ = ["OpenAICompatibleOptions", "OpenAICompatibleProvider"]

OPENAI_BASE_URL = "https://api.openai.com/v1"

_OPENAI_SETTINGS = {"repetition_penalty": ""}


class OpenAICompatibleOptions(HttpOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str | None = Field(None, description="Address up to and including /v1; `openai` has one.")
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    models: list[str] = Field(default_factory=list, description="Language models to list; others work too.")
    stt_models: list[str] = Field(default_factory=list, description="Transcription models to list.")
    tts_models: list[str] = Field(default_factory=list, description="Speech models to list.")
    voices: list[str] | None = Field(None, description="Voices to accept; unset: OpenAI's, or any elsewhere.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None, description="Name of the output limit; unset: max_completion_tokens at OpenAI, else max_tokens."
    )
    system_role: Literal["system", "developer"] = Field("system", description="Role of the instructions.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Added to each chat request, such as reasoning_effort."
    )
    context_tokens: int | None = Field(
        None, ge=1, description="Tokens that its language models hold; unset: by the model's name."
    )
    vision: bool | None = Field(
        None, description="Whether its language models see images; unset: images are sent to them."
    )
    echo_reasoning: bool = Field(
        False,
        description="Whether it wants its reasoning back with the calls that it led to, as DeepSeek does.",
    )
    user_speaks_last: bool = Field(
        False, description="Whether it refuses conversations that end with the assistant, as Mistral does."
    )
    setting_names: dict[str, str] = Field(
        default_factory=dict,
        description="What it calls seed, logit_bias or repetition_penalty; an empty name: it has none.",
    )
    realtime_transcription: bool | None = Field(
        None, description="Whether it transcribes over /v1/realtime; unset: models that have no other way."
    )
    sample_rate: int = Field(24_000, ge=8_000, le=48_000, description="Hertz of the PCM that speech returns.")
    max_input_chars: int = Field(MAX_INPUT_CHARS, ge=16, description="Longest text of one speech request.")


class OpenAICompatibleProvider(RemoteProvider[OpenAICompatibleOptions]):
    """Serves language models, transcription and speech over one shared HTTP session.

    Raises `ValueError` for options that are unknown or wrong. Whether the upstream has a model is known only
    once it is asked, so every name gets an engine.
    """

    max_engines: ClassVar[int] = 256

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, OpenAICompatibleOptions)
        options = self._options
        self._is_openai = settings.name == "openai"
        env: Mapping[str, str] = os.environ if self._is_openai else {}
        base_url = options.base_url
        if self._is_openai:
            base_url = base_url or env.get("OPENAI_BASE_URL") or OPENAI_BASE_URL
        headers = _headers(options, env)
        if "authorization" not in map(str.lower, headers):
            headers |= self._key_header("Authorization", "Bearer ")
        self._http = self._client(headers, base_url=base_url, secrets=long_words(options.headers))

    def models(self) -> Sequence[ModelInfo]:
        options = self._options
        return (
            *(ModelInfo(model, "llm") for model in options.models),
            *(ModelInfo(model, "stt") for model in options.stt_models),
            *(ModelInfo(model, "tts") for model in options.tts_models),
        )

    def llm(self, model: str) -> Llm:
        options = self._options
        default = "max_completion_tokens" if self._is_openai else "max_tokens"
        return self._engine(
            OpenAIChatLlm,
            model,
            lambda: OpenAIChatLlm(
                self._http,
                model,
                max_tokens_field=options.max_tokens_field or default,
                system_role=options.system_role,
                extra_body=options.extra_body,
                sees_images=options.vision is not False,
                echo_reasoning=options.echo_reasoning,
                user_speaks_last=options.user_speaks_last,
                setting_names=(_OPENAI_SETTINGS if self._is_openai else {}) | options.setting_names,
            ),
        )

    def context_tokens(self, model: str) -> int:
        return self._options.context_tokens or super().context_tokens(model)

    def stt(self, model: str) -> Stt:
        realtime = self._options.realtime_transcription
        if is_realtime_only(model) if realtime is None else realtime:
            return self._engine(OpenAIRealtimeStt, model, lambda: OpenAIRealtimeStt(self._http, model))
        return self._engine(OpenAITranscriptionStt, model, lambda: OpenAITranscriptionStt(self._http, model))

    def tts(self, model: str) -> Tts:
        options = self._options
        voices = OPENAI_VOICES if self._is_openai else None
        if options.voices is not None:
            voices = tuple(Voice(voice, voice) for voice in options.voices)
        return self._engine(
            OpenAISpeechTts,
            model,
            lambda: OpenAISpeechTts(
                self._http,
                model,
                voices=voices,
                sample_rate=options.sample_rate,
                max_input_chars=options.max_input_chars,
            ),
        )


def _headers(options: OpenAICompatibleOptions, env: Mapping[str, str]) -> dict[str, str]:
    headers = dict(options.headers)
    if organization := options.organization or env.get("OPENAI_ORG_ID"):
        headers["OpenAI-Organization"] = organization
    if project := options.project or env.get("OPENAI_PROJECT_ID"):
        headers["OpenAI-Project"] = project
    return headers
