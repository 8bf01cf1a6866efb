"""The options of every built-in kind of provider, for the documentation."""

from collections.abc import Mapping

from pydantic import BaseModel

from providers.anthropic import AnthropicOptions
from providers.assemblyai import AssemblyAIOptions
from providers.builtin import BuiltinOptions
from providers.cartesia import CartesiaOptions
from providers.deepgram import DeepgramOptions
from providers.elevenlabs import ElevenLabsOptions
from providers.gemini import GeminiOptions
from providers.inworld import InworldOptions
from providers.local import LocalOptions
from providers.openai_compatible import OpenAICompatibleOptions
from providers.soniox import SonioxOptions

__all__ = ["OPTIONS"]

OPTIONS: Mapping[str, type[BaseModel]] = {
    "anthropic": AnthropicOptions,
    "assemblyai": AssemblyAIOptions,
    "builtin": BuiltinOptions,
    "cartesia": CartesiaOptions,
    "deepgram": DeepgramOptions,
    "elevenlabs": ElevenLabsOptions,
    "gemini": GeminiOptions,
    "inworld": InworldOptions,
    "local": LocalOptions,
    "openai-compatible": OpenAICompatibleOptions,
    "soniox": SonioxOptions,
}
