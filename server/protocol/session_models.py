"""The session object as clients send it, whole or in parts, and its translation to a patch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.config import (
    G711,
    AudioFormat,
    FormatType,
    Patch,
    Prompt,
    Reasoning,
    ReasoningEffort,
    RetentionRatio,
    SessionType,
)
from pipeline.errors import InvalidRequest
from pipeline.items import InputText
from providers.contracts import FunctionTool, NamedToolChoice, TranscriptDelay
from server.protocol.profiles import PARLEY, Profile, is_strict
from server.protocol.validation import WireModel, validate

__all__ = [
    "FORMAT_NAMES",
    "AudioOutput",
    "Metadata",
    "Modalities",
    "ResponseConfig",
    "Voice",
    "read_session",
    "session_patch",
]

PCM_RATES = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
OPENAI_RATE = 24_000
G711_RATE = 8_000
FORMAT_NAMES = {
    "pcm16": {"type": "audio/pcm", "rate": 24_000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
    "float32": {"type": "audio/float32", "rate": 24_000},
}
_OPENAI_FORMATS: tuple[FormatType, ...] = ("audio/pcm", "audio/pcmu", "audio/pcma")
_MAX_TOOLS = 128  # as upstream providers have it
_MAX_PROMPT_VARIABLES = 256
_MAX_METADATA_PAIRS = 16
_MAX_METADATA_CHARS = 512  # of a value

MetadataKey = Annotated[str, Field(max_length=64)]
Metadata = Annotated[
    dict[MetadataKey, Annotated[str, Field(max_length=_MAX_METADATA_CHARS)]],
    Field(max_length=_MAX_METADATA_PAIRS),
]


def _format_from_name(value: Any, info: ValidationInfo) -> Any:
    """Older clients name a format by a string."""
    if isinstance(value, str) and not is_strict(info.context):
        if value not in FORMAT_NAMES:
            raise _bad_value(value, [*FORMAT_NAMES, "an object such as {'type': 'audio/pcm', 'rate': 24000}"])
        return FORMAT_NAMES[value]
    return value


def _bad_value(value: Any, supported: list[Any]) -> PydanticCustomError:
    # The code rides in the error's type; braces would be read as a template, so the text is an argument.
    return PydanticCustomError(
        "literal_error",
        "unsupported",
        {"expected": ", ".join(str(entry) for entry in supported), "input": value},
    )


class Format(WireModel):
    wanted_by_openai: ClassVar = frozenset({"type"})

    type: FormatType = "audio/pcm"
    rate: int | None = None

    @field_validator("type")
    @classmethod
    def _known_type(cls, type: FormatType, info: ValidationInfo) -> FormatType:
        if is_strict(info.context) and type not in _OPENAI_FORMATS:
            raise _bad_value(type, list(_OPENAI_FORMATS))
        return type

    @field_validator("rate")
    @classmethod
    def _known_rate(cls, rate: int | None, info: ValidationInfo) -> int | None:
        rates = (OPENAI_RATE,) if is_strict(info.context) else PCM_RATES
        if info.data.get("type") in G711:
            rates = (G711_RATE,)
        if rate is not None and rate not in rates:
            raise _bad_value(rate, list(rates))
        return rate

    def unknown_to_openai(self) -> list[str]:
        """The rate of G.711 is part of its type."""
        foreign = {"rate"} & self.model_fields_set if self.type in G711 else ()
        return [*super().unknown_to_openai(), *foreign]

    def value(self) -> AudioFormat:
        """As the session knows it."""
        return AudioFormat(self.type, self.rate or (G711_RATE if self.type in G711 else OPENAI_RATE))


AnyFormat = Annotated[Format, BeforeValidator(_format_from_name)]


# A word or an object: told apart by shape, so that a fault in the object is reported at its own place.
_WORD_OR_OBJECT = Discriminator(lambda value: "object" if isinstance(value, dict | WireModel) else "word")


class CustomVoice(WireModel):
    id: str = Field(min_length=1, max_length=256)


Voice = Annotated[
    Annotated[str, Field(min_length=1, max_length=256), Tag("word")] | Annotated[CustomVoice, Tag("object")],
    _WORD_OR_OBJECT,
]


_Language = Annotated[str, Field(min_length=1, max_length=64)]
# Upstream refuses angle brackets and line ends, which would let a keyword pass for markup of the prompt.
_Keyword = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^<>\r\n]*$")]


class TranscriptionConfig(WireModel):
    model: str | None = Field(None, max_length=256)
    language: str | None = Field(None, max_length=64)
    prompt: str | None = Field(None, max_length=16_384)
    languages: Annotated[list[_Language], Field(min_length=1, max_length=64)] | None = None
    keywords: Annotated[list[_Keyword], Field(max_length=1000)] | None = None
    delay: TranscriptDelay | None = None

    @field_validator("languages")
    @classmethod
    def _one_way_to_say_it(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if value is not None and info.data.get("language") is not None:
            raise PydanticCustomError("value_error", "give either language or languages, not both")
        return value


class NoiseReductionConfig(WireModel):
    type: Literal["near_field", "far_field"] | None = None
    strength: float | None = Field(None, ge=0, le=1)


_OF_SERVER_VAD = frozenset({"threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"})
_OF_SEMANTIC_VAD = frozenset({"eagerness"})


class TurnDetectionConfig(WireModel):
    """Members of both types; those of the other type are ignored, or refused where OpenAI is followed."""

    type: Literal["server_vad", "semantic_vad"] | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(None, ge=0, le=10_000)
    silence_duration_ms: int | None = Field(None, ge=0, le=60_000)
    idle_timeout_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    eagerness: Literal["low", "medium", "high", "auto"] | None = None

    @field_validator("idle_timeout_ms")
    @classmethod
    def _in_range(cls, value: int | None) -> int | None:
        if value in (None, 0):  # 0 is off as well
            return None
        assert value is not None
        if value < 5000:
            raise PydanticCustomError("greater_than_equal", "too small", {"ge": 5000})
        if value > 30_000:
            raise PydanticCustomError("less_than_equal", "too large", {"le": 30_000})
        return value

    def unknown_to_openai(self) -> list[str]:
        foreign = {"server_vad": _OF_SEMANTIC_VAD, "semantic_vad": _OF_SERVER_VAD}.get(
            self.type or "", frozenset()
        )
        return [*WireModel.unknown_to_openai(self), *sorted(self.model_fields_set & foreign)]


class AudioInput(WireModel):
    format: AnyFormat | None = None
    transcription: TranscriptionConfig | None = None
    noise_reduction: NoiseReductionConfig | None = None
    turn_detection: TurnDetectionConfig | None = None


class AudioOutput(WireModel):
    beyond_openai: ClassVar = frozenset({"model"})

    format: AnyFormat | None = None
    voice: Voice | None = None
    speed: float | None = Field(None, ge=0.25, le=1.5)
    model: str | None = Field(None, max_length=256)


class Audio(WireModel):
    input: AudioInput | None = None
    output: AudioOutput | None = None


class Tool(WireModel):
    wanted_by_openai: ClassVar = frozenset({"type"})

    type: Literal["function"] = "function"
    # What language models accept; refused here, or the response would fail much later.
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


def _distinct_names(tools: list[Tool] | None) -> list[Tool] | None:
    names = [tool.name for tool in tools or ()]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PydanticCustomError("value_error", "two tools have the name '{name}'", {"name": twice})
    return tools


class NamedChoice(WireModel):
    type: Literal["function"]
    name: str = Field(min_length=1, max_length=64)


def _token_limit(value: Any) -> Any:
    if value is None or value == "inf":
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("int_type", "not an integer")
    if value < 1:
        raise PydanticCustomError("greater_than_equal", "too small", {"ge": 1})
    if value > 4096:
        raise PydanticCustomError("less_than_equal", "too large", {"le": 4096})
    return value


class PromptText(WireModel):
    type: Literal["input_text"]
    text: str


PromptVariable = Annotated[
    Annotated[str, Tag("word")] | Annotated[PromptText, Tag("object")], _WORD_OR_OBJECT
]


class PromptConfig(WireModel):
    id: str = Field(min_length=1, max_length=256)
    version: str | None = Field(None, max_length=256)
    variables: Annotated[dict[str, PromptVariable], Field(max_length=_MAX_PROMPT_VARIABLES)] | None = None

    def value(self) -> Prompt:
        """As the session knows it."""
        if self.variables is None:
            return Prompt(self.id, self.version)
        texts = {k: InputText(v.text) if isinstance(v, PromptText) else v for k, v in self.variables.items()}
        return Prompt(self.id, self.version, texts)


class ReasoningConfig(WireModel):
    effort: ReasoningEffort | None = None

    def value(self) -> Reasoning:
        """As the session knows it."""
        return Reasoning(self.effort)


def _short(value: Any) -> Any:
    """Traces may hold anything, but not much of it."""
    if len(value if isinstance(value, str) else str(value)) > _MAX_METADATA_CHARS:
        raise PydanticCustomError("string_too_long", "too long", {"max_length": _MAX_METADATA_CHARS})
    return value


class Tracing(WireModel):
    workflow_name: str | None = Field(None, max_length=_MAX_METADATA_CHARS)
    group_id: str | None = Field(None, max_length=_MAX_METADATA_CHARS)
    metadata: (
        Annotated[
            dict[MetadataKey, Annotated[Any, AfterValidator(_short)]], Field(max_length=_MAX_METADATA_PAIRS)
        ]
        | None
    ) = None


class TokenLimits(WireModel):
    post_instructions: int | None = Field(None, ge=0)


class RetentionRatioConfig(WireModel):
    type: Literal["retention_ratio"]
    retention_ratio: float = Field(ge=0.0, le=1.0)
    token_limits: TokenLimits | None = None

    def value(self) -> RetentionRatio:
        """As the session knows it."""
        limit = None if self.token_limits is None else self.token_limits.post_instructions
        return RetentionRatio(self.retention_ratio, limit)


ToolChoiceConfig = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("word")] | Annotated[NamedChoice, Tag("object")],
    _WORD_OR_OBJECT,
]
TracingConfig = Annotated[
    Annotated[Literal["auto"], Tag("word")] | Annotated[Tracing, Tag("object")], _WORD_OR_OBJECT
]
TruncationConfig = Annotated[
    Annotated[Literal["auto", "disabled"], Tag("word")] | Annotated[RetentionRatioConfig, Tag("object")],
    _WORD_OR_OBJECT,
]


def _one_modality(value: list[str] | None, info: ValidationInfo) -> list[str] | None:
    if is_strict(info.context) and value is not None and len(value) > 1:
        raise _bad_value(value, [["text"], ["audio"]])
    return value


Modalities = Annotated[
    Annotated[list[Literal["text", "audio"]], Field(min_length=1)] | None, AfterValidator(_one_modality)
]


class ResponseConfig(WireModel):
    """The members that a session and a response have in common."""

    beyond_openai: ClassVar = frozenset({"temperature", "providerData"})

    output_modalities: Modalities = None
    instructions: str | None = None
    tools: Annotated[list[Tool] | None, Field(max_length=_MAX_TOOLS), AfterValidator(_distinct_names)] = None
    tool_choice: ToolChoiceConfig | None = None
    max_output_tokens: Annotated[Any, BeforeValidator(_token_limit)] = None
    temperature: float | None = Field(None, ge=0, le=2)
    parallel_tool_calls: bool | None = None
    prompt: PromptConfig | None = None
    reasoning: ReasoningConfig | None = None
    providerData: dict[str, Any] | None = None  # noqa: N815 - as Inworld spells it


class SessionUpdate(ResponseConfig):
    """A session of type realtime."""

    beyond_openai: ClassVar = ResponseConfig.beyond_openai | {"modelId"}
    wanted_by_openai: ClassVar = frozenset({"type"})

    type: Literal["realtime"] | None = None
    model: str | None = Field(None, min_length=1, max_length=256)
    modelId: str | None = Field(None, min_length=1, max_length=256)  # noqa: N815 - an older spelling on the wire
    audio: Audio | None = None
    tracing: TracingConfig | None = None
    truncation: TruncationConfig | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None


class TranscriptionTurnDetection(TurnDetectionConfig):
    """There is no response that could be created or interrupted."""

    beyond_openai: ClassVar = frozenset({"create_response", "interrupt_response", "idle_timeout_ms"})


class TranscriptionInput(AudioInput):
    turn_detection: TranscriptionTurnDetection | None = None


class TranscriptionAudio(WireModel):
    input: TranscriptionInput | None = None


class TranscriptionUpdate(WireModel):
    """A session of type transcription."""

    wanted_by_openai: ClassVar = frozenset({"type"})

    type: Literal["transcription"] | None = None
    audio: TranscriptionAudio | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None


class _Realtime(WireModel):
    session: SessionUpdate


class _Transcription(WireModel):
    session: TranscriptionUpdate


def read_session(
    session: Any, session_type: SessionType, profile: Profile = PARLEY
) -> SessionUpdate | TranscriptionUpdate:
    """The member `session` of an event or a request; raises `InvalidRequest`, its param below "session"."""
    given = session.get("type") if isinstance(session, dict) else None
    if given in ("realtime", "transcription") and given != session_type:
        raise InvalidRequest(
            f"Invalid value: '{given}'. This session is of type '{session_type}', which cannot change.",
            param="session.type",
        )
    if session_type == "transcription":
        return validate(_Transcription, {"session": session}, profile).session
    return validate(_Realtime, {"session": session}, profile).session


# A null means "off" for these; for any other member it is the same as leaving it out.
_NULLABLE = frozenset(
    {
        "transcription",
        "noise_reduction",
        "turn_detection",
        "idle_timeout_ms",
        "language",
        "languages",
        "keywords",
        "delay",
        "prompt",
        "tracing",
        "include",
        "temperature",
        "parallel_tool_calls",
        "reasoning",
        "strength",
        "providerData",
    }
)


def session_patch(model: WireModel) -> Patch:
    """What an update changes, by the names of `pipeline.config`; absent members stay absent."""
    patch: dict[str, Any] = {}
    for name in model.model_fields_set & set(type(model).model_fields):
        value = getattr(model, name)
        if value is None and name not in _NULLABLE:
            continue
        match name:
            case "type" if isinstance(model, SessionUpdate | TranscriptionUpdate):
                continue
            case "providerData":
                patch["provider_data"] = value
            case "modelId":
                patch.setdefault("model", value)
            case _ if isinstance(value, Format | PromptConfig | ReasoningConfig | RetentionRatioConfig):
                patch[name] = value.value()
            case "voice":
                patch[name] = value.id if isinstance(value, CustomVoice) else value
            case "output_modalities":
                patch[name] = tuple(dict.fromkeys(value))
            case "include" | "keywords":
                patch[name] = None if value is None else tuple(value)
            case "language":
                patch |= {name: value} if value is None else {name: value, "languages": None}
            case "languages":
                patch |= {name: None} if value is None else {name: tuple(value), "language": None}
            case "max_output_tokens":
                patch[name] = None if value == "inf" else value
            case "tools":
                patch[name] = tuple(FunctionTool(t.name, t.description, t.parameters) for t in value)
            case "tool_choice":
                patch[name] = NamedToolChoice(value.name) if isinstance(value, NamedChoice) else value
            case _:
                patch[name] = session_patch(value) if isinstance(value, WireModel) else value
    return patch
