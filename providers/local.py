"""The `local` provider: engines that run in this process, from weights inside wheels or in files."""

import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import Field

from providers.contracts import ModelInfo, Stt, Tts, TurnModel, Vad
from providers.downloads import HubFile, Progress, fetch
from providers.errors import ProviderError, UnknownModelError
from providers.extras import missing_extra
from providers.hub import WeightSet, fetch_set, find_set
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings
from providers.weights_catalog import CATALOG, CatalogEntry, catalog_entry

__all__ = ["LocalOptions", "LocalProvider"]

T = TypeVar("T")

# What every installation has.
BUNDLED = (
    ModelInfo("silero-vad", "vad"),
    ModelInfo("smart-turn-v3", "turn"),
    ModelInfo("moonshine-tiny-en", "stt", "partial transcripts", "en"),
    ModelInfo("espeak", "tts", "text by clause, audio as it is computed", "100+", word_timings=True),
)


class LocalOptions(ProviderOptions):
    """The options of a `local` table."""

    smart_turn: Path | None = Field(
        None, description="Weights of Smart Turn; unset: those of the wheel, else downloaded ones."
    )
    hub: str | None = Field(
        None,
        description="Where `parley download` gets weights; unset: HF_ENDPOINT, else the public model hub.",
    )
    models: Path | None = Field(
        None, description="A folder of folders named as models, looked at before what was downloaded."
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Per inference of Whisper, Kokoro and Piper; unset: as the cores allow.",
    )
    whisper_device: Literal["auto", "cpu", "cuda"] = Field("auto", description="What Whisper computes on.")
    whisper_compute_type: str = Field(
        "auto", description="As CTranslate2 names it, such as int8 or float16; auto: the fastest there is."
    )
    whisper_beam_size: int = Field(1, ge=1, le=20, description="How many readings Whisper follows at once.")


class LocalProvider(Provider):
    """Loads each engine when it is first asked for, once, whoever asks at the same time."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self._options = read_options(settings, LocalOptions)
        self._engines: dict[str, Any] = {}
        self._ready: tuple[ModelInfo, ...] | None = None
        # Several, so that others are to be had while a large one is being loaded; few, whatever is asked for.
        self._locks = tuple(threading.Lock() for _ in range(16))

    def models(self) -> Sequence[ModelInfo]:
        """Those that are ready: what was downloaded or installed since the start is not among them."""
        if self._ready is None:
            names = [name for name, entry in CATALOG.items() if self._is_ready(name, entry)]
            self._ready = (*BUNDLED, *(CATALOG[name].info for name in names))
        return self._ready

    def known_models(self) -> Sequence[ModelInfo]:
        return (*BUNDLED, *(entry.info for entry in CATALOG.values()))

    def vad(self, model: str) -> Vad:
        return self._engine(model, "vad", _silero)

    def turn(self, model: str) -> TurnModel:
        return self._engine(model, "turn", lambda: _smart_turn(self._options.smart_turn))

    def stt(self, model: str) -> Stt:
        return self._engine(model, "stt", lambda: self._load_stt(model))

    def tts(self, model: str) -> Tts:
        return self._engine(model, "tts", lambda: self._load_tts(model))

    def downloads(self) -> dict[str, HubFile | WeightSet]:
        """The models whose weights can be downloaded, with their files; Piper has more voices than these."""
        from providers.turn.smart_turn import HUB_FILE

        return {"smart-turn-v3": HUB_FILE} | {name: entry.weights for name, entry in CATALOG.items()}

    def weights(self, model: str) -> Path | None:
        """Where the weights of a model that can be downloaded are on this machine; None if they are not.

        Raises `ProviderError` where an option names a file that is not there.
        """
        if isinstance(weights := self._download(model), WeightSet):
            return self._folder(model, weights)
        from providers.turn.smart_turn import find_model

        try:
            return find_model(self._options.smart_turn)
        except ProviderError:
            if self._options.smart_turn is not None:
                raise
            return None

    def fetch(self, model: str, on_progress: Progress) -> Path:
        """Download the weights of a model; see `downloads.fetch`. Raises `ProviderError`."""
        weights = self._download(model)
        if isinstance(weights, WeightSet):
            return fetch_set(weights, hub=self._options.hub, on_progress=on_progress)
        return fetch(weights, hub=self._options.hub, on_progress=on_progress)

    def advice(self, model: str) -> str | None:
        """What is still to be installed for a model whose weights are there; None if nothing is."""
        entry = catalog_entry(model)
        if entry is None or not entry.extra or importlib.util.find_spec(entry.module) is not None:
            return None
        return missing_extra(f"{self.name}/{model}", entry.extra)

    async def aclose(self) -> None:
        """End the threads of the engines; asking for an engine afterwards loads it anew."""
        while self._engines:
            _, engine = self._engines.popitem()
            if hasattr(engine, "aclose"):
                await engine.aclose()

    def _load_stt(self, model: str) -> Stt:
        name, options = f"{self.name}/{model}", self._options
        if model == "moonshine-tiny-en":
            return _moonshine(None, name)
        folder = self._found(model)
        if model.startswith("moonshine-"):
            return _moonshine(folder, name)
        from providers.stt.whisper import WhisperSettings, WhisperStt

        settings = WhisperSettings(
            options.whisper_device, options.whisper_compute_type, options.whisper_beam_size, options.threads
        )
        return WhisperStt(folder, name, settings)

    def _load_tts(self, model: str) -> Tts:
        name, threads = f"{self.name}/{model}", self._options.threads
        if model == "espeak":
            return _espeak()
        folder = self._found(model)
        if model == "kokoro":
            from providers.tts.kokoro import KokoroTts

            return KokoroTts(folder, name, threads)
        from providers.tts.piper import PiperTts

        return PiperTts(folder / f"{model.removeprefix('piper-')}.onnx", name, threads)

    def _found(self, model: str) -> Path:
        """The folder with a model's weights; raises `ProviderError`, which says how to get them."""
        entry = self._entry(model)
        if (advice := self.advice(model)) is not None:
            raise ProviderError(advice)
        if (folder := self._folder(model, entry.weights)) is None:
            raise ProviderError(
                f"the weights of {self.name}/{model} are not on this machine: `parley download"
                f" {self.name}/{model}` fetches them ({entry.weights.size / 1e6:.0f} MB), or put them into"
                f" {entry.weights.folder()}"
            )
        return folder

    def _is_ready(self, model: str, entry: CatalogEntry) -> bool:
        return self.advice(model) is None and self._folder(model, entry.weights) is not None

    def _folder(self, model: str, weights: WeightSet) -> Path | None:
        own = self._options.models.expanduser() / model if self._options.models else None
        return (find_set(weights, own) if own is not None else None) or find_set(weights)

    def _entry(self, model: str) -> CatalogEntry:
        entry = catalog_entry(model)
        if entry is None:  # only asked for what `_engine` has let through
            raise UnknownModelError(f"provider '{self.name}' has no model '{model}'")
        return entry

    def _download(self, model: str) -> HubFile | WeightSet:
        if (entry := catalog_entry(model)) is not None:
            return entry.weights
        files = self.downloads()
        if model not in files:
            raise UnknownModelError(
                f"provider '{self.name}' downloads no '{model}'; it does {', '.join(files)}, and any other"
                " piper-<voice>"
            )
        return files[model]

    def _engine(self, model: str, kind: str, load: Callable[[], T]) -> T:
        if (engine := self._engines.get(model)) is not None and self._kind(model) == kind:
            return cast("T", engine)
        if self._kind(model) != kind:
            names = [known.id for known in self.known_models() if known.kind == kind]
            raise UnknownModelError(
                f"provider '{self.name}' has no {kind} model '{model}'; it has {', '.join(names)}"
            )
        with self._locks[hash(model) % len(self._locks)]:
            if model not in self._engines:
                self._engines[model] = load()
            return cast("T", self._engines[model])

    def _kind(self, model: str) -> str | None:
        entry = catalog_entry(model)
        infos = [entry.info] if entry else [known for known in BUNDLED if known.id == model]
        return infos[0].kind if infos else None


# The engines' modules are imported late: a server that uses other engines need not load onnxruntime.


def _silero() -> Vad:
    from providers.vad.silero import SileroVad

    return SileroVad()


def _smart_turn(path: Path | None) -> TurnModel:
    from providers.turn.smart_turn import SmartTurn

    return SmartTurn(path)


def _moonshine(folder: Path | None, name: str) -> Stt:
    from providers.stt.moonshine import MoonshineStt

    return MoonshineStt(folder=folder, name=name)


def _espeak() -> Tts:
    from providers.tts.espeak import EspeakTts

    return EspeakTts()
