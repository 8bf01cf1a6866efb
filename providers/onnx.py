"""Opens ONNX models the one way that suits a server: CPU, few threads, no spinning, quiet."""

from pathlib import Path
from typing import Any

from providers.errors import ProviderError

__all__ = ["open_model"]


def open_model(path: Path, threads: int = 1, *, content: bytes | None = None) -> Any:
    """An `onnxruntime.InferenceSession` for `path`, which may be run by several threads at once.

    One thread per call: for small models a pool costs more CPU than it saves time, and its spinning threads
    would take the cores from other sessions. Models of a hundred megabytes gain from several `threads`.
    `content` is what to load instead of the file's own. Raises `ProviderError` when it cannot be used.
    """
    import onnxruntime  # slow to import, so only once an engine is asked for

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = 1
    options.log_severity_level = (
        3  # errors only: warnings about graph optimisation are of no use to an operator
    )
    source = str(path) if content is None else content
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ProviderError(f"the model file {path.name} cannot be loaded: {error}") from error
