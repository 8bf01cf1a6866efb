"""Silero VAD 6 with its own weights, rearranged so that a frame costs a half to a third.

The file that comes with the wheel works out its shapes anew in every call and convolves each stream by
itself. The same network is a chain of matrix products over all streams at once:

    windows ─ transform ─ magnitudes ─ 4 convolutions ─ LSTM cell ─ probability
    4 x 256 samples                    each a product    state
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.vad.onnx_file import Node, model, tensors

__all__ = ["STATE", "WINDOW", "WINDOWS", "build"]

WINDOW = 256  # samples; each begins 128 after the one before
WINDOWS = 4  # per frame
STATE = 256  # numbers that a stream keeps: 128 of output and 128 of memory
_BINS = 129
_FULL_SCALE = 32768  # samples come as they are; a power of two changes no digit of the result

# As they are called in the file, with the shapes that tell the network for 16 kHz from the one for 8 kHz.
_TRANSFORM = "stft.forward_basis_buffer"
_SHAPES: dict[str, tuple[int, ...]] = {
    _TRANSFORM: (2 * _BINS, 1, WINDOW),
    "encoder.0.reparam_conv.weight": (128, _BINS, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (128, 64, 3),
    "encoder.3.reparam_conv.bias": (128,),
    "decoder.rnn.weight_ih": (512, 128),
    "decoder.rnn.weight_hh": (512, 128),
    "decoder.rnn.bias_ih": (512,),
    "decoder.rnn.bias_hh": (512,),
    "decoder.decoder.2.weight": (1, 128, 1),
    "decoder.decoder.2.bias": (1,),
}

Weights = Mapping[str, NDArray[Any]]


def build(file: bytes) -> bytes:
    """The rearranged model, from the wheel's file.

    Inputs: `windows`, `WINDOWS` rows of `WINDOW` samples in 16-bit scale per stream, and `state`, a row of
    `STATE` per stream. Outputs: `probability` and `new_state`, a row per stream. Raises `ValueError` when the
    file holds another network.
    """
    weights = _weights(file)
    nodes, constants = _network(weights)
    return model(nodes, constants, {"windows": WINDOW, "state": STATE}, ["probability", "new_state"])


def _weights(file: bytes) -> Weights:
    """The 16 kHz network: its layers stand between its transform and the next one."""
    found: dict[str, NDArray[Any]] = {}
    wanted = False
    for name, values in tensors(file):
        if name == _TRANSFORM:
            wanted = values.shape == _SHAPES[_TRANSFORM]
        if wanted and name in _SHAPES:
            found[name] = values
    for name, shape in _SHAPES.items():
        if name not in found or found[name].shape != shape:
            raise ValueError(f"its '{name}' is missing or of another shape")
    return found


def _network(weights: Weights) -> tuple[list[Node], dict[str, NDArray[Any]]]:
    filters = [weights[f"encoder.{layer}.reparam_conv.weight"] for layer in range(4)]
    biases = [weights[f"encoder.{layer}.reparam_conv.bias"] for layer in range(4)]
    # The file has the gates in the order input, forget, memory, output; with memory last, one sigmoid
    # serves the others.
    gates = np.r_[0:256, 384:512, 256:384]
    both = np.concatenate([weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]], axis=1)
    constants: dict[str, NDArray[Any]] = {
        "transform": weights[_TRANSFORM][:, 0].T / np.float32(_FULL_SCALE),
        # The first layer slides over the four windows, one row of silence on each side.
        "filter_0": filters[0].transpose(2, 1, 0).reshape(3 * _BINS, 128),
        "bias_0": biases[0],
        # The others see all of their input at once.
        "filter_1": _as_matrix(filters[1], inputs=4, outputs=2),
        "bias_1": np.tile(biases[1], 2),
        "filter_2": _as_matrix(filters[2], inputs=2, outputs=1),
        "bias_2": biases[2],
        "filter_3": _as_matrix(filters[3], inputs=1, outputs=1),
        "bias_3": biases[3],
        "gates": both[gates].T,
        "bias_gates": (weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"])[gates],
        "last": weights["decoder.decoder.2.weight"].reshape(128, 1),
        "bias_last": weights["decoder.decoder.2.bias"],
    }
    sizes = {
        "halves": [_BINS, _BINS],
        "by_frame": [-1, WINDOWS, _BINS],
        "margins": [0, 1, 0, 0, 1, 0],
        "row": [1],
        **{f"first_{tap}": [tap] for tap in range(3)},
        **{f"behind_{tap}": [tap + WINDOWS] for tap in range(3)},
        "by_window": [-1, 3 * _BINS],
        "flat": [-1, WINDOWS * 128],
        "state_parts": [128, 128],
        "gate_parts": [128, 128, 128],
        "gate_kinds": [384, 128],
    }
    constants |= {name: np.array(values, np.int64) for name, values in sizes.items()}
    slices: list[Node] = [
        ("Slice", ["padded", f"first_{tap}", f"behind_{tap}", "row"], [f"tap_{tap}"], {}) for tap in range(3)
    ]
    nodes: list[Node] = [
        ("MatMul", ["windows", "transform"], ["spectrum"], {}),
        ("Mul", ["spectrum", "spectrum"], ["squares"], {}),
        ("Split", ["squares", "halves"], ["real", "imaginary"], {"axis": 1}),
        ("Add", ["real", "imaginary"], ["power"], {}),
        ("Sqrt", ["power"], ["magnitude"], {}),
        ("Reshape", ["magnitude", "by_frame"], ["frames"], {}),
        ("Pad", ["frames", "margins"], ["padded"], {}),
        *slices,
        ("Concat", ["tap_0", "tap_1", "tap_2"], ["taps"], {"axis": 2}),
        ("Reshape", ["taps", "by_window"], ["neighbours"], {}),
        *_layer("neighbours", 0),
        ("Reshape", ["layer_0", "flat"], ["layer_0_flat"], {}),
        *_layer("layer_0_flat", 1),
        *_layer("layer_1", 2),
        *_layer("layer_2", 3),
        ("Split", ["state", "state_parts"], ["output", "memory"], {"axis": 1}),
        ("Concat", ["layer_3", "output"], ["cell_input"], {"axis": 1}),
        ("Gemm", ["cell_input", "gates", "bias_gates"], ["cell"], {}),
        ("Split", ["cell", "gate_kinds"], ["cell_gates", "cell_memory"], {"axis": 1}),
        ("Sigmoid", ["cell_gates"], ["opened"], {}),
        ("Tanh", ["cell_memory"], ["candidate"], {}),
        ("Split", ["opened", "gate_parts"], ["let_in", "keep", "let_out"], {"axis": 1}),
        ("Mul", ["keep", "memory"], ["kept"], {}),
        ("Mul", ["let_in", "candidate"], ["taken"], {}),
        ("Add", ["kept", "taken"], ["new_memory"], {}),
        ("Tanh", ["new_memory"], ["shown"], {}),
        ("Mul", ["let_out", "shown"], ["new_output"], {}),
        ("Concat", ["new_output", "new_memory"], ["new_state"], {"axis": 1}),
        ("Relu", ["new_output"], ["positive"], {}),
        ("Gemm", ["positive", "last", "bias_last"], ["score"], {}),
        ("Sigmoid", ["score"], ["probability"], {}),
    ]
    return nodes, constants


def _layer(source: str, number: int) -> list[Node]:
    return [
        ("Gemm", [source, f"filter_{number}", f"bias_{number}"], [f"sum_{number}"], {}),
        ("Relu", [f"sum_{number}"], [f"layer_{number}"], {}),
    ]


def _as_matrix(weights: NDArray[Any], *, inputs: int, outputs: int) -> NDArray[Any]:
    """A convolution of three taps in steps of two, a row of zeros before and behind, as one product."""
    channels_out, channels_in, taps = weights.shape
    matrix = np.zeros((inputs, channels_in, outputs, channels_out), np.float32)
    for output in range(outputs):
        for tap in range(taps):
            row = 2 * output + tap - 1
            if 0 <= row < inputs:
                matrix[row, :, output] = weights[:, :, tap].T
    return matrix.reshape(inputs * channels_in, outputs * channels_out)
