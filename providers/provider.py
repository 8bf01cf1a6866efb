"""What an adapter package implements: a `Provider`, one configured upstream that makes engines by name.

A third-party adapter registers a subclass in the entry-point group `openparley.providers`; the entry's name
is the `kind` that settings use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from providers.context_sizes import context_tokens
from providers.contracts import Llm, ModelInfo, Stt, Tts, TurnModel, Vad
from providers.errors import UnknownModelError

__all__ = ["Provider", "ProviderSettings"]


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One `[providers.NAME]` table, with its key already looked up."""

    name: str  # the user's choice; the first part of `provider/model`
    options: Mapping[str, Any] = field(default_factory=dict)  # the table without `kind` and `api_key_env`
    api_key: str | None = field(default=None, repr=False)

    def refuse_options(self, kind: str) -> None:
        """For kinds that have none: raises a `ValueError` that names the first option given."""
        for option in self.options:
            raise ValueError(f"provider '{self.name}': unknown option '{option}'; kind {kind} takes none")


class Provider:
    """One upstream. Subclasses override the kinds of engine that they have.

    Constructing a provider is cheap and does no I/O; engines may load models when first asked for, so the
    engine methods are called from a worker thread at start-up and return cached engines afterwards.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name
        self.settings = settings

    def models(self) -> Sequence[ModelInfo]:
        """The models known without asking anybody; a remote provider may serve more than it lists."""
        return ()

    def known_models(self) -> Sequence[ModelInfo]:
        """All that it could have, also what would have to be downloaded first, for lists of what there is."""
        return self.models()

    def llm(self, model: str) -> Llm:
        """The language model of that name; raises `UnknownModelError`."""
        raise UnknownModelError(f"provider '{self.name}' has no language models")

    def context_tokens(self, model: str) -> int:
        """How many tokens a language model holds, input and output together; here, going by its name."""
        return context_tokens(model)

    def stt(self, model: str) -> Stt:
        """The transcription model of that name; raises `UnknownModelError`."""
        raise UnknownModelError(f"provider '{self.name}' has no speech-to-text models")

    def tts(self, model: str) -> Tts:
        """The speech model of that name; raises `UnknownModelError`."""
        raise UnknownModelError(f"provider '{self.name}' has no text-to-speech models")

    def vad(self, model: str) -> Vad:
        """The voice activity detector of that name; raises `UnknownModelError`."""
        raise UnknownModelError(f"provider '{self.name}' has no voice activity detectors")

    def turn(self, model: str) -> TurnModel:
        """The judge of finished turns of that name; raises `UnknownModelError`."""
        raise UnknownModelError(f"provider '{self.name}' has no models that judge turns")

    async def aclose(self) -> None:
        """Release connections and threads."""
