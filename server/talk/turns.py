"""What is known about one turn of a conversation: a value that a log fills in and a table reads."""

from dataclasses import dataclass, field

__all__ = ["Latency", "Turn", "latencies"]


@dataclass(slots=True, eq=False)
class Turn:
    """One thing said by the user and the reply to it.

    Members that end in `_at` are moments in seconds on the client's clock, counted from when it began to
    speak; None where it has not happened. Members that end in `_ms` are durations or positions in the
    recording, in milliseconds.
    """

    item_id: str = ""
    typed: bool = False  # a text message: nothing was spoken

    voice_ended_ms: float | None = None  # where the file's energy says that the last word ended
    voice_ended_at: float | None = None  # when that sample was sent (or the text, where it was typed)
    started_at: float | None = None
    started_ms: float | None = None
    stopped_at: float | None = None
    stopped_ms: float | None = None
    suggestions: int = 0  # how often the server found that it was probably over
    committed: bool = False
    transcript: str = ""
    transcript_at: float | None = None
    transcript_error: str = ""

    response_ids: list[str] = field(default_factory=list)
    created_at: float | None = None
    reply: str = ""
    calls: list[str] = field(default_factory=list)  # functions that the model asked for
    first_text_at: float | None = None
    first_audio_at: float | None = None
    audio_ms: float = 0.0
    done_at: float | None = None
    status: str = ""  # of the response: completed, cancelled, incomplete, failed
    error: str = ""  # why the response failed

    @property
    def failed(self) -> bool:
        return self.status == "failed" or bool(self.error)

    @property
    def speed(self) -> float | None:
        """Seconds of speech made per second, from the request to the last of it; None without speech."""
        if self.created_at is None or self.done_at is None or not self.audio_ms:
            return None
        return self.audio_ms / 1000 / max(self.done_at - self.created_at, 1e-3)


@dataclass(frozen=True, slots=True)
class Latency:
    """One row of the table: how long after the end of the voice something happened."""

    name: str
    ms: float | None


def latencies(turn: Turn) -> list[Latency]:
    """What the user waited for, from the true end of the voice (or the sending of the text) on."""
    moments = [
        ("speech stopped", turn.stopped_at),
        ("final transcript", turn.transcript_at),
        ("response created", turn.created_at),
        ("first text", turn.first_text_at),
        ("first audio", turn.first_audio_at),
        ("response done", turn.done_at),
    ]
    if turn.typed:
        moments = moments[2:]
    start = turn.voice_ended_at
    return [
        Latency(name, None if start is None or at is None else (at - start) * 1000) for name, at in moments
    ]
