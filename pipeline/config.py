"""The configuration of one session, as immutable values, and how a partial update changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from pipeline.errors import InvalidRequest
from pipeline.extensions import MAX_PROVIDER_DATA, has_room, other_spelling
from pipeline.items import InputText
from pipeline.tools import McpToolChoice, Tool
from providers.contracts import ToolChoice, TranscriptDelay

__all__ = [
    "G711",
    "LOGPROBS",
    "AudioConfig",
    "AudioFormat",
    "AudioInputConfig",
    "AudioOutputConfig",
    "Eagerness",
    "FormatType",
    "NoiseReduction",
    "Patch",
    "Prompt",
    "Reasoning",
    "ReasoningEffort",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SessionType",
    "Transcription",
    "Truncation",
    "TurnDetection",
    "merge",
]

LOGPROBS = "item.input_audio_transcription.logprobs"  # in a session's `include`

Eagerness = Literal["low", "medium", "high", "auto"]
SessionType = Literal["realtime", "transcription"]
ReasoningEffort = Literal["minimal", "low", "medium", "high", "xhigh"]
FormatType = Literal["audio/pcm", "audio/pcmu", "audio/pcma", "audio/float32"]
G711: frozenset[FormatType] = frozenset({"audio/pcmu", "audio/pcma"})


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
    languages: tuple[str, ...] | None = None  # never together with `language`
    keywords: tuple[str, ...] | None = None
    delay: TranscriptDelay | None = None


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
class RetentionRatio:
    """A context that grew too long is cut to a part of what fits.

    So it stays as it is for the turns after that, and providers can go on from what they have cached.
    """

    retention_ratio: float  # 0..1
    post_instructions: int | None = None  # tokens of the conversation, where less is wanted than would fit


Truncation = Literal["auto", "disabled"] | RetentionRatio


@dataclass(frozen=True, slots=True)
class Prompt:
    """Names a template of instructions, and says what goes into its blanks."""

    id: str
    version: str | None = None  # None: the latest
    variables: Mapping[str, str | InputText] | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    effort: ReasoningEffort | None = None  # None: the model's own


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that `session.update` can change. Member names are those of the wire."""

    model: str  # canonical `provider/model`
    audio: AudioConfig
    type: SessionType = "realtime"  # fixed for the life of a session
    output_modalities: tuple[Literal["text", "audio"], ...] = ("audio",)
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | McpToolChoice = "auto"
    max_output_tokens: int | None = None  # None is "inf" on the wire
    temperature: float | None = None
    parallel_tool_calls: bool | None = None
    truncation: Truncation = "auto"
    prompt: Prompt | None = None  # what `instructions` were made of, as far as the client knows
    reasoning: Reasoning | None = None
    include: tuple[str, ...] | None = None
    tracing: Any = None
    provider_data: Any = None


# Nested member names and their new values. Only what is present changes; None switches a feature off.
Patch = Mapping[str, Any]


# Members that hold one of several classes, or none: the classes by `type`, the default first.
_SWITCHABLE: Mapping[str, Mapping[str, type[Any]]] = {
    "turn_detection": {"server_vad": ServerVad, "semantic_vad": SemanticVad},
    "transcription": {"": Transcription},
    "noise_reduction": {"": NoiseReduction},
}
# Objects that are opaque to the session: a new value replaces the old one whole.
_OPAQUE = frozenset({"tracing"})
# Members of `provider_data` whose own members are named by clients, so that no two of them are the same.
_FREE_NAMES = frozenset({"metadata", "logitBias", "logit_bias"})


def merge(
    config: Any, patch: Patch, starts: Mapping[type[Any], Any] | None = None, *, root: str = "session"
) -> Any:
    """`config` with the members of `patch` changed, recursively.

    A change of type (`server_vad` to `semantic_vad`) starts from that type's defaults, and so does what is
    switched on from null; `starts` has values to start from where a class's own defaults will not do.
    In `provider_data` a null removes a member. `root`: the member of the client event that holds the patch.
    """
    known = _members(type(config))
    changes: dict[str, Any] = {}
    for name, value in patch.items():
        if name not in known:  # a member of another variant, such as `threshold` for semantic_vad
            continue
        current = getattr(config, name)
        if name == "provider_data" and isinstance(value, Mapping):
            changes[name] = _provider_data(current, value, root)
        elif not isinstance(value, Mapping) or name in _OPAQUE:
            changes[name] = value
        elif name in _SWITCHABLE:
            changes[name] = _switch(name, current, value, starts or {})
        elif is_dataclass(current):
            changes[name] = merge(current, value, starts)
        else:
            changes[name] = value
    return replace(config, **changes)


def _provider_data(current: Any, patch: Patch, root: str) -> dict[str, Any]:
    """What the client gave so far with `patch` laid over it; raises `InvalidRequest` where it is too much."""
    merged = _laid_over(current if isinstance(current, Mapping) else {}, patch)
    if not has_room(merged):
        raise InvalidRequest(
            f"Invalid '{root}.providerData': string above max length. "
            f"Expected at most {MAX_PROVIDER_DATA} characters, with what was given before.",
            code="string_above_max_length",
            param=f"{root}.providerData",
        )
    return merged


def _laid_over(current: Mapping[str, Any], patch: Patch, *, free_names: bool = False) -> dict[str, Any]:
    """Objects are merged, a null removes its member, and everything else replaces what was there."""
    merged = dict(current)
    for name, value in patch.items():
        before = merged.pop(name, None)
        if not free_names and (same := other_spelling(name)) != name:
            other = merged.pop(same, None)
            before = other if before is None else before
        if isinstance(value, Mapping):
            known = before if isinstance(before, Mapping) else {}
            merged[name] = _laid_over(known, value, free_names=free_names or name in _FREE_NAMES)
        elif value is not None:
            merged[name] = value
    return merged


def _switch(name: str, current: Any, patch: Patch, starts: Mapping[type[Any], Any]) -> Any:
    wanted = _class_for(_SWITCHABLE[name], current, patch)
    if isinstance(current, wanted):
        return merge(current, patch)
    if wanted in starts:
        return merge(starts[wanted], patch)
    if wanted is Transcription and "model" not in patch:
        raise InvalidRequest(
            "Missing required parameter: 'session.audio.input.transcription.model'.",
            code="missing_required_parameter",
            param="session.audio.input.transcription.model",
        )
    return wanted(**{key: value for key, value in patch.items() if key in _members(wanted)})


def _class_for(classes: Mapping[str, type[Any]], current: Any, patch: Patch) -> type[Any]:
    """The class that a patch means, which need not say so: `silence_duration_ms` is a member of one only."""
    if patch.get("type") in classes:
        return classes[patch["type"]]
    if current is not None and all(key in _members(type(current)) for key in patch):
        return type(current)
    fitting = (known for known in classes.values() if all(key in _members(known) for key in patch))
    return next(fitting, next(iter(classes.values())) if current is None else type(current))


def _members(kind: type[Any]) -> set[str]:
    return {member.name for member in fields(kind)}
