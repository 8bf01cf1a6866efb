"""What the engine wants done. It returns these; the session carries them out, in order."""

from dataclasses import dataclass, field

from pipeline.config import AudioFormat, SessionConfig
from pipeline.events import Event
from providers.contracts import LlmRequest, SttOptions

__all__ = [
    "Configure",
    "CutAudio",
    "DropAudio",
    "DropUtterance",
    "Effect",
    "Emit",
    "EndUtterance",
    "FinishSpeaking",
    "ForgetItem",
    "KeepClip",
    "ReportFirstOutput",
    "ReportTruncation",
    "Speak",
    "SpeechStyle",
    "StartGeneration",
    "StartUtterance",
    "StopGeneration",
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


# --- Responses ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStyle:
    """How a response is to be spoken."""

    model: str
    voice: str
    speed: float
    format: AudioFormat


@dataclass(frozen=True, slots=True)
class StartGeneration:
    response_id: str
    model: str
    request: LlmRequest
    speech: SpeechStyle | None  # None: text only


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


Effect = (
    Emit
    | Configure
    | StartUtterance
    | EndUtterance
    | DropUtterance
    | DropAudio
    | KeepClip
    | TranscribeClip
    | CutAudio
    | ForgetItem
    | StartGeneration
    | Speak
    | FinishSpeaking
    | StopGeneration
    | ReportFirstOutput
    | ReportTruncation
)
