"""`providerData` as clients send it: which members are known, and the types and bounds of those.

Members may be spelled in snake_case or in camelCase. Unknown ones are kept, as all of it is, and only named
in the log. A null stands for a member that is to be removed.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.extensions import MAX_PROVIDER_DATA, has_room, other_spelling
from server.protocol.validation import WireModel

__all__ = ["ProviderData"]

_MAX_TEXT = 16_384  # characters of a prompt
_MAX_NAME = 256  # characters of a name
_MAX_ENTRIES = 100  # of a list
_MINUTE = 60_000  # ms


def _in_capitals(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Switch = bool | None
Name = Annotated[str, Field(min_length=1, max_length=_MAX_NAME)] | None
SmallModel = Annotated[str, Field(max_length=_MAX_NAME)] | None  # empty: as if it was not named
Text = Annotated[str, Field(max_length=_MAX_TEXT)] | None
Share = Annotated[float, Field(ge=0, le=1)] | None
Temperature = Annotated[float, Field(ge=0, le=2)] | None
Penalty = Annotated[float, Field(ge=-2, le=2)] | None
Milliseconds = Annotated[int, Field(ge=0, le=_MINUTE)] | None
Few = Annotated[int, Field(ge=0, le=_MAX_ENTRIES)] | None
Count = Annotated[int, Field(ge=0, le=2**53)] | None
Tokens = Annotated[int, Field(ge=1, le=1_000_000)] | None
Names = Annotated[list[Annotated[str, Field(max_length=_MAX_NAME)]], Field(max_length=_MAX_ENTRIES)] | None


class _Part(WireModel):
    """An object whose members may be spelled in two ways; the first is the documented one."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasChoices(name, other_spelling(name)))
    )


class _CamelPart(WireModel):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasChoices(other_spelling(name), name))
    )


class VoiceProfile(_Part):
    enabled: Switch = None
    top_n: Annotated[int, Field(ge=1, le=20)] | None = None


class Stt(_Part):
    """Settings of the transcription model; each takes those that it knows."""

    prompt: Text = None
    voice_profile: (
        Annotated[
            Annotated[bool, Tag("word")] | Annotated[VoiceProfile, Tag("object")],
            Discriminator(lambda value: "object" if isinstance(value, dict) else "word"),
        ]
        | None
    ) = None
    language_hints: Names = None
    language_hints_strict: Switch = None
    end_of_turn_confidence_threshold: Share = None
    vad_threshold: Share = None
    min_end_of_turn_silence: Milliseconds = None
    max_turn_silence: Milliseconds = None


class Tts(_Part):
    """Settings of the voice; each model takes those that it knows."""

    segmenter_strategy: (
        Literal["auto", "balanced", "sentence", "full_turn", "fast_start", "per_segment_context"] | None
    ) = None
    steering_handling: Literal["repeat_each_chunk", "emit_once"] | None = None
    language: Annotated[str, Field(min_length=1, max_length=35)] | None = None
    delivery_mode: (
        Annotated[Literal["STABLE", "BALANCED", "CREATIVE"], BeforeValidator(_in_capitals)] | None
    ) = None
    temperature: Temperature = None
    conversational: Switch = None
    user_turn_mode: Literal["both", "audio_only", "text_only", "none"] | None = None
    timestamp_type: Annotated[Literal["WORD", "CHARACTER"], BeforeValidator(_in_capitals)] | None = None
    timestamp_transport_strategy: (
        Annotated[Literal["SYNC", "ASYNC"], BeforeValidator(_in_capitals)] | None
    ) = None


class Reasoning(_CamelPart):
    effort: (
        Annotated[
            Literal["NONE", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"],
            BeforeValidator(_in_capitals),
        ]
        | None
    ) = None
    max_tokens: Tokens = None
    exclude: Switch = None


class LogitBias(_CamelPart):
    token_id: Annotated[str, Field(max_length=32)] | int
    bias_value: float = Field(ge=-100, le=100)


class TextGenerationConfig(_CamelPart):
    """How the language model is to write; `maxNewTokens` and so on as Inworld spells them."""

    max_new_tokens: Tokens = None
    temperature: Temperature = None
    top_p: Share = None
    frequency_penalty: Penalty = None
    presence_penalty: Penalty = None
    repetition_penalty: Annotated[float, Field(ge=0, le=2)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    logit_bias: (
        Annotated[
            Annotated[
                dict[
                    Annotated[str, Field(max_length=32)],
                    Annotated[float, Field(ge=-100, le=100)],
                ],
                Field(max_length=300),
                Tag("object"),
            ]
            | Annotated[list[LogitBias], Field(max_length=300), Tag("array")],
            Discriminator(lambda value: "array" if isinstance(value, list) else "object"),
        ]
        | None
    ) = None
    reasoning: Reasoning | None = None


class Responsiveness(_Part):
    """Speech that fills the wait for a slow model."""

    enabled: Switch = None
    small_model: SmallModel = None
    initial_wait_timeout_ms: Milliseconds = None
    hard_deadline_ms: Milliseconds = None
    history_tail_items: Few = None
    temperature: Temperature = None
    max_tokens: Annotated[int, Field(ge=1, le=200)] | None = None
    min_filler_gap_ms: Annotated[int, Field(ge=0, le=60 * _MINUTE)] | None = None
    max_initial_per_turn: Few = None
    max_buffer_deltas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    enable_filler_on_first_assistant_reply: Switch = None
    prompt_template: Text = None
    pause_text: Annotated[str, Field(max_length=200)] | None = None


class Backchannel(_Part):
    """Short listener sounds while the user talks."""

    enabled: Switch = None
    small_model: SmallModel = None
    eval_interval_ms: Annotated[int, Field(ge=100, le=_MINUTE)] | None = None
    min_speech_ms: Milliseconds = None
    min_gap_ms: Annotated[int, Field(ge=0, le=60 * _MINUTE)] | None = None
    max_per_turn: Few = None
    hard_deadline_ms: Milliseconds = None
    history_tail_items: Few = None
    temperature: Temperature = None
    max_tokens: Annotated[int, Field(ge=1, le=200)] | None = None
    volume_gain: Annotated[float, Field(ge=0, le=2)] | None = None
    require_pause: Switch = None
    allowed_phrases: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=50)] | None
    ) = None
    prompt_template: Text = None
    decider_kind: Literal["llm", "rule"] | None = None
    rule_fire_probability: Share = None


class MemoryState(_Part):
    version: Count = None
    facts: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=200)] | None = None
    summary: Text = None
    context_text: Annotated[str, Field(max_length=20_000)] | None = None
    turns_since_gen: Count = None
    total_turns: Count = None
    items_trimmed: Count = None


class Memory(_Part):
    """Facts and a rolling summary, written every few turns."""

    enabled: Switch = None
    turn_interval: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_memory_length: Annotated[int, Field(ge=1, le=20_000)] | None = None
    max_transcript_items: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_facts: Annotated[int, Field(ge=0, le=100)] | None = None
    trim_after_summarize: Switch = None
    state: MemoryState | None = None


class Caching(_Part):
    """Known, and kept for the client; no provider's cache is steered by it."""

    enabled: Switch = None
    ttl: Any = None
    cache_instructions: Switch = None
    cache_tools: Switch = None


class ProviderData(_Part):
    """All of it. `given` is what the client sent, in its own spelling."""

    auto_tool_response: Switch = None
    turn_suggestions: Switch = None
    stt: Stt | None = None
    tts: Tts | None = None
    text_generation_config: TextGenerationConfig | None = None
    responsiveness: Responsiveness | None = None
    backchannel: Backchannel | None = None
    memory: Memory | None = None
    caching: Caching | None = None
    user_id: Annotated[str, Field(max_length=512)] | None = None
    metadata: dict[str, Any] | None = None

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def given(self) -> dict[str, Any]:
        return self._given

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not has_room(data):
            raise PydanticCustomError("string_too_long", "too long", {"max_length": MAX_PROVIDER_DATA})
        value = handler(data)
        value._given = data
        return value
