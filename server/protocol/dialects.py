"""Dialects: the shapes in which one connection's events can be told. The GA dialect is the native one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from server.protocol.beta import reading, writing

__all__ = ["BETA", "GA", "Dialect", "choose_dialect"]

Json = dict[str, Any]

_BETA_TOKEN = "realtime=v1"
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


@dataclass(frozen=True, slots=True)
class Dialect:
    """Turns events of this dialect into those of the GA one, before they are validated, and back."""

    name: Literal["ga", "beta"]
    read: Callable[[Json], Json]  # a client event
    write: Callable[[str, Json], tuple[str, Json] | None]  # a server event's type and members; None: not told
    audio_delta: str  # the type of the one server event that does not go through `write`
    own_types: tuple[str, ...] = ()  # of client events that only this dialect has
    has_mcp: bool = True  # whether there are events for the tools of MCP servers


def _write_ga(kind: str, members: Json) -> tuple[str, Json] | None:
    return None if kind == "conversation.created" else (kind, members)


GA = Dialect("ga", lambda event: event, _write_ga, "response.output_audio.delta")
BETA = Dialect(
    "beta",
    reading.read,
    writing.write,
    writing.AUDIO_DELTA,
    ("transcription_session.update",),
    has_mcp=False,
)


def choose_dialect(headers: Mapping[str, str], subprotocols: Sequence[str]) -> Dialect:
    """What a connection asks for. `headers` must find names in any case, or have lower-case ones.

    The header `OpenAI-Beta` alone says nothing: it may name the beta of something else.
    """
    tokens = [token.strip() for token in headers.get("openai-beta", "").split(",")]
    return BETA if _BETA_TOKEN in tokens or _BETA_SUBPROTOCOL in subprotocols else GA
