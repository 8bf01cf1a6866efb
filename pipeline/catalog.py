"""What a session may ask about the engines and prompts that exist, without using them."""

from typing import Protocol

from pipeline.config import Prompt

__all__ = ["Catalog", "Prompts"]


class Catalog(Protocol):
    """Names of models and voices. All methods are quick look-ups that raise `UnknownModelError`."""

    def resolve_llm(self, name: str) -> str:
        """The canonical `provider/model` of a language model."""

    def context_tokens(self, name: str) -> int:
        """How many tokens the language model of that canonical name holds, input and output together."""

    def resolve_stt(self, name: str) -> str:
        """The canonical `provider/model` of a transcription model."""

    def resolve_tts(self, name: str) -> str:
        """The canonical `provider/model` of a speech model."""

    def resolve_voice(self, tts: str, voice: str) -> str:
        """The speech model's own id of a voice."""


class Prompts(Protocol):
    """Templates of instructions."""

    def render(self, prompt: Prompt, param: str) -> str:
        """The instructions that a prompt stands for, quickly.

        Raises `InvalidRequest` where they cannot be had; `param` is the prompt's place in the client event.
        """
