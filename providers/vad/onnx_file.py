"""Reads weights out of ONNX files and writes small ONNX models: as much of the format as that takes.

ONNX is protobuf: a message is a row of fields, each a key (number and kind) and a value. Numbers are those of
onnx.proto, version 1. The `onnx` package does all of it and more, but is 20 MB and three further packages.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Node", "exposing", "model", "tensors"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # kinds of values
_IR_VERSION, _OPSET = 8, 13  # what every onnxruntime of the last years understands
_FLOAT, _INT64 = 1, 7  # types of numbers
_INT_ATTRIBUTE = 2

Node = tuple[str, Sequence[str], Sequence[str], Mapping[str, int]]  # operator, inputs, outputs, attributes


# --- reading -----------------------------------------------------------------------------------------


def tensors(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """The named float tensors of a model, those of its branches included, each graph in the file's order.

    Raises `ValueError` when that is no ONNX file.
    """
    for graph in _messages(data, 7):
        yield from _of_graph(graph)


def _of_graph(graph: memoryview) -> Iterator[tuple[str, NDArray[Any]]]:
    for initializer in _messages(graph, 5):
        yield from _of_tensor(initializer)
    for node in _messages(graph, 1):
        for attribute in _messages(node, 5):
            for constant in _messages(attribute, 5):
                yield from _of_tensor(constant)
            for branch in _messages(attribute, 6):
                yield from _of_graph(branch)


def _of_tensor(tensor: memoryview) -> Iterator[tuple[str, NDArray[Any]]]:
    shape: list[int] = []
    for number, value in _fields(tensor):
        if number == 1:
            shape += [value] if isinstance(value, int) else _varints(value)
    name = b"".join(_messages(tensor, 8)).decode()
    raw = b"".join(_messages(tensor, 9))
    if name and raw and (2, _FLOAT) in _fields(tensor):
        yield name, np.frombuffer(raw, "<f4").reshape(shape)


def _messages(data: bytes | memoryview, wanted: int) -> Iterator[memoryview]:
    """The fields of that number which hold bytes."""
    for number, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The numbers and values of a message's fields; a value is an int, or a view of bytes."""
    view, place = memoryview(data), 0
    while place < len(view):
        key, place = _varint(view, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(view, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(view, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind} at byte {place}")
        if place + size > len(view):
            raise ValueError(f"a field ends behind the end of its message at byte {place}")
        yield key >> 3, view[place : place + size]
        place += size


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(view) and shift < 64:
        byte = view[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError(f"a number does not end at byte {place}")


def _varints(view: memoryview) -> list[int]:
    values, place = [], 0
    while place < len(view):
        value, place = _varint(view, place)
        values.append(value)
    return values


# --- changing ----------------------------------------------------------------------------------------


def exposing(data: bytes, operator: str) -> bytes:
    """The model with what its only node of that operator computes as one more output, behind the others.

    As it is where there are several such nodes or none, or where that is an output already. Raises
    `ValueError` when it is no ONNX file.
    """
    found = set()
    for graph in _messages(data, 7):
        for node in _messages(graph, 1):
            if any(bytes(name) == operator.encode() for name in _messages(node, 4)):
                found |= {bytes(name) for name in _messages(node, 2)}
        found -= {bytes(name) for output in _messages(graph, 12) for name in _messages(output, 1)}
    if len(found) != 1:
        return data
    # Of a message that occurs twice, readers of the format put the fields together.
    return data + _field(7, _field(12, _field(1, found.pop())))


# --- writing -----------------------------------------------------------------------------------------


def model(
    nodes: Sequence[Node],
    constants: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, int],
    outputs: Sequence[str],
) -> bytes:
    """A model file. Inputs are float matrices of so many columns and any number of rows.

    Constants are float32 or int64.
    """
    graph = b"".join(
        [
            *(_field(1, _node(*node)) for node in nodes),
            _field(2, "graph"),
            *(_field(5, _tensor(name, values)) for name, values in constants.items()),
            *(_field(11, _field(1, name) + _field(2, _matrix(width))) for name, width in inputs.items()),
            *(_field(12, _field(1, name) + _field(2, _matrix(None))) for name in outputs),
        ]
    )
    return _field(1, _IR_VERSION) + _field(7, graph) + _field(8, _field(1, "") + _field(2, _OPSET))


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, int]
) -> bytes:
    fields = [_field(1, name) for name in inputs] + [_field(2, name) for name in outputs]
    fields.append(_field(4, operator))
    for name, value in attributes.items():
        fields.append(_field(5, _field(1, name) + _field(3, value) + _field(20, _INT_ATTRIBUTE)))
    return b"".join(fields)


def _tensor(name: str, values: NDArray[Any]) -> bytes:
    kind, dtype = (_INT64, "<i8") if values.dtype.kind == "i" else (_FLOAT, "<f4")
    shape = b"".join(_field(1, size) for size in values.shape)
    return shape + _field(2, kind) + _field(8, name) + _field(9, values.astype(dtype).tobytes())


def _matrix(width: int | None) -> bytes:
    """The type of a float matrix; a size that is not given may be any."""
    columns = _field(1, b"" if width is None else _field(1, width))
    return _field(1, _field(1, _FLOAT) + _field(2, _field(1, b"") + columns))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _number(number << 3 | _VARINT) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | _BYTES) + _number(len(data)) + data


def _number(value: int) -> bytes:
    """A varint; negative numbers stand in the format as if they were unsigned."""
    value &= (1 << 64) - 1
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)
