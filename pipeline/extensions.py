"""What clients ask for beyond the protocol: the members of `providerData` that sessions honour, as values.

The wire has checked them, so reading trusts types and bounds. Members that nobody knows are only echoed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

__all__ = [
    "MAX_PROVIDER_DATA",
    "Backchannel",
    "Extensions",
    "Filler",
    "Memory",
    "MemoryState",
    "extensions_of",
    "has_room",
    "other_spelling",
    "spelled",
]

T = TypeVar("T")

# Characters of JSON, about: all of it goes out with each `session.updated`.
MAX_PROVIDER_DATA = 64 * 1024


@dataclass(frozen=True, slots=True)
class Filler:
    """Speech that fills the wait for a slow model; `responsiveness` on the wire."""

    enabled: bool = False
    small_model: str | None = None  # writes the phrase; None: one of the server's own
    initial_wait_timeout_ms: int = 1200  # so long the listener hears nothing before anything is said
    hard_deadline_ms: int = 2000  # for the phrase, from the moment it is asked for; later it is not said
    history_tail_items: int = 4  # of the conversation, that the small model reads
    temperature: float = 0.7
    max_tokens: int = 12
    min_filler_gap_ms: int = 8000  # between two of them
    max_initial_per_turn: int = 1
    max_buffer_deltas: int | None = None
    enable_filler_on_first_assistant_reply: bool = False
    prompt_template: str | None = None
    pause_text: str | None = None


@dataclass(frozen=True, slots=True)
class Backchannel:
    """Short listener sounds while the user talks."""

    enabled: bool = False
    small_model: str | None = None
    eval_interval_ms: int = 800
    min_speech_ms: int = 800  # of the user's turn, before the first
    min_gap_ms: int = 4000  # between two of them
    max_per_turn: int = 3
    hard_deadline_ms: int = 1500  # for decision and sound together; later it is skipped
    history_tail_items: int = 4
    temperature: float = 0.7
    max_tokens: int = 6
    volume_gain: float = 0.6
    require_pause: bool = False
    allowed_phrases: tuple[str, ...] = ()  # empty: the server's own
    prompt_template: str | None = None
    decider_kind: Literal["llm", "rule"] | None = None  # None: llm where there is a small model
    rule_fire_probability: float = 0.5


@dataclass(frozen=True, slots=True)
class MemoryState:
    """What is remembered; travels to clients and back, so that a later session can go on from it."""

    version: int = 0
    facts: tuple[str, ...] = ()
    summary: str = ""
    context_text: str = ""  # facts and summary as the model reads them, behind the instructions
    turns_since_gen: int = 0
    total_turns: int = 0
    items_trimmed: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Facts and a rolling summary, written every few turns."""

    enabled: bool = False
    turn_interval: int = 5
    max_memory_length: int = 2000  # characters of `context_text`
    max_transcript_items: int = 20  # that one summary is made of
    max_facts: int = 20
    trim_after_summarize: bool = False
    state: MemoryState = MemoryState()


@dataclass(frozen=True, slots=True)
class Extensions:
    """`providerData`, read."""

    auto_tool_response: bool = False
    turn_suggestions: bool = False
    stt: Mapping[str, Any] = field(default_factory=dict)
    tts: Mapping[str, Any] = field(default_factory=dict)
    text_generation_config: Mapping[str, Any] = field(default_factory=dict)
    filler: Filler = Filler()
    backchannel: Backchannel = Backchannel()
    memory: Memory = Memory()


def extensions_of(provider_data: Any) -> Extensions:
    """What a session's `provider_data` asks for. Never raises; takes microseconds."""
    if not isinstance(provider_data, Mapping):
        return Extensions()
    memory = _table(provider_data, "memory")
    return Extensions(
        auto_tool_response=spelled(provider_data, "auto_tool_response") is True,
        turn_suggestions=spelled(provider_data, "turn_suggestions") is True,
        stt=_table(provider_data, "stt"),
        tts=_table(provider_data, "tts"),
        text_generation_config=_table(provider_data, "text_generation_config"),
        filler=_filled(Filler, _table(provider_data, "responsiveness")),
        backchannel=_filled(Backchannel, _table(provider_data, "backchannel")),
        memory=_filled(Memory, {**memory, "state": _filled(MemoryState, _table(memory, "state"))}),
    )


def has_room(provider_data: Any) -> bool:
    """Whether it is no longer than a session keeps. Counts no further than that."""
    left, waiting = MAX_PROVIDER_DATA, [provider_data]
    while waiting and left >= 0:
        value = waiting.pop()
        left -= 2
        if isinstance(value, Mapping):
            left -= sum(len(name) + 4 for name in value)
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            left -= len(value)
            waiting.extend(value)
        else:
            left -= len(value if isinstance(value, str) else str(value))
    return left >= 0


def other_spelling(name: str) -> str:
    """`turn_interval` as `turnInterval`, and the other way round; a single word as it is."""
    if "_" in name:
        first, *others = name.split("_")
        return first + "".join(word.capitalize() for word in others)
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def spelled(data: Mapping[str, Any], name: str) -> Any:
    """The member of a snake_case name, which some clients spell in camelCase; None where there is none."""
    value = data.get(name)
    return data.get(other_spelling(name)) if value is None else value


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = spelled(data, name)
    return value if isinstance(value, Mapping) else {}


def _filled(kind: type[T], given: Mapping[str, Any]) -> T:
    """A value of that dataclass; what is absent or null has its default."""
    values = {member.name: spelled(given, member.name) for member in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if value is not None
        }
    )
