"""The provider of kind "inworld": routers and language models, transcription and speech with one key."""

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from providers.contracts import Llm, ModelInfo, Stt, Tts, Voice
from providers.inworld_voices import list_voices
from providers.llm.inworld_chat import InworldChatLlm
from providers.provider import ProviderSettings
from providers.remote import HttpOptions, RemoteProvider
from providers.stt.inworld import InworldStt
from providers.tts.inworld import InworldTts, open_pool
from providers.tts.inworld_http import InworldHttpTts

__all__ = ["InworldOptions", "InworldProvider"]

BASE_URL = "https://api.inworld.ai"

# Models of others are hosted; what is empty is not documented as a list.
_STT = {
    "inworld-stt-1": "",
    "assemblyai/u3-rt-pro": "",
    "assemblyai/universal-streaming-multilingual": "",
    "assemblyai/universal-streaming-english": "en",
    "soniox/stt-rt-v4": "",
}
_TTS = ("inworld-tts-1.5-mini", "inworld-tts-1.5-max", "inworld-tts-2")
_TTS_LANGUAGES = "15+"  # those that its list of voices has


class InworldOptions(HttpOptions):
    """What a `[providers.NAME]` table of this kind may hold, besides `kind` and `api_key_env`."""

    base_url: str = Field(BASE_URL, description="Address of the API, without a path.")
    transport: Literal["websocket", "http"] = Field("websocket", description="How speech is asked for.")
    models: list[str] = Field(
        default_factory=list, description="Routers and models to list; others work too."
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Added to each chat request; holds an `extra_body` for its router."
    )
    vision: bool | None = Field(
        None, description="Whether its language models see images; unset: images are sent to them."
    )
    context_tokens: int | None = Field(
        None, ge=1, description="Tokens that its language models hold; unset: by the model's name."
    )
    temperature: float | None = Field(None, gt=0, le=2, description="How varied speech of TTS-1.5 sounds.")
    delivery_mode: Literal["STABLE", "BALANCED", "CREATIVE"] | None = Field(
        None, description="How varied speech of TTS-2 sounds."
    )


class InworldProvider(RemoteProvider[InworldOptions]):
    """Serves all kinds over two HTTP sessions, and speech over sockets that are used again.

    Raises `ValueError` for options that are unknown or wrong, and for a key that cannot be one. Whether the
    account has a router or a model is known only once it is asked, so every name gets an engine.
    """

    max_engines: ClassVar[int] = 256

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, InworldOptions)
        self._key = self._key.removeprefix("Basic ")
        base_url = self._options.base_url.strip().rstrip("/")
        headers, secrets = self._key_header("Authorization", "Basic "), _halves(self._key)
        self._http = self._client(headers, base_url=base_url, secrets=secrets)
        self._chat = self._client(headers, base_url=f"{base_url}/v1", secrets=secrets)
        self._pool = self._own(open_pool(self._http))

    def models(self) -> Sequence[ModelInfo]:
        return (
            *(ModelInfo(model, "llm", "text") for model in dict.fromkeys(("auto", *self._options.models))),
            *(ModelInfo(model, "stt", "audio and text", languages) for model, languages in _STT.items()),
            *(ModelInfo(model, "tts", "text and audio", _TTS_LANGUAGES, word_timings=True) for model in _TTS),
        )

    def llm(self, model: str) -> Llm:
        """A name without a slash is that of a router."""
        options = self._options
        name = model if "/" in model or model == "auto" else f"inworld/{model}"
        return self._engine(
            InworldChatLlm,
            model,
            lambda: InworldChatLlm(
                self._chat,
                name,
                max_tokens_field="max_completion_tokens",
                extra_body=options.extra_body,
                sees_images=options.vision is not False,
            ),
        )

    def context_tokens(self, model: str) -> int:
        return self._options.context_tokens or super().context_tokens(model)

    def stt(self, model: str) -> Stt:
        name = model if "/" in model else f"inworld/{model}"
        return self._engine(InworldStt, model, lambda: InworldStt(self._http, name))

    def tts(self, model: str) -> Tts:
        options = self._options
        heat, mode = options.temperature, options.delivery_mode
        if options.transport == "http":
            return self._engine(
                InworldHttpTts,
                model,
                lambda: InworldHttpTts(self._http, model, temperature=heat, delivery_mode=mode),
            )
        return self._engine(
            InworldTts,
            model,
            lambda: InworldTts(self._http, self._pool, model, temperature=heat, delivery_mode=mode),
        )

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices that the account may use, its own among them. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)


def _halves(key: str) -> tuple[str, ...]:
    """What is as secret as the key, whose base64 holds "name:secret": that, and both halves of it."""
    try:
        plain = base64.b64decode(key, validate=True).decode()
    except ValueError:
        return ()
    return (plain, *(half for half in plain.split(":") if len(half) >= 8))
