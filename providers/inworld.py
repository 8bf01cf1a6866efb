"""The provider of kind "inworld": routers and language models, transcription and speech with one key."""

import base64
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from providers.contracts import Llm, ModelInfo, Stt, Tts, Voice
from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.inworld_voices import list_voices
from providers.llm.inworld_chat import InworldChatLlm
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.stt.inworld import InworldStt
from providers.tts.inworld import InworldTts, open_pool
from providers.tts.inworld_http import InworldHttpTts

__all__ = ["InworldOptions", "InworldProvider"]

BASE_URL = "https://api.inworld.ai"
MAX_ENGINES = 256  # names come from clients; engines are cheap to make again

Engine = TypeVar("Engine")

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


class InworldOptions(ProviderOptions):
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
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the request to the first byte.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of an answer.")
    total_timeout: float = Field(600.0, gt=0, description="Seconds for a whole answer.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")


class InworldProvider(Provider):
    """Serves all kinds over two HTTP sessions, and speech over sockets that are used again.

    Raises `ValueError` for options that are unknown or wrong, and for a key that cannot be one. Whether the
    account has a router or a model is known only once it is asked, so every name gets an engine.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = options = read_options(settings, InworldOptions)
        base_url = _base_url(settings.name, options.base_url)
        key = (settings.api_key or "").strip().removeprefix("Basic ")
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"provider '{settings.name}': the key holds characters that no key has")
        self._http = self._client(base_url, key)
        self._chat = self._client(f"{base_url}/v1", key)
        self._pool = open_pool(self._http)
        self._engines: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()  # engines are asked for from worker threads

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
            "llm",
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
        return self._engine("stt", model, lambda: InworldStt(self._http, name))

    def tts(self, model: str) -> Tts:
        options = self._options
        heat, mode = options.temperature, options.delivery_mode
        if options.transport == "http":
            return self._engine(
                "tts",
                model,
                lambda: InworldHttpTts(self._http, model, temperature=heat, delivery_mode=mode),
            )
        return self._engine(
            "tts",
            model,
            lambda: InworldTts(self._http, self._pool, model, temperature=heat, delivery_mode=mode),
        )

    async def list_voices(self) -> tuple[Voice, ...]:
        """The voices that the account may use, its own among them. Raises every kind of `ProviderError`."""
        return await list_voices(self._http)

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._http.aclose()
        await self._chat.aclose()

    def _client(self, base_url: str, key: str) -> HttpClient:
        options = self._options
        return HttpClient(
            self.name,
            base_url,
            headers={"Authorization": f"Basic {key}"} if key else {},
            secrets=_secrets(key),
            timeouts=Timeouts(
                connect=options.connect_timeout,
                first_byte=options.first_byte_timeout,
                gap=options.gap_timeout,
                total=options.total_timeout,
            ),
            proxy_from_env=options.proxy_from_env,
        )

    def _engine(self, kind: str, model: str, make: Callable[[], Engine]) -> Engine:
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if (kind, model) not in self._engines:
                if len(self._engines) >= MAX_ENGINES:
                    self._engines.pop(next(iter(self._engines)))
                self._engines[kind, model] = make()
            engine: Engine = self._engines[kind, model]
            return engine


def _base_url(name: str, configured: str) -> str:
    parts = urlsplit(configured.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"provider '{name}': base_url must start with http:// or https:// and name a host")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"provider '{name}': base_url: {error}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"provider '{name}': base_url may hold neither credentials nor a query")
    return configured.strip().rstrip("/")


def _secrets(key: str) -> tuple[str, ...]:
    """The key, and the halves that it is made of: its base64 holds "name:secret"."""
    try:
        plain = base64.b64decode(key, validate=True).decode()
    except ValueError:
        return (key,)
    return (key, plain, *(half for half in plain.split(":") if len(half) >= 8))
