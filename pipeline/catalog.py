"""What a session may ask about the engines that exist, without using them."""

from typing import Protocol

from providers.contracts import Llm, Stt, Tts

__all__ = ["Catalog", "Engines"]


class Catalog(Protocol):
    """Names of models and voices. All methods are quick look-ups that raise `UnknownModelError`."""

    def resolve_llm(self, name: str) -> str:
        """The canonical `provider/model` of a language model."""

    def resolve_stt(self, name: str) -> str:
        """The canonical `provider/model` of a transcription model."""

    def resolve_tts(self, name: str) -> str:
        """The canonical `provider/model` of a speech model."""

    def resolve_voice(self, tts: str, voice: str) -> str:
        """The speech model's own id of a voice."""


class Engines(Catalog, Protocol):
    """The engines themselves, by canonical name. The first call for one may load it, so call in a thread."""

    def llm(self, name: str) -> Llm:
        """The language model of that name."""

    def stt(self, name: str) -> Stt:
        """The transcription model of that name."""

    def tts(self, name: str) -> Tts:
        """The speech model of that name."""
