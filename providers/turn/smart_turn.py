"""Smart Turn v3: hears whether a speaker who has just paused has finished. Any language, 8 MB, one core."""

from pathlib import Path
from typing import Any

import numpy as np

from providers.downloads import HubFile, cache_folder, cached
from providers.errors import ProviderError
from providers.onnx import open_model
from providers.turn.log_mel import RATE, log_mel
from providers.weights import wheel_file

__all__ = ["HUB_FILE", "MODEL_FILE", "SmartTurn", "find_model"]

WINDOW_S = 8
_SAMPLES = WINDOW_S * RATE
_TINY = 1e-7  # keeps silence from being divided by nothing

# Inside the wheel `pipecat-ai`, which is installed for this file and never imported.
MODEL_FILE = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
# The same file, for installations without that wheel.
HUB_FILE = HubFile(
    "pipecat-ai/smart-turn-v3",
    "smart-turn-v3.2-cpu.onnx",
    size=8_679_182,
    sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
)


def find_model(configured: Path | None = None) -> Path:
    """The weights on this machine: the configured file, else that of the wheel, else a downloaded one.

    Never downloads. Raises `ProviderError`, which says how to get them.
    """
    if configured is not None:
        path = configured.expanduser()
        if not path.is_file():
            raise ProviderError(f"there is no file {path}, which the option smart_turn names")
        return path
    try:
        return wheel_file("pipecat", MODEL_FILE, "pipecat-ai")
    except ProviderError as error:
        downloaded = cached(HUB_FILE)
        if downloaded is None:
            raise ProviderError(
                f"{error}. Or fetch its weights with `parley download smart-turn-v3`; they are not in"
                f" {HUB_FILE.place(cache_folder())} yet"
            ) from error
        return downloaded


class SmartTurn:
    """Implements `contracts.TurnModel`. Thread-safe; some 35 ms of one core per call."""

    sample_rate = RATE
    window_seconds = float(WINDOW_S)

    def __init__(self, path: Path | None = None) -> None:
        """Load the weights, from `path` or as `find_model` finds them; raises `ProviderError`."""
        file = find_model(path)
        self._model: Any = open_model(file)
        shapes = {known.name: known.shape[1:] for known in self._model.get_inputs()}
        outputs = [known.shape[1:] for known in self._model.get_outputs()]
        if shapes != {"input_features": [80, 100 * WINDOW_S]} or outputs != [[1]]:
            raise ProviderError(f"{file} is no Smart Turn v3 model: it takes {shapes} and gives {outputs}")

    def probability(self, pcm: bytes) -> float:
        """How likely (0..1) the turn is over, given its audio so far with the pause at the end."""
        heard = np.frombuffer(pcm[-2 * _SAMPLES :], "<i2").astype(np.float32) / 32768
        samples = np.zeros(_SAMPLES, np.float32)
        samples[_SAMPLES - len(heard) :] = heard  # the model expects what is missing in front
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + _TINY)
        try:
            (output,) = self._model.run(None, {"input_features": log_mel(samples)[None]})
        except Exception as error:  # whatever the library raises: its own types are not promised
            raise ProviderError(f"Smart Turn failed: {error}") from error
        return float(np.clip(output[0].item(), 0.0, 1.0))
