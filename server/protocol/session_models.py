"""The session object as clients send it, whole or in parts, and its translation to a patch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Tag,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from pipeline.config import (
    Patch,
    Prompt,
    Reasoning,
    ReasoningEffort,
    RetentionRatio,
    SessionType,
)
from pipeline.errors import InvalidRequest
from pipeline.items import InputText
from server.protocol.audio_models import (
    WORD_OR_OBJECT,
    Audio,
    CustomVoice,
    Format,
    TranscriptionAudio,
    bad_value,
)
from server.protocol.extension_models import ProviderData
from server.protocol.profiles import PARLEY, Profile, is_strict
from server.protocol.tool_models import AnyTool, ToolChoiceConfig, choice_value, distinct
from server.protocol.validation import WireModel, validate

__all__ = [
    "Metadata",
    "Modalities",
    "ResponseConfig",
    "read_session",
    "session_patch",
]

_MAX_TOOLS = 128  # as upstream providers have it
_MAX_PROMPT_VARIABLES = 256
_MAX_METADATA_PAIRS = 16
_MAX_METADATA_CHARS = 512  # of a value

MetadataKey = Annotated[str, Field(max_length=64)]
Metadata = Annotated[
    dict[MetadataKey, Annotated[str, Field(max_length=_MAX_METADATA_CHARS)]],
    Field(max_length=_MAX_METADATA_PAIRS),
]


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


PromptVariable = Annotated[Annotated[str, Tag("word")] | Annotated[PromptText, Tag("object")], WORD_OR_OBJECT]


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


TracingConfig = Annotated[
    Annotated[Literal["auto"], Tag("word")] | Annotated[Tracing, Tag("object")], WORD_OR_OBJECT
]
TruncationConfig = Annotated[
    Annotated[Literal["auto", "disabled"], Tag("word")] | Annotated[RetentionRatioConfig, Tag("object")],
    WORD_OR_OBJECT,
]


def _one_modality(value: list[str] | None, info: ValidationInfo) -> list[str] | None:
    if is_strict(info.context) and value is not None and len(value) > 1:
        raise bad_value(value, [["text"], ["audio"]])
    return value


Modalities = Annotated[
    Annotated[list[Literal["text", "audio"]], Field(min_length=1)] | None, AfterValidator(_one_modality)
]


class ResponseConfig(WireModel):
    """The members that a session and a response have in common."""

    beyond_openai: ClassVar = frozenset({"temperature", "providerData"})

    output_modalities: Modalities = None
    instructions: str | None = None
    tools: Annotated[list[AnyTool] | None, Field(max_length=_MAX_TOOLS), AfterValidator(distinct)] = None
    tool_choice: ToolChoiceConfig | None = None
    max_output_tokens: Annotated[Any, BeforeValidator(_token_limit)] = None
    temperature: float | None = Field(None, ge=0, le=2)
    parallel_tool_calls: bool | None = None
    prompt: PromptConfig | None = None
    reasoning: ReasoningConfig | None = None
    providerData: ProviderData | None = None  # noqa: N815 - as Inworld spells it


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
                patch["provider_data"] = None if value is None else value.given
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
                patch[name] = tuple(tool.value() for tool in value)
            case "tool_choice":
                patch[name] = choice_value(value)
            case _:
                patch[name] = session_patch(value) if isinstance(value, WireModel) else value
    return patch
