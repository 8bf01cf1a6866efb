"""Silero VAD 6 from the weights inside the `silero-vad` wheel: one batched call for many streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from providers.contracts import VadFrame
from providers.errors import ProviderError
from providers.vad.silero_graph import STATE, WINDOW, WINDOWS, build
from providers.weights import wheel_file

__all__ = ["SileroStream", "SileroVad"]

SAMPLE_RATE = 16_000  # Hertz
FRAME_SAMPLES = 512  # the only length that the model was trained for at 16 kHz
# The end of the frame before, given again in front of each frame. The file runs without it, but then
# answers wrongly for most speech.
CONTEXT_SAMPLES = 64
# The wheel's half-precision file and its safetensors weights answer differently.
MODEL_FILE = "data/silero_vad.onnx"

_HEARD = CONTEXT_SAMPLES + FRAME_SAMPLES
_PADDED = (WINDOWS + 1) * WINDOW // 2  # what the windows cover: the end is reflected


@dataclass(slots=True, eq=False)
class SileroStream:
    """What the network remembers of one stream; 1.2 KiB."""

    context: bytes = bytes(2 * CONTEXT_SAMPLES)  # PCM16
    state: bytes = bytes(4 * STATE)  # float32


class SileroVad:
    """Implements `contracts.Vad`. Thread-safe as long as no stream is in two calls at once.

    Gives what the model's own file gives, to 1e-5, for any streams in any batch.
    """

    sample_rate = SAMPLE_RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self) -> None:
        """Load the model (about 50 ms); raises `ProviderError` when the weights are missing or are others."""
        file = wheel_file("silero_vad", MODEL_FILE)
        try:
            model = build(file.read_bytes())
        except ValueError as error:
            raise ProviderError(
                f"the model file {file.name} cannot be loaded as Silero VAD 6: {error};"
                " install `silero-vad` 6.2"
            ) from error
        self._model = _open(model)
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
        streams: list[SileroStream] = [frame.stream for frame in frames]
        count = len(frames)
        if len(set(map(id, streams))) < count:
            raise ValueError("a stream occurs twice in one batch; its frames depend on each other")
        if any(len(frame.pcm) != 2 * FRAME_SAMPLES for frame in frames):
            raise ValueError(f"a frame must hold exactly {FRAME_SAMPLES} samples")
        # Everything is joined as bytes, because a call of numpy costs more than what it does here.
        heard = b"".join([part for frame in frames for part in (frame.stream.context, frame.pcm)])
        samples = np.empty((count, _PADDED), np.float32)
        samples[:, :_HEARD] = np.frombuffer(heard, "<i2").reshape(count, _HEARD)
        samples[:, _HEARD:] = samples[:, _HEARD - 2 : 2 * _HEARD - _PADDED - 2 : -1]
        step = samples.itemsize
        shape, strides = (count, WINDOWS, WINDOW), (_PADDED * step, WINDOW // 2 * step, step)
        windows = np.ndarray(shape, samples.dtype, samples, strides=strides).reshape(-1, WINDOW)
        state = np.frombuffer(b"".join([stream.state for stream in streams]), np.float32)

        output, new_state = self._model.run(None, {"windows": windows, "state": state.reshape(count, STATE)})

        states: bytes = new_state.tobytes()
        for index, (stream, frame) in enumerate(zip(streams, frames, strict=True)):
            stream.context = frame.pcm[-2 * CONTEXT_SAMPLES :]
            stream.state = states[4 * STATE * index : 4 * STATE * (index + 1)]
        probabilities: list[float] = output[:, 0].tolist()
        return probabilities


def _open(model: bytes) -> Any:
    import onnxruntime  # slow to import, so only once a detector is asked for

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as in `providers.onnx`
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
