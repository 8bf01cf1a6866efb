"""`parley doctor`: tries everything that the server will need, and says what to do about each problem."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.checks import Check

__all__ = ["doctor"]

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="PARLEY_CONFIG",
            help="Settings file. Default: ./parley.toml, or ~/.config/openparley/parley.toml.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check settings, keys, models, the port and the providers' addresses.

    Loads and runs each local model, and shows which keys are present, never their values. The exit status is
    1 when something would keep the server from working.
    """
    import asyncio
    import os

    from server.checks import examine

    checks = asyncio.run(examine(config, os.environ))
    if json:
        import dataclasses
        import json as encoder

        typer.echo(encoder.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _show(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Console(highlight=False)
    width = max(len(check.name) for check in checks)
    for check in checks:
        detail = Text(check.detail)
        if out.is_terminal:  # long texts are wrapped within their column
            detail.append(f"\n{check.fix}" if check.fix else "", style="bold")
            row = Table.grid(padding=(0, 2, 0, 0))
            row.add_column(width=4)
            row.add_column(width=width)
            row.add_row(Text(check.status, STYLES[check.status]), check.name, detail)
            out.print(row)
        else:
            fix = f" -> {check.fix}" if check.fix else ""
            typer.echo(f"{check.status:<4}  {check.name:<{width}}  {check.detail}{fix}")
    counts = {status: sum(check.status == status for check in checks) for status in STYLES}
    typer.echo("\n" + ", ".join(f"{count} {status}" for status, count in counts.items()))
