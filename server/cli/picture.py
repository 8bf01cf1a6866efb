"""Draws what a command printed as an SVG, for documentation."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType

__all__ = ["draw"]

WIDTH = 92  # characters


def draw(path: Path, command: str, lines: Sequence[RenderableType]) -> None:
    """Save the command and its output as a picture of a terminal that fetches nothing from anywhere."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, highlight=False)
    console.print(f"$ {command}", style="bold", markup=False)
    for line in lines:
        console.print(line)
    drawing = console.export_svg(title="parley talk", unique_id="talk")
    # Some renderers drop the spaces at the beginning of a text unless they are told not to.
    drawing = drawing.replace("<text ", '<text xml:space="preserve" ')
    # The template names a web font and where to fetch it; any monospace font does as well.
    path.write_text(re.sub(r"@font-face\s*{[^}]*}\s*", "", drawing))
