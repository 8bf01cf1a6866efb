"""The systems under test, by name, and how each is played to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.turns import pipecat_side
from benchmarks.turns.corpus import Clip
from benchmarks.turns.engine_ride import Decide, Heard, deciding, ride
from benchmarks.turns.models import Ear
from pipeline.config import Eagerness, SemanticVad, ServerVad, TurnDetection

__all__ = ["PIPECAT", "SYSTEMS", "System", "play", "silence_of"]

_SILENCES = (300, 400, 500, 600, 700, 800, 1000, 1200, 1500, 2000)
_EAGERNESS: tuple[Eagerness, ...] = ("high", "medium", "low")
PIPECAT = "pipecat"


@dataclass(frozen=True, slots=True)
class System:
    name: str
    about: str
    detection: TurnDetection | None = None  # None: not ours
    judged: bool = False  # with a turn model
    suggestions: bool = False  # its suggestions count as its ends


def _ours() -> list[System]:
    systems = [
        System(
            f"silence {ms}", f"server_vad, ends after {ms} ms of silence", ServerVad(silence_duration_ms=ms)
        )
        for ms in _SILENCES
    ]
    for eagerness in _EAGERNESS:
        about = f"semantic_vad, eagerness {eagerness}"
        systems.append(System(f"semantic {eagerness}", about, SemanticVad(eagerness=eagerness), judged=True))
    for eagerness in _EAGERNESS:
        about = f"semantic_vad, eagerness {eagerness}, without Smart Turn"
        systems.append(System(f"text {eagerness}", about, SemanticVad(eagerness=eagerness)))
    about = "the suggestions of server_vad: when a reply may be prepared, and how often for nothing"
    systems.append(
        System("suggestions", about, ServerVad(silence_duration_ms=2000), judged=True, suggestions=True)
    )
    return systems


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in [
        *_ours(),
        System(PIPECAT, f"{pipecat_side.REQUIREMENTS[0]}: Silero and Smart Turn, its defaults"),
    ]
}


def silence_of(name: str) -> int | None:
    """The window of a plain baseline, in ms; None for other systems."""
    words = name.split()
    return int(words[1]) if words[0] == "silence" else None


def play(
    system: System,
    clips: Sequence[Clip],
    ear: Ear,
    memory: Path,
    *,
    progress: Callable[[], None] = lambda: None,
    talking: bool = False,
    decide: Decide | None = None,
) -> dict[str, Heard]:
    """What a system makes of each clip, by name.

    `memory`: a folder for answers. `talking`: the assistant is heard meanwhile. `decide` replaces the
    decision of semantic_vad. Raises `UnavailableError` where the system cannot be had.
    """
    if system.detection is None:
        return pipecat_side.listen(clips, memory / "pipecat.json", progress)
    heard: dict[str, Heard] = {}
    with deciding(decide):
        for clip in clips:
            result = ride(
                clip,
                system.detection,
                ear,
                judged=system.judged,
                words=talking or _words(system),
                talking=talking,
            )
            if system.suggestions:
                result.ends = result.suggestions
            heard[clip.name] = result
            progress()
    return heard


def _words(system: System) -> bool:
    """Whether the words so far matter for when a turn ends."""
    return system.judged or isinstance(system.detection, SemanticVad)
