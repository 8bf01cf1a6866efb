"""Smart Turn v3: hears whether a speaker who has just paused has finished. Any language, 8 MB, one core."""

from pathlib import Path
from typing import Any

import numpy as np

from providers.errors import ProviderError
from providers.onnx import open_model
from providers.turn.log_mel import RATE, log_mel
from providers.weights import wheel_file

__all__ = ["MODEL_FILE", "SmartTurn", "bundled_model"]

WINDOW_S = 8
_SAMPLES = WINDOW_S * RATE
_TINY = 1e-7  # keeps silence from being divided by nothing

# Inside the wheel `pipecat-ai`, which is installed for this file and never imported.
MODEL_FILE = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"


def bundled_model() -> Path:
    """The weights inside an installed wheel; raises `ProviderError` when they are not there."""
    return wheel_file("pipecat", MODEL_FILE, "pipecat-ai")


class SmartTurn:
    """Implements `contracts.TurnModel`. Thread-safe; some 35 ms of one core per call."""

    sample_rate = RATE
    window_seconds = float(WINDOW_S)

    def __init__(self, path: Path | None = None) -> None:
        """Load the weights, from `path` or from the wheel; raises `ProviderError`."""
        self._model: Any = open_model(path or bundled_model())
        names = [known.name for known in self._model.get_inputs()]
        if names != ["input_features"]:
            raise ProviderError(f"{path} is no Smart Turn v3 model: it wants {', '.join(names)}")

    def probability(self, pcm: bytes) -> float:
        """How likely (0..1) the turn is over, given its audio so far with the pause at the end."""
        heard = np.frombuffer(pcm[-2 * _SAMPLES :], "<i2").astype(np.float32) / 32768
        samples = np.zeros(_SAMPLES, np.float32)
        samples[_SAMPLES - len(heard) :] = heard  # the model expects what is missing in front
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + _TINY)
        (output,) = self._model.run(None, {"input_features": log_mel(samples)[None]})
        return float(np.clip(output[0].item(), 0.0, 1.0))
