"""Opens ONNX models the one way that suits a server: CPU, one thread, no spinning, quiet."""

from pathlib import Path
from typing import Any

from providers.errors import ProviderError

__all__ = ["open_model"]


def open_model(path: Path) -> Any:
    """An `onnxruntime.InferenceSession` for `path`, which may be run by several threads at once.

    One thread per call: for models this small a pool costs more CPU than it saves time, and its spinning
    threads would take the cores from other sessions. Raises `ProviderError` when the file cannot be used.
    """
    import onnxruntime  # slow to import, so only once an engine is asked for

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = (
        3  # errors only: warnings about graph optimisation are of no use to an operator
    )
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ProviderError(f"the model file {path.name} cannot be loaded: {error}") from error
