"""`parley talk`: speaks a recording to a server and shows what happens, for people without a microphone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from server.talk.client import TalkRequest

__all__ = ["talk"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def talk(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.wav", help="What to say: a WAV file of any rate, width and channels."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Send this message: instead of a file, or before what the file says."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="PARLEY_URL", help="The server, such as http://127.0.0.1:8000. Default: start one."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write the spoken reply.")] = Path("reply.wav"),
    model: Annotated[
        str, typer.Option(help="The language model, as provider/model or an alias.")
    ] = "gpt-realtime",
    voice: Annotated[str | None, typer.Option(help="The voice of the reply.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="The server's key. Default: PARLEY_API_KEY from the environment.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings of the server that is started when there is no --url.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the server's events, one per line, and nothing else.")
    ] = False,
    svg: Annotated[Path | None, typer.Option(hidden=True, help="Save a picture of the output.")] = None,
) -> None:
    """Talk to a server with a recording: see the turn as it happens, hear the reply in reply.wav.

    Ends with what you would have waited for, in milliseconds from the end of your last word. The exit
    status is 0 when every turn was answered, 1 when one failed, 2 when it could not be tried.
    """
    from rich.console import Console

    from server.talk.address import key_for, session_url
    from server.talk.client import TalkRequest
    from server.talk.recording import RecordingError, read_recording

    problems = Console(stderr=True, soft_wrap=True, highlight=False)
    if file is None and text is None:
        raise typer.BadParameter("say something: give a WAV file, or --text", param_hint="FILE.wav")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    try:
        recording = read_recording(file) if file is not None else None
        if url is not None:
            session_url(url, model)
    except (RecordingError, ValueError) as error:
        problems.print(f"parley talk: {error}", style="red", markup=False)
        raise typer.Exit(USAGE) from None

    with _server(url, config, problems) as (address, own_key):
        target = session_url(address, model)
        key = own_key or key_for(target, api_key, _environment())
        request = TalkRequest(target, key, voice, recording, text)
        raise typer.Exit(_hold(request, out, json, svg, problems))


@contextmanager
def _server(url: str | None, config: Path | None, problems: "Console") -> Iterator[tuple[str, str | None]]:
    """The address to talk to, and the key where the server is our own: started here unless `url` is given."""
    if url is not None:
        yield url, None
        return
    from server.background import running_server
    from server.settings import SettingsError, load_settings
    from server.startup import StartupError

    with ExitStack() as stack:
        try:
            settings = load_settings(config)
            with problems.status("starting a server for the occasion ..."):
                # On loopback, where the certificate of its public name would be refused.
                plain = settings.server.model_copy(update={"tls_cert": None, "tls_key": None})
                local = settings.model_copy(update={"server": plain})
                address = stack.enter_context(running_server(local))
        except (SettingsError, StartupError) as error:
            problems.print(f"parley talk: {error}", style="red", markup=False)
            raise typer.Exit(USAGE) from None
        keys = settings.server.api_keys
        yield address, keys[0].get_secret_value() if keys else None


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def _hold(request: "TalkRequest", out: Path, json: bool, svg: Path | None, problems: "Console") -> int:
    """Hold the conversation, show it, write the reply. Returns the exit status."""
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from server.cli.picture import draw
    from server.cli.timeline import Timeline, latency_table, row_block
    from server.talk.client import Conversation, TalkError
    from server.talk.recording import RATE
    from server.talk.turnlog import Row
    from server.talk.wav import encode_wav

    console = Console(highlight=False)
    settled: list[Row] = []

    def watch(at: float, event: Any, rows: list[Row]) -> None:
        settled.extend(row for row in rows if not row.growing or row.label == "hearing")
        if json:
            typer.echo(event_line(at, event))
        else:
            timeline.show(rows)

    conversation = Conversation(request, watch)
    timeline = Timeline(console, lambda: conversation.status)
    failure, status = "", 0
    try:
        if json:
            asyncio.run(conversation.hold())
        else:
            with timeline:
                asyncio.run(conversation.hold())
    except TalkError as error:
        failure, status = str(error), FAILED
    except KeyboardInterrupt:
        failure, status = "stopped", INTERRUPTED

    turns = [turn for turn in conversation.log.turns if turn.response_ids or turn.stopped_at is not None]
    pcm = conversation.playback.pcm
    if pcm:
        out.write_bytes(encode_wav(pcm, RATE))
    if not json:
        summary: list[Any] = ["", latency_table(turns)] if turns else []
        silence_ms = conversation.silence_ms
        if silence_ms and any(turn.first_audio_at and not turn.typed for turn in turns):
            summary.append(f"{silence_ms} ms of it are the silence that ends a turn: silence_duration_ms.")
        if pcm:
            summary.append(Text(f"{len(pcm) / 2 / RATE:.2f} s of reply written to {out}"))
        for line in summary:
            console.print(line)
        if svg is not None:
            draw(svg, _command(request), [*map(row_block, settled), *summary])
    if failure:
        problems.print(f"parley talk: {failure}", style="red", markup=False)
    return status or (FAILED if any(turn.failed for turn in turns) else 0)


def event_line(at: float, event: Any) -> str:
    """One server event as a line of JSON, with the time in it and without its audio."""
    import orjson

    shown = dict(event)
    if shown.get("type") == "response.output_audio.delta":
        delta = shown.pop("delta", None) or ""
        shown["delta_bytes"] = len(delta) * 3 // 4 - delta.count("=", -2)
    return orjson.dumps({**shown, "received_ms": round(at * 1000, 1)}).decode()


def _command(request: "TalkRequest") -> str:
    said = [request.recording.name] if request.recording else []
    if request.text is not None:
        said.append(f'--text "{request.text}"')
    return " ".join(["parley talk", *said])
