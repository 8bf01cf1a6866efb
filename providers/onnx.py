"""Opens ONNX models the one way that suits a server: CPU, few threads, no spinning, quiet."""

from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from providers.errors import ProviderError

__all__ = ["open_model"]

# What somebody has open already is not loaded again: engines of several providers or servers share it.
_opened: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()
_opening = Lock()


def open_model(path: Path, threads: int = 1, *, content: bytes | None = None) -> Any:
    """An `onnxruntime.InferenceSession` for `path`, which may be run by several threads at once.

    One thread per call: for small models a pool costs more CPU than it saves time, and its spinning threads
    would take the cores from other sessions. Models of a hundred megabytes gain from several `threads`.
    `content` is what to load instead of the file's own. A file that is open and unchanged is shared. Raises
    `ProviderError` when it cannot be used.
    """
    if content is not None:
        return _load(path, threads, content)
    try:
        state = path.stat()
    except OSError as error:
        raise ProviderError(f"the model file {path.name} cannot be loaded: {error}") from error
    key = (path.absolute(), state.st_ino, state.st_size, state.st_mtime_ns, threads)
    with _opening:
        model = _opened.get(key)
        if model is None:
            _opened[key] = model = _load(path, threads, str(path))
        return model


def _load(path: Path, threads: int, source: str | bytes) -> Any:
    import onnxruntime  # slow to import, so only once an engine is asked for

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = 1
    options.log_severity_level = (
        3  # errors only: warnings about graph optimisation are of no use to an operator
    )
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ProviderError(f"the model file {path.name} cannot be loaded: {error}") from error
