"""Prompt templates: files whose text becomes a session's instructions once its blanks are filled in.

    DIRECTORY/ID.md            a prompt with one version, "1"
    DIRECTORY/ID/VERSION.md    a prompt with several; the latest is the last in natural order (2 before 10)

A blank is written `{{name}}`. Files are read when a client asks for them, so that changes need no restart.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import Prompt
from pipeline.errors import InvalidRequest

__all__ = ["PromptLibrary"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")  # never a path, nor a hidden file
_BLANK = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")
_MAX_BYTES = 64 * 1024  # of a template
_MAX_CHARS = 1024 * 1024  # of what it becomes: few blanks can hold a large value many times


class PromptLibrary:
    """The templates of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def render(self, prompt: Prompt, param: str) -> str:
        """The text of a prompt with its blanks filled in; reads one small file.

        Raises `InvalidRequest` where the prompt, its version or a variable does not exist or is missing;
        `param` is the prompt's own place in the client event.
        """
        template = self._read(self._find(prompt, param), param)
        values = {
            name: value if isinstance(value, str) else value.text
            for name, value in (prompt.variables or {}).items()
        }
        blanks = _BLANK.findall(template)
        _check_names(blanks, values, f"{param}.variables")
        if len(template) + sum(len(values[name]) for name in blanks) > _MAX_CHARS:
            raise InvalidRequest(
                f"With these variables the prompt is longer than {_MAX_CHARS} characters.",
                code="string_above_max_length",
                param=f"{param}.variables",
            )
        return _BLANK.sub(lambda blank: values[blank[1]], template)

    def _find(self, prompt: Prompt, param: str) -> Path:
        unknown = InvalidRequest(f"There is no prompt '{prompt.id[:100]}' here.", param=f"{param}.id")
        if not _NAME.fullmatch(prompt.id):
            raise unknown
        folder, single = self._directory / prompt.id, self._directory / f"{prompt.id}.md"
        versions = {file.stem: file for file in folder.glob("*.md") if _NAME.fullmatch(file.stem)}
        if not versions and single.is_file():
            versions = {"1": single}
        if not versions:
            raise unknown
        if prompt.version is None:
            return versions[max(versions, key=_natural)]
        if prompt.version not in versions:
            raise InvalidRequest(
                f"The prompt '{prompt.id}' has no version '{prompt.version[:100]}'.", param=f"{param}.version"
            )
        return versions[prompt.version]

    def _read(self, file: Path, param: str) -> str:
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise ValueError(f"longer than {_MAX_BYTES} bytes")
            return data.decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:  # the operator's fault, so only the log has its details
            log.error("the prompt template %s cannot be used: %s", file, error)
            raise InvalidRequest("This prompt cannot be used at the moment.", param=f"{param}.id") from None


def _check_names(blanks: list[str], values: Mapping[str, str], param: str) -> None:
    for name in blanks:
        if name not in values:
            raise InvalidRequest(
                f"Missing required parameter: '{param}.{name}', a variable of this prompt.",
                code="missing_required_parameter",
                param=f"{param}.{name}",
            )
    for name in values:
        if name not in blanks:
            shown = f"{param}.{name[:100]}"
            raise InvalidRequest(
                f"Unknown parameter: '{shown}'. Variables of this prompt: "
                f"{', '.join(dict.fromkeys(blanks)) or 'none'}.",
                code="unknown_parameter",
                param=shown,
            )


def _natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts 2 before 10, and words before numbers."""
    return [
        (int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece
    ]
