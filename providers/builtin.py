"""The provider of kind "builtin": what runs in process without a model, a key or a network."""

from collections.abc import Sequence

from providers.contracts import Llm, ModelInfo
from providers.errors import UnknownModelError
from providers.llm.echo import EchoLlm
from providers.provider import Provider, ProviderSettings

__all__ = ["BuiltinProvider"]


class BuiltinProvider(Provider):
    """Has one model, `echo`. Takes no options: a `ValueError` names the first one given."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        settings.refuse_options("builtin")
        self._echo = EchoLlm(settings.name)

    def models(self) -> Sequence[ModelInfo]:
        return (ModelInfo("echo", "llm"),)

    def llm(self, model: str) -> Llm:
        if model != "echo":
            raise UnknownModelError(f"provider '{self.name}' has no language model '{model}'; it has: echo")
        return self._echo
