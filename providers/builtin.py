"""The provider of kind "builtin": what runs in process without a model, a key or a network."""

from collections.abc import Sequence

from pydantic import Field

from providers.contracts import Llm, ModelInfo
from providers.errors import UnknownModelError
from providers.llm.echo import EchoLlm
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings

__all__ = ["BuiltinOptions", "BuiltinProvider"]


class BuiltinOptions(ProviderOptions):
    """What a table of this kind may hold, besides `kind`."""

    context_tokens: int = Field(
        128_000, ge=1, description="Tokens that echo seems to hold, to try out how contexts are truncated."
    )


class BuiltinProvider(Provider):
    """Has one model, `echo`. Raises `ValueError` for options that are unknown or wrong."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = read_options(settings, BuiltinOptions)
        self._echo = EchoLlm(settings.name)

    def models(self) -> Sequence[ModelInfo]:
        return (ModelInfo("echo", "llm"),)

    def llm(self, model: str) -> Llm:
        if model != "echo":
            raise UnknownModelError(f"provider '{self.name}' has no language model '{model}'; it has: echo")
        return self._echo

    def context_tokens(self, model: str) -> int:
        return self._options.context_tokens
