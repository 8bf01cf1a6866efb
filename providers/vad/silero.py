"""Silero VAD 6 from the weights inside the `silero-vad` wheel: one batched call for many streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.contracts import VadFrame
from providers.onnx import open_model
from providers.weights import wheel_file

__all__ = ["SileroStream", "SileroVad"]

SAMPLE_RATE = 16_000  # Hertz
FRAME_SAMPLES = 512  # the only length that the model was trained for at 16 kHz
# The end of the frame before, given again in front of each frame. The file runs without it, but then
# answers wrongly for most speech.
CONTEXT_SAMPLES = 64
# `silero_vad.onnx` gives every stream the same answer whatever it is batched with; the wheel's half-precision
# file and its safetensors weights answer differently.
MODEL_FILE = "data/silero_vad.onnx"


@dataclass(slots=True, eq=False)
class SileroStream:
    """What the network remembers of one stream; 1.3 KiB."""

    context: NDArray[np.float32] = field(default_factory=lambda: np.zeros(CONTEXT_SAMPLES, np.float32))
    state: NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 128), np.float32))


class SileroVad:
    """Implements `contracts.Vad`. Thread-safe as long as no stream is in two calls at once."""

    sample_rate = SAMPLE_RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self) -> None:
        """Load the model (about 50 ms); raises `ProviderError` when the weights are missing."""
        self._model: Any = open_model(wheel_file("silero_vad", MODEL_FILE))
        self._rate = np.array(SAMPLE_RATE, dtype=np.int64)
        self.infer([VadFrame(self.new_stream(), bytes(2 * FRAME_SAMPLES))])  # the first run costs more

    def new_stream(self) -> SileroStream:
        """Fresh state for one audio stream."""
        return SileroStream()

    def infer(self, frames: Sequence[VadFrame]) -> list[float]:
        """The speech probability (0..1) of each frame, computed together.

        Raises `ValueError`, with every stream as it was, when a stream occurs twice or a frame has another
        length than 512 samples.
        """
        if not frames:
            return []
        if len({id(frame.stream) for frame in frames}) < len(frames):
            raise ValueError("a stream occurs twice in one batch; its frames depend on each other")
        if any(len(frame.pcm) != 2 * FRAME_SAMPLES for frame in frames):
            raise ValueError(f"a frame must hold exactly {FRAME_SAMPLES} samples")
        streams: list[SileroStream] = [frame.stream for frame in frames]
        samples = np.empty((len(frames), CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
        for row, frame, stream in zip(samples, frames, streams, strict=True):
            row[:CONTEXT_SAMPLES] = stream.context
            row[CONTEXT_SAMPLES:] = np.frombuffer(frame.pcm, dtype="<i2")
        samples[:, CONTEXT_SAMPLES:] *= np.float32(1 / 32768)
        state = np.stack([stream.state for stream in streams], axis=1)

        output, new_state = self._model.run(None, {"input": samples, "state": state, "sr": self._rate})

        for index, stream in enumerate(streams):
            # Copies: a view would keep the whole batch alive for as long as one of its streams lives.
            stream.context = samples[index, -CONTEXT_SAMPLES:].copy()
            stream.state = new_state[:, index].copy()
        probabilities: list[float] = output[:, 0].tolist()
        return probabilities
