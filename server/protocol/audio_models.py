"""The audio half of a session object as clients send it: formats, voices, transcription, turn detection."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from pipeline.config import G711, AudioFormat, FormatType
from providers.contracts import TranscriptDelay
from server.protocol.profiles import is_strict
from server.protocol.validation import WireModel

__all__ = [
    "FORMAT_NAMES",
    "WORD_OR_OBJECT",
    "Audio",
    "AudioInput",
    "AudioOutput",
    "CustomVoice",
    "Format",
    "TranscriptionAudio",
    "Voice",
    "bad_value",
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


def _format_from_name(value: Any, info: ValidationInfo) -> Any:
    """Older clients name a format by a string."""
    if isinstance(value, str) and not is_strict(info.context):
        if value not in FORMAT_NAMES:
            raise bad_value(value, [*FORMAT_NAMES, "an object such as {'type': 'audio/pcm', 'rate': 24000}"])
        return FORMAT_NAMES[value]
    return value


def bad_value(value: Any, supported: list[Any]) -> PydanticCustomError:
    """The error for a value that is none of the supported ones."""
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
            raise bad_value(type, list(_OPENAI_FORMATS))
        return type

    @field_validator("rate")
    @classmethod
    def _known_rate(cls, rate: int | None, info: ValidationInfo) -> int | None:
        rates = (OPENAI_RATE,) if is_strict(info.context) else PCM_RATES
        if info.data.get("type") in G711:
            rates = (G711_RATE,)
        if rate is not None and rate not in rates:
            raise bad_value(rate, list(rates))
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
WORD_OR_OBJECT = Discriminator(lambda value: "object" if isinstance(value, dict | WireModel) else "word")


class CustomVoice(WireModel):
    id: str = Field(min_length=1, max_length=256)


Voice = Annotated[
    Annotated[str, Field(min_length=1, max_length=256), Tag("word")] | Annotated[CustomVoice, Tag("object")],
    WORD_OR_OBJECT,
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


class TranscriptionTurnDetection(TurnDetectionConfig):
    """There is no response that could be created or interrupted."""

    beyond_openai: ClassVar = frozenset({"create_response", "interrupt_response", "idle_timeout_ms"})


class TranscriptionInput(AudioInput):
    turn_detection: TranscriptionTurnDetection | None = None


class TranscriptionAudio(WireModel):
    input: TranscriptionInput | None = None
