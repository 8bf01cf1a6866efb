"""Finds the code blocks of the documentation, so that tests can run them."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.dockerfile import ROOT

__all__ = ["Block", "blocks", "pages"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    page: str  # relative to the repository's root
    line: int  # of its first line of code
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and everything in docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """All blocks in one of the languages."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(Block(str(page.relative_to(ROOT)), line, match[1], match[2]))
    return found
