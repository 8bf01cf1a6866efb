"""The command `parley`. Each command imports what it needs when it runs, so that help comes at once."""

import os
from typing import Annotated

import typer

from server.cli.doctor import doctor
from server.cli.download import download
from server.cli.providers import providers
from server.cli.serve import serve
from server.cli.talk import talk

__all__ = ["app", "main"]

EPILOG = (
    "Start with `parley serve`, then hear it answer: `parley talk FILE.wav`. Programs for OpenAI's Realtime"
    " API work with it once their base_url is http://127.0.0.1:8000/v1. When something is wrong,"
    " `parley doctor` says what to do."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from server.version import VERSION

        typer.echo(f"parley {VERSION}")
        raise typer.Exit


app = typer.Typer(
    name="parley",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(talk)
app.command()(doctor)
app.command()(download)
app.command()(providers)


@app.callback(epilog=EPILOG)
def parley(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """OpenParley: a voice server of your own that speaks the OpenAI Realtime protocol."""


def main() -> None:
    """The console script."""
    # Sessions have worker threads enough; those of the BLAS library would spin beside them for nothing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()
