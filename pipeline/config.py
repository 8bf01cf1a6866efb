"""The configuration of one session, as immutable values, and how a partial update changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from pipeline.errors import InvalidRequest
from providers.contracts import FunctionTool, ToolChoice

__all__ = [
    "AudioConfig",
    "AudioFormat",
    "AudioInputConfig",
    "AudioOutputConfig",
    "Eagerness",
    "FormatType",
    "NoiseReduction",
    "Patch",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SessionType",
    "Transcription",
    "TurnDetection",
    "merge",
]

Eagerness = Literal["low", "medium", "high", "auto"]
SessionType = Literal["realtime", "transcription"]
FormatType = Literal["audio/pcm", "audio/pcmu", "audio/pcma", "audio/float32"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How audio travels between us and a client. Inside a session all of it is PCM16 at `rate`."""

    type: FormatType = "audio/pcm"
    rate: int = 24_000  # Hertz; 8000 for G.711 (audio/pcmu, audio/pcma)


@dataclass(frozen=True, slots=True)
class Transcription:
    model: str  # canonical `provider/model`
    language: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class NoiseReduction:
    type: Literal["near_field", "far_field"] = "near_field"
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class ServerVad:
    """A turn ends after a fixed stretch of silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 200
    silence_duration_ms: int = 1000
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(frozen=True, slots=True)
class SemanticVad:
    """A turn ends when the speaker sounds finished."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


@dataclass(frozen=True, slots=True)
class AudioInputConfig:
    transcription: Transcription | None
    format: AudioFormat = AudioFormat()
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


@dataclass(frozen=True, slots=True)
class AudioOutputConfig:
    voice: str
    model: str  # canonical `provider/model`
    format: AudioFormat = AudioFormat()
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class AudioConfig:
    input: AudioInputConfig
    output: AudioOutputConfig


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that `session.update` can change. Member names are those of the wire."""

    model: str  # canonical `provider/model`
    audio: AudioConfig
    type: SessionType = "realtime"  # fixed for the life of a session
    output_modalities: tuple[Literal["text", "audio"], ...] = ("audio",)
    instructions: str = ""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    max_output_tokens: int | None = None  # None is "inf" on the wire
    temperature: float | None = None
    parallel_tool_calls: bool | None = None
    # Accepted and shown again; nothing acts upon them yet.
    tracing: Any = None
    truncation: Any = "auto"
    prompt: Any = None
    include: tuple[str, ...] | None = None
    reasoning: Any = None
    provider_data: Any = None


# Nested member names and their new values. Only what is present changes; None switches a feature off.
Patch = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Variants:
    """Classes of which a member holds one or none, and the class that a patch without `type` creates."""

    default: type[Any]
    by_type: Mapping[str, type[Any]] = field(default_factory=dict)

    def class_for(self, patch: Patch, current: Any) -> type[Any]:
        named = self.by_type.get(str(patch.get("type")))
        if named is not None:
            return named
        return self.default if current is None else type(current)


_SWITCHABLE = {
    "turn_detection": _Variants(ServerVad, {"server_vad": ServerVad, "semantic_vad": SemanticVad}),
    "transcription": _Variants(Transcription),
    "noise_reduction": _Variants(NoiseReduction),
}
# Objects that are opaque to the session: a new value replaces the old one whole.
_OPAQUE = frozenset({"tracing", "truncation", "prompt", "reasoning", "provider_data"})


def merge(config: Any, patch: Patch, defaults: Mapping[str, Any] | None = None) -> Any:
    """`config` with the members of `patch` changed, recursively.

    A change of type (`server_vad` to `semantic_vad`) starts from that type's defaults. `defaults` gives
    members that an object needs when it is switched on from null, such as the transcription's model.
    """
    known = {f.name for f in fields(config)}
    changes: dict[str, Any] = {}
    for name, value in patch.items():
        if name not in known:  # a member of another variant, such as `threshold` for semantic_vad
            continue
        current = getattr(config, name)
        if not isinstance(value, Mapping) or name in _OPAQUE:
            changes[name] = value
        elif name in _SWITCHABLE:
            changes[name] = _switch(name, current, value, defaults or {})
        elif is_dataclass(current):
            changes[name] = merge(current, value, defaults)
        else:
            changes[name] = value
    return replace(config, **changes)


def _switch(name: str, current: Any, patch: Patch, defaults: Mapping[str, Any]) -> Any:
    wanted = _SWITCHABLE[name].class_for(patch, current)
    if isinstance(current, wanted):
        return merge(current, patch)
    known = {f.name for f in fields(wanted)}
    given = {key: value for key, value in patch.items() if key in known}
    if wanted is Transcription and "model" not in given:
        if "transcription_model" not in defaults:
            raise InvalidRequest(
                "Missing required parameter: 'session.audio.input.transcription.model'.",
                code="missing_required_parameter",
                param="session.audio.input.transcription.model",
            )
        given["model"] = defaults["transcription_model"]
    return wanted(**given)
