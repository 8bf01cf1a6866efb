"""The `local` provider: engines that run in this process, without network, from weights inside wheels."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from providers.contracts import ModelInfo, Stt, Tts, TurnModel, Vad
from providers.errors import UnknownModelError
from providers.provider import Provider, ProviderSettings

__all__ = ["LocalProvider"]

T = TypeVar("T")

MODELS = (
    ModelInfo("silero-vad", "vad"),
    ModelInfo("smart-turn-v3", "turn"),
    ModelInfo("moonshine-tiny-en", "stt"),
    ModelInfo("espeak", "tts"),
)


class LocalProvider(Provider):
    """Loads each engine when it is first asked for, once, whoever asks at the same time. Takes no options."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        settings.refuse_options("local")
        self._engines: dict[str, Any] = {}
        self._lock = threading.Lock()

    def models(self) -> Sequence[ModelInfo]:
        return MODELS

    def vad(self, model: str) -> Vad:
        return self._engine(model, "vad", _silero)

    def turn(self, model: str) -> TurnModel:
        return self._engine(model, "turn", _smart_turn)

    def stt(self, model: str) -> Stt:
        return self._engine(model, "stt", _moonshine)

    def tts(self, model: str) -> Tts:
        return self._engine(model, "tts", _espeak)

    async def aclose(self) -> None:
        """End the threads of the engines; asking for an engine afterwards loads it anew."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            if hasattr(engine, "aclose"):
                await engine.aclose()

    def _engine(self, model: str, kind: str, load: Callable[[], T]) -> T:
        names = [known.id for known in MODELS if known.kind == kind]
        if model not in names:
            raise UnknownModelError(
                f"provider '{self.name}' has no {kind} model '{model}'; it has {', '.join(names)}"
            )
        with self._lock:
            if model not in self._engines:
                self._engines[model] = load()
            return cast("T", self._engines[model])


# The engines' modules are imported late: a server that uses other engines need not load onnxruntime.


def _silero() -> Vad:
    from providers.vad.silero import SileroVad

    return SileroVad()


def _smart_turn() -> TurnModel:
    from providers.turn.smart_turn import SmartTurn

    return SmartTurn()


def _moonshine() -> Stt:
    from providers.stt.moonshine import MoonshineStt

    return MoonshineStt()


def _espeak() -> Tts:
    from providers.tts.espeak import EspeakTts

    return EspeakTts()
