"""Single turns of speech, human and synthetic, before they are placed in a room; and pauses put into them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from benchmarks.turns.audio import RATE, Samples, level_of, loud_runs
from benchmarks.turns.recordings import Line, Sources
from benchmarks.turns.voices import VOICES, Spoken, speak

__all__ = ["VOICE_LEVEL", "Pause", "Synthetic", "Take", "human_take", "last_splits", "with_pauses"]

VOICE_LEVEL = (
    -23.0
)  # dB of full scale; of the voice, so that no system hears some speakers better than others
_AT_WORD = 60  # ms around a border of words, within which the quietest moment is taken


@dataclass(frozen=True, slots=True)
class Pause:
    start: float  # ms
    end: float


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """Speech of one turn, with nothing around it that matters."""

    samples: Samples = field(repr=False)
    start: float  # ms: the first sound of it
    end: float  # ms: the true end of the last word
    pauses: tuple[Pause, ...]
    text: str
    voice: str
    source: str
    splits: tuple[float, ...] = ()  # ms


def human_take(line: Line, sources: Sources) -> Take:
    samples = _excerpt(line, sources)
    text = line.text
    if line.then is not None:
        samples = np.concatenate([samples, _excerpt(line.then, sources)])
        text += " " + line.then.text
    runs = loud_runs(samples)
    pauses = [Pause(*gap) for gap in _gaps(samples)]
    splits = tuple(float(split - line.start) for split in line.splits)
    name = f"{line.file}@{line.start}"
    return Take(samples, runs[0][0], runs[-1][1], tuple(pauses), text, f"human {line.file}", name, splits)


def _excerpt(line: Line, sources: Sources) -> Samples:
    whole = sources.samples(line.file)
    samples = whole[line.start * RATE // 1000 : line.end * RATE // 1000]
    scaled: Samples = samples * np.float32(10 ** ((VOICE_LEVEL - level_of(samples)) / 20))
    return scaled


class Synthetic:
    """Speaks each text once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, float], Spoken] = {}

    def takes(self, texts: Sequence[str], shift: int = 0) -> list[Take]:
        """Each text in one of the voices; another `shift`, other voices."""
        wanted = [(text, *VOICES[(index + shift) % len(VOICES)]) for index, text in enumerate(texts)]
        missing = [each for each in wanted if each not in self._known]
        self._known.update(zip(missing, speak(missing), strict=True))
        return [self._take(*each) for each in wanted]

    def _take(self, text: str, voice: str, speed: float) -> Take:
        spoken = self._known[text, voice, speed]
        samples = spoken.samples * np.float32(10 ** ((VOICE_LEVEL - level_of(spoken.samples)) / 20))
        runs = loud_runs(samples)
        pauses = [Pause(*gap) for gap in _gaps(samples)]
        splits = tuple(1000 * split / RATE for split in spoken.splits)
        plain = text.replace(", | ", " ").replace("| ", "")
        name = f"espeak {zlib.crc32(text.encode()):08x}"
        return Take(
            samples,
            runs[0][0],
            runs[-1][1],
            tuple(pauses),
            plain,
            f"espeak {voice}",
            f"{name} {voice}",
            splits,
        )


def last_splits(takes: Sequence[Take], gaps: Sequence[int]) -> list[Take]:
    """With no more borders than there are gaps."""
    return [replace(take, splits=take.splits[-len(gaps) :]) for take in takes]


def with_pauses(take: Take, gaps: Sequence[int], seed: int) -> Take:
    """The same speech with a pause of the speaker at each of its splits, of so many ms in turn.

    A pause lasts from where the sound before it ends to where the next begins; what was silent there already
    counts.
    """
    if not gaps:
        return take
    samples, pauses = take.samples, list(take.pauses)
    start, end = take.start, take.end
    rng = np.random.default_rng(seed)
    for index, split in reversed(list(enumerate(take.splits))):
        gap = gaps[index % len(gaps)] * rng.uniform(0.9, 1.1)
        before, after = _border(samples, split)
        added = max(0.0, gap - (after - before))
        cut = round((before + after) / 2 * RATE / 1000)
        silence = np.zeros(round(added * RATE / 1000), np.float32)
        samples = np.concatenate([_faded(samples[:cut], end=True), silence, _faded(samples[cut:], end=False)])
        later = [Pause(p.start + added, p.end + added) for p in pauses if p.start >= after - 1]
        pauses = [p for p in pauses if p.end <= before + 1] + [Pause(before, after + added)] + later
        end += added
    return replace(take, samples=samples, pauses=tuple(pauses), start=start, end=end)


def _border(samples: Samples, split: float) -> tuple[float, float]:
    """Where the sound ends before a border of words and begins after it, in ms; equal in fluent speech."""
    first = max(0, round((split - _AT_WORD) / 10))
    power = [float((samples[i * 160 : i * 160 + 160] ** 2).mean()) for i in range(first, first + 12)]
    quietest = 10.0 * (first + int(np.argmin(power))) + 5
    for before, after in _gaps(samples):
        if before - _AT_WORD <= split <= after + _AT_WORD:
            return before, after
    return quietest, quietest


def _gaps(samples: Samples) -> list[tuple[float, float]]:
    """Between the stretches of voice, in ms."""
    return [(float(a[1]), float(b[0])) for a, b in pairwise(loud_runs(samples))]


def _faded(samples: Samples, *, end: bool) -> Samples:
    """Without a step at the end, or at the start."""
    faded = samples.copy()
    ramp = np.linspace(0, 1, min(RATE // 100, len(faded)), dtype=np.float32)
    if end:
        faded[len(faded) - len(ramp) :] *= ramp[::-1]
    else:
        faded[: len(ramp)] *= ramp
    return faded
