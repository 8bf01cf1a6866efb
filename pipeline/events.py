"""What a session tells its clients, as facts without a wire shape; dialects turn them into JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.config import AudioConfig, AudioFormat, SessionConfig
from pipeline.errors import InvalidRequest
from pipeline.items import Item
from providers.contracts import SttUsage, TokenLogprob, TranscriptSegment

__all__ = [
    "BACKCHANNEL_RATE",
    "AudioDelta",
    "AudioDone",
    "BackchannelAudio",
    "BackchannelDone",
    "BackchannelSkipped",
    "BufferCleared",
    "BufferCommitted",
    "CallArgumentsDelta",
    "CallArgumentsDone",
    "ErrorRaised",
    "Event",
    "IdleTimeout",
    "ItemAdded",
    "ItemDeleted",
    "ItemDone",
    "ItemRetrieved",
    "ItemTruncated",
    "McpArgumentsDelta",
    "McpArgumentsDone",
    "McpCallProgress",
    "McpListingProgress",
    "OutputItemAdded",
    "OutputItemDone",
    "Part",
    "PartAdded",
    "PartDone",
    "RateLimit",
    "RateLimitsUpdated",
    "ResponseCreated",
    "ResponseDone",
    "ResponseState",
    "ResponseStatus",
    "SessionCreated",
    "SessionUpdated",
    "SpeechStarted",
    "SpeechStopped",
    "StatusDetails",
    "TextDelta",
    "TextDone",
    "TranscriptDelta",
    "TranscriptDone",
    "TranscriptionCompleted",
    "TranscriptionDelta",
    "TranscriptionFailed",
    "TranscriptionSegment",
    "TurnSuggested",
    "TurnSuggestionRevoked",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class SessionCreated:
    config: SessionConfig
    conversation_id: str


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    config: SessionConfig


@dataclass(frozen=True, slots=True)
class ErrorRaised:
    """Something could not be done; the session goes on."""

    error: InvalidRequest
    client_event_id: str | None
    kind: Literal["invalid_request_error", "server_error"] = "invalid_request_error"


# --- Input audio -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    audio_start_ms: int  # since the first audio of the session, prefix padding taken off


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    audio_end_ms: int  # includes the silence that ended the turn


@dataclass(frozen=True, slots=True)
class TurnSuggested:
    """The speaker may have finished; the turn ends later, unless speech goes on. An extension of ours."""

    item_id: str
    utterance_index: int  # of the turn in its session, from 0
    probability: float
    trailing_silence_ms: int
    audio_duration_ms: int  # of the turn so far, the silence included
    inference_ms: float


@dataclass(frozen=True, slots=True)
class TurnSuggestionRevoked:
    """The speaker went on after all."""

    item_id: str
    utterance_index: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """Nobody has spoken for as long as the session waits; the silence is committed as this item."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class BufferCommitted:
    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class BufferCleared:
    pass


@dataclass(frozen=True, slots=True)
class TranscriptionDelta:
    item_id: str
    delta: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TranscriptionSegment:
    item_id: str
    segment: TranscriptSegment


@dataclass(frozen=True, slots=True)
class TranscriptionCompleted:
    item_id: str
    transcript: str
    seconds: float  # of audio transcribed
    logprobs: tuple[TokenLogprob, ...] = ()
    languages: tuple[str, ...] | None = None  # by code; None where the engine does not say
    usage: SttUsage | None = None  # None: counted in seconds
    # How the voice sounds, in Inworld's shape; None where nobody asked, or the engine does not say.
    voice_profile: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    item_id: str
    code: str
    message: str


# --- Items -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemAdded:
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class ItemDone:
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class ItemRetrieved:
    item: Item  # with its audio: PCM16 mono at the rates of the session's formats
    audio: AudioConfig  # in whose formats that audio goes out


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    content_index: int
    audio_end_ms: int


# --- Responses ---------------------------------------------------------------------------------------

ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class StatusDetails:
    """Why a response did not complete: `reason`, or for a failure `code` and `message`."""

    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"] | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the language model read and wrote. It never hears or makes audio, so all are text."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ResponseState:
    """The response object of the wire."""

    id: str
    status: ResponseStatus
    conversation_id: str | None
    output_modalities: tuple[Literal["text", "audio"], ...]
    voice: str
    format: AudioFormat
    max_output_tokens: int | None
    output: tuple[Item, ...] = ()
    details: StatusDetails | None = None
    usage: Usage | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    response: ResponseState


@dataclass(frozen=True, slots=True)
class ResponseDone:
    response: ResponseState


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of one quota."""

    name: Literal["requests", "tokens"]
    limit: int  # per minute
    remaining: int
    reset_seconds: float  # until nothing of it is used any more


@dataclass(frozen=True, slots=True)
class RateLimitsUpdated:
    """Follows every `ResponseDone` of a session that has a quota."""

    limits: tuple[RateLimit, ...]


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    response_id: str
    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    response_id: str
    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class Part:
    """Where in a response something is: the address that all part-level events carry."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class PartAdded:
    part: Part
    kind: Literal["text", "audio"]


@dataclass(frozen=True, slots=True)
class PartDone:
    part: Part
    kind: Literal["text", "audio"]
    text: str  # of an audio part: its transcript


@dataclass(frozen=True, slots=True)
class TextDelta:
    part: Part
    delta: str


@dataclass(frozen=True, slots=True)
class TextDone:
    part: Part
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    part: Part
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    part: Part
    transcript: str


@dataclass(frozen=True, slots=True)
class AudioDelta:
    part: Part
    pcm: bytes  # PCM16 mono at the format's rate
    format: AudioFormat  # how the response's speech goes out


@dataclass(frozen=True, slots=True)
class AudioDone:
    part: Part


@dataclass(frozen=True, slots=True)
class CallArgumentsDelta:
    part: Part
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class CallArgumentsDone:
    part: Part
    call_id: str
    name: str
    arguments: str


# --- Tools that the server runs itself ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McpListingProgress:
    item_id: str
    stage: Literal["in_progress", "completed", "failed"]


@dataclass(frozen=True, slots=True)
class McpArgumentsDelta:
    part: Part
    delta: str


@dataclass(frozen=True, slots=True)
class McpArgumentsDone:
    part: Part
    arguments: str


@dataclass(frozen=True, slots=True)
class McpCallProgress:
    part: Part
    stage: Literal["in_progress", "completed", "failed"]


# --- Listener sounds: beside every response, and never part of the conversation -----------------------


BACKCHANNEL_RATE = 24_000  # Hertz of listener sounds, whatever the session's formats are


@dataclass(frozen=True, slots=True)
class BackchannelAudio:
    backchannel_id: str
    pcm: bytes  # at `BACKCHANNEL_RATE`


@dataclass(frozen=True, slots=True)
class BackchannelDone:
    backchannel_id: str
    phrase: str


@dataclass(frozen=True, slots=True)
class BackchannelSkipped:
    backchannel_id: str
    reason: str  # such as "deadline_missed"


Event = (
    SessionCreated
    | SessionUpdated
    | ErrorRaised
    | SpeechStarted
    | SpeechStopped
    | TurnSuggested
    | TurnSuggestionRevoked
    | IdleTimeout
    | BufferCommitted
    | BufferCleared
    | TranscriptionDelta
    | TranscriptionSegment
    | TranscriptionCompleted
    | TranscriptionFailed
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemDeleted
    | ItemTruncated
    | ResponseCreated
    | ResponseDone
    | RateLimitsUpdated
    | OutputItemAdded
    | OutputItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | TranscriptDelta
    | TranscriptDone
    | AudioDelta
    | AudioDone
    | CallArgumentsDelta
    | CallArgumentsDone
    | McpListingProgress
    | McpArgumentsDelta
    | McpArgumentsDone
    | McpCallProgress
    | BackchannelAudio
    | BackchannelDone
    | BackchannelSkipped
)
