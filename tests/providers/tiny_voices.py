"""Models of a few kilobytes with the inputs and outputs of Piper's and Kokoro's, for the real libraries.

Each phoneme sounds for so many frames, divided by the speed; the audio is a slow wave, louder where the
phoneme's number is higher, which is enough to tell how long speech is and that it is not silent.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

__all__ = ["FRAME", "FRAMES", "write_endless_model", "write_tiny_kokoro", "write_tiny_piper"]

FRAMES = 4  # per phoneme, at the usual speed
FRAME = 256  # samples
VOICES = ("af_heart", "am_echo", "bf_emma", "ff_siwis")


def write_tiny_piper(folder: Path, voice: str = "en_US-tiny-low", speakers: Sequence[str] = ()) -> Path:
    """The .onnx file of a voice of 16 kHz, with its .onnx.json beside it."""
    ids: Any = pytest.importorskip("piper.phoneme_ids", reason="the extra 'piper' is not installed")
    onnx: Any = pytest.importorskip("onnx", reason="models for tests are made with onnx")
    helper, types = onnx.helper, onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info("input", types.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", types.INT64, [1]),
        helper.make_tensor_value_info("scales", types.FLOAT, [3]),
    ]
    if speakers:
        inputs.append(helper.make_tensor_value_info("sid", types.INT64, [1]))
    nodes = [
        helper.make_node("Gather", ["scales", "one"], ["length_scale"]),
        helper.make_node("Cast", ["input"], ["floats"], to=types.FLOAT),
        helper.make_node("Mul", ["floats", "zero"], ["nothing"]),
        helper.make_node("Mul", ["length_scale", "frames"], ["raw"]),
        helper.make_node("Add", ["nothing", "raw"], ["raw_each"]),
        helper.make_node("Ceil", ["raw_each"], ["durations"]),
        *_sound(helper, types, "floats", "durations", "output"),
    ]
    if speakers:
        nodes.append(helper.make_node("Identity", ["sid"], ["speaker"]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{voice}.onnx"
    _save(onnx, path, nodes, inputs, ["output"])
    settings = {
        "audio": {"sample_rate": 16_000, "quality": "low"},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": ids.DEFAULT_PHONEME_ID_MAP,
        "num_symbols": 256,
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {speaker: number for number, speaker in enumerate(speakers)},
        "hop_length": FRAME,
    }
    Path(f"{path}.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


def write_tiny_kokoro(folder: Path, *, durations: bool = True) -> Path:
    """A folder with a model and its voices; with `durations` it is of the newer kind."""
    pytest.importorskip("kokoro_onnx", reason="the extra 'kokoro' is not installed")
    onnx: Any = pytest.importorskip("onnx", reason="models for tests are made with onnx")
    helper, types = onnx.helper, onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info("tokens", types.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("style", types.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", types.FLOAT, [1]),
    ]
    nodes = [
        helper.make_node("Cast", ["tokens"], ["floats"], to=types.FLOAT),
        helper.make_node("Mul", ["floats", "zero"], ["nothing"]),
        helper.make_node("Div", ["frames", "speed"], ["raw"]),
        helper.make_node("Add", ["nothing", "raw"], ["raw_each"]),
        helper.make_node("Ceil", ["raw_each"], ["float_durations"]),
        helper.make_node("Cast", ["float_durations"], ["duration"], to=types.INT64),
        *_sound(helper, types, "floats", "float_durations", "audio"),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _save(onnx, folder / "tiny.onnx", nodes, inputs, ["audio", "duration"] if durations else ["audio"])
    with (folder / "voices.bin").open("wb") as file:
        styles: dict[str, Any] = {voice: np.zeros((510, 1, 256), np.float32) for voice in VOICES}
        np.savez(file, **styles)
    return folder


def write_endless_model(path: Path) -> Path:
    """Adds one to a number as many times as it is told."""
    onnx: Any = pytest.importorskip("onnx", reason="models for tests are made with onnx")
    helper, types = onnx.helper, onnx.TensorProto
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["before", "one"], ["after"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("index", types.INT64, []),
            helper.make_tensor_value_info("go_on", types.BOOL, []),
            helper.make_tensor_value_info("before", types.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("still", types.BOOL, []),
            helper.make_tensor_value_info("after", types.INT64, [1]),
        ],
    )
    nodes = [helper.make_node("Loop", ["times", "", "one"], ["sum"], body=step)]
    _save(onnx, path, nodes, [helper.make_tensor_value_info("times", types.INT64, [])], ["sum"])
    return path


def _sound(helper: Any, types: Any, phonemes: str, durations: str, output: str) -> list[Any]:
    """A wave as long as the durations, as loud as the first phoneme's number makes it."""
    return [
        helper.make_node("ReduceSum", [durations], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "frame"], ["samples"]),
        helper.make_node("Cast", ["samples"], ["count"], to=types.INT64),
        helper.make_node("Range", ["start", "count", "step"], ["places"]),
        helper.make_node("Cast", ["places"], ["time"], to=types.FLOAT),
        helper.make_node("Mul", ["time", "pitch"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["wave"]),
        helper.make_node("ReduceMax", [phonemes], ["loudest"], keepdims=0),
        helper.make_node("Mul", ["loudest", "volume"], ["loudness"]),
        helper.make_node("Mul", ["wave", "loudness"], [output]),
    ]


def _save(onnx: Any, path: Path, nodes: list[Any], inputs: list[Any], outputs: list[str]) -> None:
    helper, types = onnx.helper, onnx.TensorProto
    constants = {
        "one": np.array([1], np.int64),
        "zero": np.array(0, np.float32),
        "frames": np.array([FRAMES], np.float32),
        "frame": np.array(FRAME, np.float32),
        "start": np.array(0, np.int64),
        "step": np.array(1, np.int64),
        "pitch": np.array(0.05, np.float32),
        "volume": np.array(0.001, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [
            helper.make_tensor_value_info(
                name, types.INT64 if name in ("duration", "sum") else types.FLOAT, None
            )
            for name in outputs
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
