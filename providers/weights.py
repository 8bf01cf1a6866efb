"""Finds model files inside installed wheels without importing the packages that carry them."""

import importlib.util
from pathlib import Path

from providers.errors import ProviderError

__all__ = ["wheel_file"]


def wheel_file(package: str, path: str, distribution: str | None = None) -> Path:
    """The file `path` (relative to the package's folder) of the installed top-level `package`.

    `distribution` is the wheel's name where it is not that of the package with hyphens.
    The package is located, never executed: `silero_vad` would import torch, `moonshine_voice` a microphone
    library. Raises `ProviderError` when the package or the file is missing.
    """
    distribution = distribution or package.replace("_", "-")
    spec = importlib.util.find_spec(package)  # a top-level name: found on the path, not imported
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(folder) / path
        if file.exists():
            return file
    missing = "is not installed" if spec is None else f"does not contain {path}"
    raise ProviderError(
        f"the wheel '{distribution}' {missing}; reinstall it with"
        f" `uv sync --reinstall-package {distribution}` (or `pip install --force-reinstall --no-deps"
        f" {distribution}`)"
    )
