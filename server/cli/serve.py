"""`parley serve`: starts the server and says what it chose, where it listens and how to talk to it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from server.settings import Settings
    from server.startup import Prepared

__all__ = ["serve"]

FAILED, INTERRUPTED = 1, 130


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 picks a free one. Default: 8000.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="PARLEY_CONFIG",
            help="Settings file. Default: ./parley.toml, or ~/.config/openparley/parley.toml.",
        ),
    ] = None,
    profile: Annotated[
        Literal["parley", "openai"] | None,
        typer.Option(
            help="openai: refuse what OpenAI's service refuses, to test code meant for it. Default: parley."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="Certificate chain as a PEM file: the server then speaks https:// and wss://."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Private key of the certificate, as a PEM file.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least important kind of log line to print. Default: info."),
    ] = None,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="Text for people, or one JSON object per line and nothing else. Default: text."),
    ] = None,
) -> None:
    """Start the server. Ctrl-C ends it.

    Needs no key, no download and no GPU: without settings everything runs on this machine. Options win over
    the environment (PARLEY_SERVER__PORT=9000), which wins over the file.

    With PARLEY_API_KEYS=key1,key2 clients must send one of these keys; without, only programs on this machine
    can connect.
    """
    began = time.perf_counter()
    import asyncio
    import os

    from rich.console import Console

    from server.logs import setup_logging
    from server.settings import SettingsError, load_settings

    # Soft wrap: a terminal may break a line, but what is copied or piped from here stays whole.
    out = Console(soft_wrap=True, highlight=False)
    try:
        overrides = {
            "server": _given(host=host, port=port, profile=profile, tls_cert=tls_cert, tls_key=tls_key),
            "log": _given(level=log_level, format=log_format),
        }
        settings = load_settings(config, overrides)
    except SettingsError as error:
        _fail("The settings cannot be used:", *error.problems, as_json=log_format == "json")
    setup_logging(settings.log.level, settings.log.format)
    as_json = settings.log.format == "json"

    from server import serving  # the web server and the engines' libraries: most of a second
    from server.startup import StartupError

    try:
        sock = serving.bind(settings.server.host, settings.server.port)
        url = serving.url_of(sock, settings.server)

        def on_ready(prepared: "Prepared", server: "serving.Server") -> None:
            seconds = time.perf_counter() - began
            if as_json:
                _log_ready(prepared, url, seconds)
            else:
                _show_ready(out, settings, prepared, url, seconds)

        running = serving.serve(settings, sock, os.environ, on_ready=on_ready, signals=True)
        with asyncio.Runner(loop_factory=serving.new_event_loop) as runner:
            runner.run(running)
    except StartupError as error:
        _fail(str(error), as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(INTERRUPTED) from None
    if not as_json:
        out.print("Stopped.")


def _given(**options: Any) -> dict[str, Any]:
    """Those that are on the command line."""
    return {name: value for name, value in options.items() if value is not None}


def _show_ready(out: "Console", settings: "Settings", prepared: "Prepared", url: str, seconds: float) -> None:
    from rich.table import Table
    from rich.text import Text

    from server.version import VERSION

    table = Table.grid(padding=(0, 2))
    for choice in prepared.choices:
        table.add_row(
            Text(choice.stage, style="bold"), Text(choice.chosen, style="cyan"), Text(choice.why, style="dim")
        )
    keys = len(settings.server.api_keys)
    access = f"with {'the key' if keys == 1 else f'one of {keys} keys'}" if keys else "no key needed"
    key = "YOUR-KEY" if keys else "none"
    out.print(Text(f"OpenParley {VERSION}", style="bold"))
    if out.is_terminal:
        out.print(table, soft_wrap=False)
    else:  # a table would be cut at 80 columns
        for choice in prepared.choices:
            out.print(f"{choice.stage:<5}  {choice.chosen}  ({choice.why})", markup=False)
    out.print()
    if settings.server.profile != "parley":
        access += f", profile {settings.server.profile}"
    out.print(Text.assemble((f"Ready in {seconds:.1f} s", "bold green"), f": {url} ({access})"))
    out.print()
    out.print("Talk to it from Python (pip install 'openai[realtime]'):", markup=False)
    for line in (
        "from openai import AsyncOpenAI",
        f'client = AsyncOpenAI(base_url="{url}/v1", api_key="{key}")',
        'async with client.realtime.connect(model="gpt-realtime") as session: ...',
    ):
        out.print(Text(f"    {line}", style="green"))
    out.print(f"or from here: parley talk FILE.wav --url {url}", markup=False)


def _log_ready(prepared: "Prepared", url: str, seconds: float) -> None:
    import logging

    from server.startup import log_choices

    log_choices(prepared)
    extra = {"url": url, "seconds": round(seconds, 3)}
    logging.getLogger("server.cli.serve").info("ready", extra=extra)


def _fail(*lines: str, as_json: bool) -> NoReturn:
    """Say what is wrong, without a traceback, and leave with status 1."""
    if as_json:
        import logging

        from server.logs import setup_logging

        setup_logging("info", "json")
        for line in lines:
            logging.getLogger("server.cli.serve").error(line)
    else:
        typer.echo("parley serve: " + "\n  ".join(lines), err=True)
    raise typer.Exit(FAILED)
