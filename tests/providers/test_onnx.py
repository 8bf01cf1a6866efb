"""Models that are open are shared, as long as somebody uses them and their files stay what they were."""

import gc
import shutil
import weakref
from pathlib import Path

import pytest

from providers.errors import ProviderError
from providers.onnx import open_model
from providers.weights import wheel_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small model."""
    return Path(shutil.copy(wheel_file("silero_vad", "data/silero_vad.onnx"), tmp_path / "model.onnx"))


def test_a_file_that_is_open_is_not_loaded_again(file: Path) -> None:
    first = open_model(file)

    assert open_model(file) is first
    assert open_model(file, 2) is not first


def test_a_model_that_nobody_uses_is_let_go(file: Path) -> None:
    gone = weakref.ref(open_model(file))
    gc.collect()

    assert gone() is None


def test_a_file_that_was_replaced_is_loaded_anew(file: Path) -> None:
    before = open_model(file)
    fresh = file.with_name("fresh.onnx")
    shutil.copy(file, fresh)
    fresh.replace(file)

    assert open_model(file) is not before


@pytest.mark.parametrize("content", [None, b"half a download"])
def test_what_is_no_model_is_told_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ProviderError, match=r"the model file bad\.onnx cannot be loaded"):
        open_model(path)
