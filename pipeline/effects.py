"""What the engine wants done. It returns these; the session carries them out, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.config import AudioFormat, SessionConfig
from pipeline.core.endpointing import Decision, Evidence
from pipeline.events import Event
from pipeline.tools import WebSearch
from providers.contracts import LlmRequest, RouteTaken, SttOptions
from providers.tools.contracts import McpServer

__all__ = [
    "CheckEcho",
    "Configure",
    "CutAudio",
    "DropAudio",
    "DropUtterance",
    "Effect",
    "Emit",
    "EndSegment",
    "EndUtterance",
    "FinishSpeaking",
    "ForgetItem",
    "JudgeTurn",
    "KeepClip",
    "ListTools",
    "ReportDismissal",
    "ReportFirstOutput",
    "ReportRoute",
    "ReportSpeculation",
    "ReportToolCall",
    "ReportTruncation",
    "ReportTurnDecision",
    "RunTool",
    "SetDeadline",
    "Speak",
    "SpeechStyle",
    "StartGeneration",
    "StartUtterance",
    "StopGeneration",
    "StopPlayback",
    "TranscribeClip",
]


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell every client of the session."""

    event: Event


@dataclass(frozen=True, slots=True)
class Configure:
    """The configuration is now this one; turn detection and formats follow it."""

    config: SessionConfig


# --- Input audio. Positions are ticks (1/16000 s) since the session began. ----------------------------


@dataclass(frozen=True, slots=True)
class StartUtterance:
    """Transcribe the audio from `start` on as it comes."""

    item_id: str
    start: int
    model: str
    options: SttOptions
    segment: int = 0  # counts the pieces in which the turn is transcribed


@dataclass(frozen=True, slots=True)
class EndSegment:
    """Finish the transcript of what was said up to `end`, while the turn itself may go on."""

    item_id: str
    segment: int
    end: int


@dataclass(frozen=True, slots=True)
class EndUtterance:
    """The utterance of that item is [start, end): finish its transcript and keep its audio."""

    item_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DropUtterance:
    """Nobody wants this transcript any more."""

    item_id: str


@dataclass(frozen=True, slots=True)
class DropAudio:
    """The audio before that position will not be asked for again."""

    before: int


@dataclass(frozen=True, slots=True)
class KeepClip:
    """Keep a recording that came inside an item."""

    item_id: str
    content_index: int
    pcm: bytes = field(repr=False)  # at the session's input rate


@dataclass(frozen=True, slots=True)
class TranscribeClip:
    """Transcribe a recording that came inside an item."""

    item_id: str
    content_index: int
    pcm: bytes = field(repr=False)  # at the session's input rate
    model: str
    options: SttOptions


@dataclass(frozen=True, slots=True)
class CutAudio:
    """Of this assistant item only the first `milliseconds` were heard."""

    item_id: str
    content_index: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class ForgetItem:
    """The item was deleted; its audio and any transcription of it can go."""

    item_id: str


# --- Turns -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Say how finished the turn of that item sounds; answered by `TurnJudged`, with the end as its position.

    Frames that come after `end` are told of only after the answer, so that it does not depend on how fast the
    audio was sent.
    """

    item_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CheckEcho:
    """Say whether the input from `start` to `end` is the assistant's own voice; answered by `EchoJudged`.

    Here, too, the frames behind it wait for the answer.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Tell of `DeadlinePassed` at that moment, instead of any that was set before; None: of none."""

    at: float | None  # seconds, on the clock of `handle`


@dataclass(frozen=True, slots=True)
class ReportTurnDecision:
    """What was decided in a pause, and why."""

    item_id: str
    detection: Literal["server_vad", "semantic_vad"]
    outcome: Literal["wait", "suggest", "revoke", "end"]
    at_ms: int  # of the session's audio
    evidence: Evidence
    decision: Decision | None = None  # None: the silence alone counted


@dataclass(frozen=True, slots=True)
class ReportDismissal:
    """Sound that began while the assistant was heard did not interrupt it."""

    reason: Literal["short", "echo", "backchannel"]
    start_ms: int  # of the session's audio
    end_ms: int


# --- Responses ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStyle:
    """How a response is to be spoken."""

    model: str
    voice: str
    speed: float
    format: AudioFormat
    language: str | None = None  # BCP 47; None: that of the voice, or what the model finds
    settings: Mapping[str, Any] = field(default_factory=dict)  # as in `TtsOptions`


@dataclass(frozen=True, slots=True)
class StartGeneration:
    response_id: str
    model: str
    request: LlmRequest
    speech: SpeechStyle | None  # None: text only
    speculative: bool = False  # the turn that it answers may yet go on


@dataclass(frozen=True, slots=True)
class Speak:
    """One more clause of the reply, ready to be spoken."""

    response_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FinishSpeaking:
    """No more clauses will come."""

    response_id: str


@dataclass(frozen=True, slots=True)
class StopGeneration:
    """Stop the model and the voice of this response; nothing more of it is wanted."""

    response_id: str


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """Players of the server's own fall silent, and answer with `PlaybackStopped`."""

    unheard: float  # seconds of speech that were sent and will probably not be played


@dataclass(frozen=True, slots=True)
class ReportSpeculation:
    """What became of a reply that was prepared in advance: it was used, or nobody wanted it."""

    response_id: str
    outcome: Literal["used", "revoked", "outdated", "failed"]
    seconds: float  # that it had been worked on


@dataclass(frozen=True, slots=True)
class ReportRoute:
    """A router decided for this response (llm, tts) or this item (stt)."""

    stage: Literal["llm", "stt", "tts"]
    subject_id: str
    route: RouteTaken


@dataclass(frozen=True, slots=True)
class ReportFirstOutput:
    """The first text or audio of a response left the engine, `seconds` after it was asked for."""

    response_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ReportTruncation:
    """The context of a response was too long: `items` of its oldest items left, about `tokens` remain."""

    response_id: str
    items: int
    tokens: int


# --- Tools that the server runs itself -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListTools:
    """Ask an MCP server what it offers; answered by `ToolsListed` or `ListingFailed`."""

    item_id: str
    server: McpServer


@dataclass(frozen=True, slots=True)
class RunTool:
    """Make a call; answered by `ToolAnswered`. `StopGeneration` of its response stops it."""

    response_id: str
    call_id: str
    target: McpServer | WebSearch
    name: str  # as the MCP server knows it
    arguments: str  # JSON text as the model wrote it


@dataclass(frozen=True, slots=True)
class ReportToolCall:
    """A call that the server made is over."""

    response_id: str
    tool: str  # such as "mcp/docs/search" or "web_search"
    outcome: Literal["completed", "failed", "cancelled"]
    seconds: float


Effect = (
    Emit
    | Configure
    | StartUtterance
    | EndSegment
    | EndUtterance
    | DropUtterance
    | DropAudio
    | KeepClip
    | TranscribeClip
    | CutAudio
    | ForgetItem
    | JudgeTurn
    | CheckEcho
    | SetDeadline
    | ReportTurnDecision
    | ReportDismissal
    | StartGeneration
    | Speak
    | FinishSpeaking
    | StopGeneration
    | StopPlayback
    | ReportSpeculation
    | ReportRoute
    | ReportFirstOutput
    | ReportTruncation
    | ListTools
    | RunTool
    | ReportToolCall
)
