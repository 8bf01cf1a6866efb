"""`parley providers`: what can be named in a session, and what it takes."""

import os
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.provider_table import Row

__all__ = ["providers"]


def providers(
    search: Annotated[
        str | None, typer.Argument(help="Show only lines with this text, such as speech, groq or nova.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of the documentation.")
    ] = False,
    options: Annotated[
        bool, typer.Option("--options", help="Print the options of every kind, as in the documentation.")
    ] = False,
) -> None:
    """List the providers that need no settings: what they do, and which key they want.

    A model is named as `provider/model`, such as `groq/llama-3.3-70b-versatile`. Tables in the settings add
    more: see `docs/providers.md`.
    """
    from server.provider_table import markdown as as_markdown
    from server.provider_table import options_markdown, rows

    if markdown:
        typer.echo(as_markdown())
        return
    if options:
        from server.provider_options import OPTIONS

        typer.echo(options_markdown(OPTIONS))
        return
    found = [row for row in rows() if search is None or search.lower() in " ".join(row.cells()).lower()]
    if not found:
        typer.echo(f"Nothing here mentions '{search}'. `parley providers` alone lists everything.", err=True)
        raise typer.Exit(1)
    width = max(len(row.id.partition("/")[2]) for row in found)
    for (name, key), group in groupby(found, key=lambda row: (row.id.partition("/")[0], row.key)):
        typer.echo(f"{typer.style(name, bold=True)}  {_key(key)}")
        for row in group:
            typer.echo(f"  {row.id.partition('/')[2]:{width}}  {_told(row)}")


def _key(key: str) -> str:
    names = key.replace("`", "").split(" or ")
    ready = [name for name in names if os.environ.get(name)]
    return f"{ready[0]} is set" if ready else " or ".join(names)


def _told(row: "Row") -> str:
    _, what, _, streams, languages, timings = row.cells()
    told = [what, f"streams {streams}" if streams else "", f"languages: {languages}" if languages else ""]
    return "; ".join(part for part in (*told, "word timings" if timings else "") if part)
