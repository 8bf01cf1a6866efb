"""Shows a conversation while it goes on, and its latencies at the end; for people and for log files."""

from collections.abc import Callable, Sequence
from types import TracebackType

from rich.box import ROUNDED, SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from server.talk.turnlog import Row
from server.talk.turns import Turn, latencies

__all__ = ["Timeline", "latency_table", "row_block", "row_line"]

_STYLES = {
    "hearing": "cyan",
    "heard": "bold cyan",
    "turn suggested": "blue",
    "suggestion revoked": "blue",
    "reply": "bold green",
    "first text": "yellow",
    "first audio": "bold yellow",
    "function call": "magenta",
}
_SHORT = {
    "speech stopped": "stopped",
    "final transcript": "heard",
    "response created": "created",
    "first text": "text",
    "first audio": "audio",
    "response done": "done",
    "speech in the reply": "speech",
    "real-time factor": "factor",
}
_GROWING_WIDTH = 70
_WIDE = 4  # with more turns than this, the table has a row per turn instead of a column


class Timeline:
    """Settled rows are printed once and for all; on a terminal, growing ones live in a region below them.

    Use as a context manager. Without a terminal it is plain lines, each with its time, in order.
    """

    def __init__(self, console: Console, status: Callable[[], str]) -> None:
        """`status` says in a few words what is going on right now."""
        self._console = console
        self._status = status
        self._growing: dict[str, Row] = {}
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                get_renderable=self._region, console=console, refresh_per_second=12, transient=True
            )

    def __enter__(self) -> "Timeline":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, rows: Sequence[Row]) -> None:
        """Print settled rows, remember growing ones until they settle."""
        for row in rows:
            if row.growing:
                self._growing[row.key] = row
                # A log file shows what was understood so far, but not each word of the reply.
                if self._live is not None or row.label == "reply":
                    continue
            else:
                grown = self._growing.pop(row.key, None)
                if grown is not None and self._live is not None:
                    self._live.refresh()  # or it would be drawn once more below the row that replaces it
            if self._live is None:
                self._console.print(row_line(row), soft_wrap=True)
            else:
                self._console.print(row_block(row))

    def _region(self) -> RenderableType:
        rows = map(row_block, self._growing.values())
        return Group(*rows, Text(f"{'':11}{self._status()}", style="dim"))


def row_line(row: Row) -> Text:
    """One line, however long: seconds since the client began to speak, what happened, the particulars."""
    return Text("  ").join(_parts(row))


def row_block(row: Row) -> Table:
    """The same for a terminal: what does not fit continues below its own beginning."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for part in _parts(row)[:2]:
        grid.add_column(width=part.cell_len)
    grid.add_column()
    grid.add_row(*_parts(row))
    return grid


def _parts(row: Row) -> tuple[Text, Text, Text]:
    style = "bold red" if row.bad else _STYLES.get(row.label, "")
    text = row.text
    if row.growing:
        # Its end is what is new.
        text = f"{text}…" if len(text) <= _GROWING_WIDTH else f"…{text[-_GROWING_WIDTH:]}…"
    return Text(f"{row.at:7.2f} s", "dim"), Text(f"{row.label:<18}", style), Text(text, style)


def latency_table(turns: Sequence[Turn]) -> Table:
    """Milliseconds from the true end of the voice (or from the sending of the text) to each step."""
    typed = all(turn.typed for turn in turns)
    start = "message" if typed else "end of the voice"
    table = Table(
        title=f"From the {start} to" + (", in ms" if len(turns) > _WIDE else ""),
        title_justify="left",
        title_style="bold",
        box=SIMPLE if len(turns) > _WIDE else ROUNDED,
        show_header=len(turns) > 1,
    )
    columns = [_cells(turn, typed) for turn in turns]
    names = [name for name, _ in columns[0]] if columns else []
    heads = [f"turn {number}" for number in range(1, len(turns) + 1)] if len(turns) > 1 else ["time"]
    if len(turns) <= _WIDE:
        table.add_column("")
        for head in heads:
            table.add_column(head, justify="right")
        for index, name in enumerate(names):
            style = "bold yellow" if name == "first audio" else ""
            table.add_row(name, *(column[index][1] for column in columns), style=style)
        return table
    table.add_column("turn", justify="right")
    for name in names:
        table.add_column(_SHORT.get(name, name), justify="right")
    for number, column in enumerate(columns, 1):
        table.add_row(str(number), *(cell.removesuffix(" ms") for _, cell in column))
    return table


def _cells(turn: Turn, typed: bool) -> list[tuple[str, str]]:
    values = {latency.name: _milliseconds(latency.ms) for latency in latencies(turn)}
    names = ["response created", "first text", "first audio", "response done"]
    if not typed:
        names = ["speech stopped", "final transcript", *names]
    speed = turn.speed
    return [
        *((name, values.get(name, "-")) for name in names),
        ("speech in the reply", f"{turn.audio_ms / 1000:.2f} s" if turn.audio_ms else "-"),
        ("real-time factor", f"{1 / speed:.3f}" if speed else "-"),
    ]


def _milliseconds(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.0f} ms"
