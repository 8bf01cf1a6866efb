"""Packages that only some installations have: imported when an engine wants them, named when missing."""

import importlib
from types import ModuleType

from providers.errors import ProviderError

__all__ = ["missing_extra", "optional_import"]


def optional_import(module: str, extra: str, model: str) -> ModuleType:
    """The module that `model` runs on; raises `ProviderError`, which says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ProviderError(f"{missing_extra(model, extra)} ({error})") from error


def missing_extra(model: str, extra: str) -> str:
    """What to do for a model whose package is not installed."""
    return (
        f"{model} needs packages that are not installed: `uv sync --extra {extra}`, or"
        f" `pip install 'openparley[{extra}]'`"
    )
