"""What the engine can be told: orders from the client, and facts from the engines behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.config import Patch
from pipeline.errors import InvalidRequest
from pipeline.items import Item, ItemReference, ToolFailure
from providers.contracts import LlmUsage, RouteTaken, SttUsage, TextMark, TokenLogprob, TranscriptSegment
from providers.tools.contracts import RemoteTool

__all__ = [
    "AudioAppended",
    "CancelResponse",
    "ClearAudio",
    "ClientCommand",
    "Command",
    "CommitAudio",
    "CreateItem",
    "CreateResponse",
    "DeadlinePassed",
    "DeleteItem",
    "EchoJudged",
    "EndOfTurnHeard",
    "EngineFact",
    "FrameScored",
    "GenerationFailed",
    "GenerationFinished",
    "LeaveOut",
    "ListingFailed",
    "PlaybackStopped",
    "Refuse",
    "ResponseParams",
    "ResponseRouted",
    "RetrieveItem",
    "SpeakerHeard",
    "SpeechFinished",
    "SpeechSynthesized",
    "StartSession",
    "TextGenerated",
    "ToolAnswered",
    "ToolCallGenerated",
    "ToolCallOpened",
    "ToolsListed",
    "TranscriptGrew",
    "TranscriptGuessed",
    "TranscriptReady",
    "TranscriptionBroke",
    "TruncateItem",
    "TurnJudged",
    "UpdateSession",
    "UtteranceRouted",
]


# --- Orders. `event_id` is the client's own id of its event, echoed by an error. ---------------------


@dataclass(frozen=True, slots=True)
class StartSession:
    """The client is connected and can hear us."""

    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """An event that could not be understood at all; it keeps its place in the order of answers."""

    error: InvalidRequest
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateSession:
    patch: Patch
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CommitAudio:
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClearAudio:
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreateItem:
    """`item.id` is empty when the client left the choice to us. `previous_item_id` None appends."""

    item: Item
    previous_item_id: str | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    item_id: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseParams:
    """The overrides of one response. `overrides` holds session members by their wire names."""

    overrides: Patch = field(default_factory=dict)
    in_conversation: bool = True
    input: tuple[Item | ItemReference, ...] | None = None  # None: the conversation so far
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class CreateResponse:
    params: ResponseParams = field(default_factory=ResponseParams)
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response_id: str | None = None
    event_id: str | None = None


ClientCommand = (
    StartSession
    | Refuse
    | UpdateSession
    | CommitAudio
    | ClearAudio
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)


# --- Facts. Positions are ticks (1/16000 s) of input audio since the session began. -------------------


@dataclass(frozen=True, slots=True)
class AudioAppended:
    end: int  # ticks received in all


@dataclass(frozen=True, slots=True)
class FrameScored:
    """The detector's verdict on the audio from `start` to `end`."""

    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """How likely the turn of that item is over, from its audio up to `position`."""

    item_id: str
    position: int
    probability: float | None  # None: nobody could say
    inference_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class EchoJudged:
    """Whether the audio that `CheckEcho` named is the assistant's own voice coming back."""

    start: int
    end: int
    is_echo: bool | None  # None: more of it has to be heard


# A turn may be transcribed in several segments; those of one turn are told apart by their number.


@dataclass(frozen=True, slots=True)
class TranscriptGrew:
    item_id: str
    text: str  # what to append
    logprobs: tuple[TokenLogprob, ...] = ()
    segment: int = 0


@dataclass(frozen=True, slots=True)
class TranscriptGuessed:
    """What the segment would be if nothing more was said."""

    item_id: str
    text: str
    segment: int = 0


@dataclass(frozen=True, slots=True)
class EndOfTurnHeard:
    """The transcription's own opinion on whether the speaker has finished (0..1)."""

    item_id: str
    probability: float
    segment: int = 0


@dataclass(frozen=True, slots=True)
class SpeakerHeard:
    """A stretch of an utterance was given to a speaker."""

    item_id: str
    segment: TranscriptSegment


@dataclass(frozen=True, slots=True)
class TranscriptReady:
    item_id: str
    text: str
    content_index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    languages: tuple[str, ...] | None = None
    usage: SttUsage | None = None
    segment: int = 0
    voice_profile: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionBroke:
    item_id: str
    code: str
    message: str
    content_index: int = 0
    segment: int = 0


@dataclass(frozen=True, slots=True)
class UtteranceRouted:
    """A router chose who transcribes."""

    item_id: str
    route: RouteTaken


@dataclass(frozen=True, slots=True)
class ResponseRouted:
    """A router chose the model or the voice of a response."""

    response_id: str
    stage: Literal["llm", "tts"]
    route: RouteTaken


@dataclass(frozen=True, slots=True)
class TextGenerated:
    response_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallOpened:
    response_id: str
    index: int  # the model's own count of its calls
    call_id: str
    name: str
    state: str = ""  # what the model's maker wants back with the call


@dataclass(frozen=True, slots=True)
class ToolCallGenerated:
    response_id: str
    index: int
    arguments: str  # what to append


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """The model has said all it will say; speech may still follow."""

    response_id: str
    reason: Literal["stop", "tool_calls", "length", "content_filter"]
    usage: LlmUsage | None = None


@dataclass(frozen=True, slots=True)
class GenerationFailed:
    response_id: str
    code: str
    message: str
    started: bool = True  # False where the model was not even asked, so that nothing was used


@dataclass(frozen=True, slots=True)
class SpeechSynthesized:
    """Speech at the response's output rate. Marks count samples and characters of the whole reply."""

    response_id: str
    pcm: bytes
    marks: tuple[TextMark, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechFinished:
    response_id: str


@dataclass(frozen=True, slots=True)
class ToolsListed:
    item_id: str
    tools: tuple[RemoteTool, ...]


@dataclass(frozen=True, slots=True)
class ListingFailed:
    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A tool that the server ran has an output, or has failed."""

    response_id: str
    call_id: str
    output: str | None
    failure: ToolFailure | None = None


@dataclass(frozen=True, slots=True)
class PlaybackStopped:
    """The server's own player has fallen silent after so much of that item."""

    item_id: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """These items are known to the model in other words: its contexts do without them from now on."""

    item_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The moment that `SetDeadline` named has come."""


EngineFact = (
    AudioAppended
    | FrameScored
    | TurnJudged
    | EchoJudged
    | TranscriptGrew
    | TranscriptGuessed
    | EndOfTurnHeard
    | SpeakerHeard
    | TranscriptReady
    | TranscriptionBroke
    | UtteranceRouted
    | ResponseRouted
    | TextGenerated
    | ToolCallOpened
    | ToolCallGenerated
    | GenerationFinished
    | GenerationFailed
    | SpeechSynthesized
    | SpeechFinished
    | ToolsListed
    | ListingFailed
    | ToolAnswered
    | PlaybackStopped
    | LeaveOut
    | DeadlinePassed
)

Command = ClientCommand | EngineFact
