"""`parley download`: fetches the weights of models that do not come inside Python packages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from providers.local import LocalProvider

__all__ = ["download", "show_progress"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def download(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Which model, such as whisper-small, kokoro or piper-en_US-lessac-medium. Without it: a list"
            " of what there is."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="PARLEY_CONFIG",
            help="Settings file. Default: ./parley.toml, or ~/.config/openparley/parley.toml.",
        ),
    ] = None,
) -> None:
    """Fetch the weights of a local model, so that the next start of the server finds them.

    They go to ~/.cache/openparley (XDG_CACHE_HOME moves it) and are checked against a checksum: one that is
    known here, else the one that the hub tells. What an interrupted download brought is kept: the same
    command goes on from there.

    HF_ENDPOINT, or hub in [providers.local], names a mirror of the model hub. HF_HUB_OFFLINE=1 forbids
    downloads. Without any network, the message says which file to bring, and where it belongs.
    """
    from rich.console import Console

    from providers.errors import ProviderError, UnknownModelError

    # Soft wrap: paths and addresses must stay whole when they are copied or piped.
    out = Console(soft_wrap=True, highlight=False)
    provider = _local(config)
    try:
        if model is None:
            _show(out, provider)
            return
        name = model.removeprefix("local/")
        present = provider.weights(name)
        if present is not None:
            out.print(f"{name} is here already: {present}", markup=False)
            _advise(out, provider, name)
            return
        with show_progress(out, name) as on_progress:
            path = provider.fetch(name, on_progress)
        out.print(f"{name} is at {path}; the server uses it from its next start on", markup=False)
        _advise(out, provider, name)
    except UnknownModelError as error:
        _fail(str(error), USAGE)
    except ProviderError as error:
        _fail(str(error), FAILED)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on from here", INTERRUPTED)


def _local(config: Path | None) -> "LocalProvider":
    import os

    from providers.local import LocalProvider
    from server.settings import ProviderTable, SettingsError, load_settings
    from server.startup import StartupError, load_provider

    try:
        table = load_settings(config).providers.get("local", ProviderTable(kind="local"))
        provider = load_provider("local", table, os.environ)
    except (SettingsError, StartupError) as error:
        _fail(str(error), USAGE)
    if not isinstance(provider, LocalProvider):
        _fail(f"providers.local is of the kind {table.kind}, whose models are not downloaded", USAGE)
    return provider


def _show(out: "Console", provider: "LocalProvider") -> None:
    for name, files in provider.downloads().items():
        present = provider.weights(name)
        state = f"here: {present}" if present else f"not here; parley download {name} fetches it"
        out.print(f"{name}  {files.size / 1e6:.1f} MB  {state}", markup=False)
    out.print("piper-<voice>  any other voice of Piper, by its name there", markup=False)


def _advise(out: "Console", provider: "LocalProvider", name: str) -> None:
    """Say what else the model needs, where that is not installed."""
    if (advice := provider.advice(name)) is not None:
        out.print(advice, markup=False)


@contextmanager
def show_progress(out: "Console", name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line for each tenth elsewhere."""
    if not out.is_terminal:
        yield _lines(out, name)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(out: "Console", name: str) -> Callable[[int, int], None]:
    shown = -1

    def on_progress(done: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(1, total)
        if tenth != shown:  # also when it begins anew
            shown = tenth
            out.print(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", markup=False)

    return on_progress


def _fail(problem: str, status: int) -> NoReturn:
    typer.echo(f"parley download: {problem}", err=True)
    raise typer.Exit(status)
