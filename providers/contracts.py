"""The engine contracts (VAD, end of turn, STT, LLM, TTS) and the values they exchange.

House rules for every engine:

- Audio is signed 16-bit little-endian mono PCM in `bytes`; the engine declares its sample rate in Hertz.
- Nothing blocks the event loop: an engine that computes does so in a thread of its own.
- A stream is an async generator. Closing it (`aclose()`, or cancelling the task that iterates it) stops the
  work at once and frees what it holds; nothing needs to be drained.
- Failures are raised as `providers.errors.ProviderError`, never as a foreign library's exception.
- Engines are shared by all sessions and hold no state of any of them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

__all__ = [
    "AssistantMessage",
    "Attempt",
    "Caller",
    "EndOfTurn",
    "FunctionTool",
    "ImagePart",
    "Llm",
    "LlmEvent",
    "LlmFinished",
    "LlmRequest",
    "LlmUsage",
    "Message",
    "ModelInfo",
    "NamedToolChoice",
    "RouteTaken",
    "SpeechChunk",
    "Stt",
    "SttEvent",
    "SttOptions",
    "SttUsage",
    "SystemMessage",
    "TextDelta",
    "TextMark",
    "TextPart",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolChoice",
    "ToolMessage",
    "TranscriptDelay",
    "TranscriptDelta",
    "TranscriptFinal",
    "TranscriptGuess",
    "TranscriptSegment",
    "Tts",
    "TtsOptions",
    "TurnModel",
    "UserMessage",
    "Vad",
    "VadFrame",
    "Voice",
    "Warmable",
]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model that a provider offers, as listed by `GET /v1/models`."""

    id: str  # without the provider's name
    kind: Literal["llm", "stt", "tts", "vad", "turn"]
    streams: str = ""  # what it takes or gives piece by piece, in words for a table
    languages: str = ""  # in words for a table, such as "en" or "60+"
    word_timings: bool = False


@runtime_checkable
class Warmable(Protocol):
    """An engine that can prepare for its first request, such as by opening a connection."""

    async def warm(self) -> None:
        """Prepare, within seconds. Never raises: the request tells what is wrong. Cheap to repeat."""


# --- Whom a request is for, and where a router sent it ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is. Routers decide by it; engines may pass the user's id on."""

    session_id: str = ""
    user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)  # as the client gave it; texts, mostly


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model that a router tried."""

    model: str  # canonical
    error: str | None  # a `ProviderError.code`; None for the one that answered
    seconds: float  # until the first piece of the answer, or until it was given up


@dataclass(frozen=True, slots=True)
class RouteTaken:
    """What a router decided, told before anything else of a stream; other engines tell no such thing."""

    router: str
    route: str
    variant: str
    model: str  # canonical, of the engine that answers
    reason: str  # why this one, in a few words
    attempts: tuple[Attempt, ...]


# --- Voice activity detection ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VadFrame:
    """One frame of one stream, waiting for inference."""

    stream: Any  # what `Vad.new_stream` returned; the engine updates it in place
    pcm: bytes  # exactly `Vad.frame_samples` samples


class Vad(Protocol):
    """Says how likely each frame is speech. State lives per stream, inference is shared by all streams."""

    sample_rate: int  # Hertz
    frame_samples: int

    def new_stream(self) -> Any:
        """Fresh state for one audio stream; opaque to the caller."""

    def infer(self, frames: Sequence[VadFrame]) -> list[float]:
        """The speech probability (0..1) of each frame, in one batched call.

        Synchronous and CPU-bound: call it from a worker thread. A stream may occur once per call, and its
        frames must be given in order. Results do not depend on what else is in the batch.
        """


# --- End of turn -------------------------------------------------------------------------------------


class TurnModel(Protocol):
    """Says how likely it is, by its sound, that a speaker who has just paused has finished."""

    sample_rate: int  # Hertz
    window_seconds: float  # it listens to no more than the end of what it is given

    def probability(self, pcm: bytes) -> float:
        """How likely (0..1) the turn is over, given its audio so far with the pause at the end.

        Synchronous and CPU-bound, some 40 ms: call it from a worker thread. Raises `ProviderError`.
        """


# --- Speech to text ----------------------------------------------------------------------------------


TranscriptDelay = Literal["minimal", "low", "medium", "high", "xhigh"]


@dataclass(frozen=True, slots=True)
class SttOptions:
    """Hints for one utterance."""

    language: str | None = None  # ISO 639-1 or BCP 47; None lets the engine detect it
    prompt: str | None = None  # free text that the engine may use as context
    languages: tuple[str, ...] = ()  # those that may be spoken, instead of `language`
    keywords: tuple[str, ...] = ()  # names and terms that are likely to be said
    delay: TranscriptDelay | None = None  # how long deltas may wait to be more often right
    logprobs: bool = False  # whether anybody wants the probabilities of tokens
    caller: Caller = field(default_factory=Caller)
    # What the client asks of this one provider, beyond the protocol; each takes what it knows and is valid.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How sure the engine was of one token."""

    token: str
    logprob: float  # natural logarithm
    data: bytes  # the token in UTF-8, of which it may be only a piece


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """Text to append to what was sent before; never revised."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TranscriptGuess:
    """The text of all that was heard so far, as it looks now; the next guess, or the final, may differ."""

    text: str


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The engine's own sign that the speaker has finished; a low one takes back a high one."""

    probability: float  # 0..1


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """A stretch of the utterance by one speaker, from engines that tell speakers apart."""

    id: str
    text: str
    speaker: str
    start: float  # seconds since the utterance began
    end: float


@dataclass(frozen=True, slots=True)
class SttUsage:
    """Tokens, from engines that count them. Text tokens of the input are those of the prompt."""

    input_tokens: int
    output_tokens: int
    text_tokens: int = 0
    audio_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    """The authoritative text of the whole utterance; the last event of a stream."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    languages: tuple[str, ...] | None = None  # as detected, by code; None where the engine does not say
    usage: SttUsage | None = None
    # How the voice sounds (age, emotion, pitch ...), in Inworld's shape; None where the engine does not say.
    voice_profile: Mapping[str, Any] | None = None


SttEvent = RouteTaken | TranscriptDelta | TranscriptGuess | EndOfTurn | TranscriptSegment | TranscriptFinal


class Stt(Protocol):
    """Transcribes one utterance per stream."""

    sample_rate: int  # of the PCM that it wants, in Hertz
    streaming: bool  # whether deltas arrive while the speaker is still talking

    def transcribe(self, audio: AsyncIterator[bytes], options: SttOptions) -> AsyncGenerator[SttEvent, None]:
        """Yield deltas and segments, then exactly one `TranscriptFinal` once `audio` has ended.

        `audio` yields chunks of any whole number of samples, as they arrive. No speech gives an empty final.
        """


# --- Language model ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    url: str  # a data: URI or an address
    detail: str = "auto"


@dataclass(frozen=True, slots=True)
class SystemMessage:
    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    parts: tuple[TextPart | ImagePart, ...]

    @property
    def text(self) -> str:
        """The text parts joined by spaces."""
        return " ".join(part.text for part in self.parts if isinstance(part, TextPart) and part.text)


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str  # a JSON object as text
    state: str = ""  # as `ToolCallStarted.state`


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """The output of one call; always directly behind the assistant message that holds the call."""

    call_id: str
    name: str
    output: str


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


@dataclass(frozen=True, slots=True)
class FunctionTool:
    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None  # a JSON Schema object


@dataclass(frozen=True, slots=True)
class NamedToolChoice:
    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedToolChoice


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """Everything that one generation needs; the model's name is the engine's own."""

    messages: tuple[Message, ...]
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None  # None: as many as the model allows
    reasoning_effort: str | None = None  # none, minimal, low, medium, high or xhigh; for models that reason
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()  # texts that end the answer
    seed: int | None = None  # asks for the same answer to the same request
    repetition_penalty: float | None = None  # above 1: less of what was already said
    logit_bias: Mapping[str, float] | None = None  # -100..100 by the id of a token
    reasoning_tokens: int | None = None  # at most, for models that take a number
    caller: Caller = field(default_factory=Caller)


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A call begins; its arguments follow as deltas. `index` is unique within the stream.

    `state` is what its maker wants back with the call, such as a signed thought: a JSON object whose only
    member is named after the kind of provider, so that another kind's engine drops it as foreign.
    """

    index: int
    id: str
    name: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    index: int
    arguments: str  # a piece of the JSON text; the pieces of a call without arguments add up to "{}"


@dataclass(frozen=True, slots=True)
class LlmUsage:
    """Token counts. `cached_tokens` is a part of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class LlmFinished:
    """The last event of a stream. `usage` is None where the provider did not say."""

    reason: Literal["stop", "tool_calls", "length", "content_filter"]
    usage: LlmUsage | None = None


LlmEvent = RouteTaken | TextDelta | ToolCallStarted | ToolCallDelta | LlmFinished


class Llm(Protocol):
    """Answers one request per stream."""

    def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield text and tool calls as they come, then exactly one `LlmFinished`."""


# --- Text to speech ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Voice:
    id: str
    name: str
    language: str = ""  # BCP 47, empty when not known


@dataclass(frozen=True, slots=True)
class TtsOptions:
    voice: str  # an id from `Tts.voices`, or any name where the engine cannot list its voices
    speed: float = 1.0  # 0.25..1.5; an engine is only asked for what its `speeds` allow
    instructions: str | None = None  # how to speak, for engines that can be told
    language: str | None = None  # BCP 47; None: that of the voice, or what the engine finds
    caller: Caller = field(default_factory=Caller)
    settings: Mapping[str, Any] = field(default_factory=dict)  # as in `SttOptions`


@dataclass(frozen=True, slots=True)
class TextMark:
    """A word border: once `samples` samples have been played, the first `chars` characters were heard.

    Both count from the start of the stream; `chars` counts over the joined text segments.
    """

    chars: int
    samples: int


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of speech. `marks` may point into audio that later chunks carry."""

    pcm: bytes  # whole samples; may be empty when only marks are known
    marks: tuple[TextMark, ...] = field(default=())
    route: RouteTaken | None = None  # on the first chunk of a stream that a router sent on


class Tts(Protocol):
    """Speaks one reply per stream.

    Text comes without Markdown, addresses and pictures, as words to speak. A voice that reads figures, dates
    and money badly has a `reads_numbers` that is False, and gets words for them, too, in English.
    """

    sample_rate: int  # of the PCM that it yields, in Hertz
    voices: tuple[Voice, ...] | None  # None: they cannot be listed, so any name is passed through
    speeds: tuple[float, float]  # slowest and fastest by its own means; (1.0, 1.0): it has one speed
    tags: str  # a regular expression of marks in the text that it understands, such as "<break.*?/>"; or ""

    def knows_voice(self, voice: str) -> bool:
        """Whether `voice` can be spoken with; true for any name where voices cannot be listed.

        May accept more than `voices` lists, such as combinations of a voice and a variant.
        """

    def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Yield speech for the segments of `text` as they arrive; the first bytes as soon as they exist.

        Segments are clauses that can be spoken on their own, with the white space around them kept, so that
        joining them gives the whole text.
        """
