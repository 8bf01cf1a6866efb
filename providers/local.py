"""The `local` provider: engines that run in this process, from weights inside wheels or in files."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from providers.contracts import ModelInfo, Stt, Tts, TurnModel, Vad
from providers.downloads import HubFile, Progress, fetch
from providers.errors import ProviderError, UnknownModelError
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings

__all__ = ["LocalOptions", "LocalProvider"]

T = TypeVar("T")

MODELS = (
    ModelInfo("silero-vad", "vad"),
    ModelInfo("smart-turn-v3", "turn"),
    ModelInfo("moonshine-tiny-en", "stt"),
    ModelInfo("espeak", "tts"),
)


class LocalOptions(ProviderOptions):
    """The options of a `local` table."""

    smart_turn: Path | None = None  # its weights; None: those of the wheel, else downloaded ones
    hub: str | None = None  # where `download` gets weights; None: HF_ENDPOINT, else the public model hub


class LocalProvider(Provider):
    """Loads each engine when it is first asked for, once, whoever asks at the same time."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = read_options(settings, LocalOptions)
        self._engines: dict[str, Any] = {}
        self._lock = threading.Lock()

    def models(self) -> Sequence[ModelInfo]:
        return MODELS

    def vad(self, model: str) -> Vad:
        return self._engine(model, "vad", _silero)

    def turn(self, model: str) -> TurnModel:
        return self._engine(model, "turn", lambda: _smart_turn(self._options.smart_turn))

    def stt(self, model: str) -> Stt:
        return self._engine(model, "stt", _moonshine)

    def tts(self, model: str) -> Tts:
        return self._engine(model, "tts", _espeak)

    def downloads(self) -> dict[str, HubFile]:
        """The models whose weights can be downloaded, with their files."""
        from providers.turn.smart_turn import HUB_FILE

        return {"smart-turn-v3": HUB_FILE}

    def weights(self, model: str) -> Path | None:
        """Where the weights of a model of `downloads` are on this machine; None if they are not.

        Raises `ProviderError` where an option names a file that is not there.
        """
        from providers.turn.smart_turn import find_model

        self._download(model)
        try:
            return find_model(self._options.smart_turn)
        except ProviderError:
            if self._options.smart_turn is not None:
                raise
            return None

    def fetch(self, model: str, on_progress: Progress) -> Path:
        """Download the weights of a model of `downloads`; see `downloads.fetch`. Raises `ProviderError`."""
        return fetch(self._download(model), hub=self._options.hub, on_progress=on_progress)

    async def aclose(self) -> None:
        """End the threads of the engines; asking for an engine afterwards loads it anew."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            if hasattr(engine, "aclose"):
                await engine.aclose()

    def _download(self, model: str) -> HubFile:
        files = self.downloads()
        if model not in files:
            names = ", ".join(files)
            raise UnknownModelError(f"provider '{self.name}' downloads no '{model}'; it does {names}")
        return files[model]

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


def _smart_turn(path: Path | None) -> TurnModel:
    from providers.turn.smart_turn import SmartTurn

    return SmartTurn(path)


def _moonshine() -> Stt:
    from providers.stt.moonshine import MoonshineStt

    return MoonshineStt()


def _espeak() -> Tts:
    from providers.tts.espeak import EspeakTts

    return EspeakTts()
