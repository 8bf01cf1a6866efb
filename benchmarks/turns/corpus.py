"""Builds the recordings that are played to every system, with the truth about each; the same for a seed."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.turns.audio import RATE, Samples, at_level, coloured, fan, in_room, level_of, to_pcm
from benchmarks.turns.recordings import Sources
from benchmarks.turns.sounds import SOUNDS, stretch
from benchmarks.turns.takes import VOICE_LEVEL, Pause, Synthetic, Take, human_take, last_splits, with_pauses
from benchmarks.turns.voices import COMPLETE, DIGITS, FILLED, SENTENCES

__all__ = ["KINDS", "SPEECH", "TAIL_MS", "Clip", "build", "clip_of"]

LEAD_MS = 600  # of quiet before the first word
TAIL_MS = 9000  # of quiet after the last; longer than any system waits
_FAR = -43.0
_ROOM = -68.0  # of the room at the least: real microphones hear something

SPEECH = ("complete", "natural pauses", "made pauses", "cut off", "fillers", "digits", "noise", "far")
KINDS = (*SPEECH, "no speech")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What is played, PCM16 at 16 kHz, and the truth about it in ms from its start."""

    name: str
    kind: str
    voice: str
    source: str  # clips made of the same speech are no independent witnesses
    text: str
    seed: int
    pcm: bytes = field(repr=False)
    start: float = 0.0
    end: float = 0.0  # of the turn: the last 10 ms of voice; 0 where nobody speaks
    pauses: tuple[Pause, ...] = ()
    events: int = 0  # where nobody speaks: coughs and the like

    @property
    def is_speech(self) -> bool:
        return self.kind in SPEECH

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE


def build(
    kinds: Sequence[str] = KINDS, *, seed: int = 1, quick: bool = False
) -> tuple[list[Clip], list[str]]:
    """The corpus, and what is missing from it. `quick`: a third of it."""
    sources = Sources()
    human: dict[str, list[Take]] = {"complete": [], "pauses": [], "digits": []}
    for line in sources.lines():
        kind = "digits" if line.digits else "pauses" if line.pauses else "complete"
        human[kind].append(human_take(line, sources))
    spoken = Synthetic()
    every = 3 if quick else 1
    clips: list[Clip] = []

    def add(kind: str, takes: Iterable[Take], gaps: Sequence[int] = (), label: str = "") -> None:
        for index, take in enumerate(takes):
            if index % every == 0 and kind in kinds:
                paused = with_pauses(take, gaps, _seed(take.source, label, seed))
                clips.append(clip_of(paused, kind, label, seed))

    split = [take for take in human["complete"] if take.splits]
    sentences = spoken.takes(SENTENCES)
    add("complete", human["complete"])
    add("complete", spoken.takes(COMPLETE))
    add("natural pauses", human["pauses"])
    for gaps in ((350, 600), (800, 500), (1200, 350), (1500,)):
        chosen = last_splits(split, gaps) + last_splits(sentences, gaps)[:: 1 if gaps[0] < 1000 else 2]
        add("made pauses", chosen, gaps, f"{gaps[0]}")
    for gap in (1000, 2000, 3000):
        chosen = last_splits(split[gap // 1000 :: 3] + sentences[gap // 1000 :: 3], (gap,))
        add("cut off", chosen, (gap,), f"{gap}")
    for gap in (600, 1200):
        add("fillers", spoken.takes(FILLED, shift=gap // 600), (gap,), f"{gap}")
    for gap in (400, 700, 1000):
        figures = human["digits"] + spoken.takes(DIGITS, shift=gap // 300)
        add("digits", figures, (gap, gap + 100, gap - 100), f"{gap}")
    others = [sentences[0], human["complete"][0], *human["pauses"][-1:], sentences[3]]
    chosen = [split[min(4, len(split) - 1)], split[-1], *others]
    if "noise" in kinds:
        for noise in ("white", "pink", "fan", "babble"):
            for ratio in (20, 10, 5):
                takes = chosen[:3] if noise == "babble" else chosen[1:4]
                clips += list(_noisy(takes[::every], noise, ratio, spoken, seed))
    if "far" in kinds:
        clips += [_far(take, seed) for take in [*chosen, *split[:4]][::every]]
    if "no speech" in kinds:
        clips += list(_silent(seed, 40.0 if quick else 120.0))
    return clips, sources.missing


def clip_of(take: Take, kind: str, label: str, seed: int) -> Clip:
    """A take in a quiet room, with the rest of the silence that every system gets."""
    dry, shift = _placed(take)
    rng = np.random.default_rng(_seed(take.source, kind + label, seed))
    room = at_level(coloured(len(dry), rng, slope=1), _ROOM)
    return _clip(take, kind, label, dry + room, shift, seed)


def _clip(take: Take, kind: str, label: str, audio: Samples, shift: float, seed: int) -> Clip:
    return Clip(
        name=" ".join(filter(None, [kind, label, take.source])),
        kind=kind,
        voice=take.voice,
        source=take.source,
        text=take.text,
        seed=seed,
        pcm=to_pcm(audio),
        start=take.start + shift,
        end=take.end + shift,
        pauses=tuple(Pause(p.start + shift, p.end + shift) for p in take.pauses),
    )


def _placed(take: Take) -> tuple[Samples, float]:
    """The take between silences, without noise of its own behind the end; and by how much it moved, in ms."""
    first, last = int(take.start * RATE / 1000), int(take.end * RATE / 1000)
    lead = LEAD_MS * RATE // 1000
    audio = np.zeros(lead + last - first + TAIL_MS * RATE // 1000, np.float32)
    before, after = min(first, RATE // 10), min(len(take.samples) - last, RATE // 10)
    heard = take.samples[first - before : last + after].copy()
    heard[:before] *= np.linspace(0, 1, before, dtype=np.float32)
    heard[len(heard) - after :] *= np.linspace(1, 0, after, dtype=np.float32)
    audio[lead - before : lead - before + len(heard)] = heard
    return audio, LEAD_MS - 1000 * first / RATE


def _noisy(takes: Sequence[Take], noise: str, ratio: int, spoken: Synthetic, seed: int) -> Iterator[Clip]:
    for take in takes:
        number = _seed(take.source, f"{noise}{ratio}", seed)
        rng = np.random.default_rng(number)
        if take.splits:
            take = with_pauses(last_splits([take], (700,))[0], (700,), number)
        dry, shift = _placed(take)
        made = _noise(noise, len(dry), rng, spoken)
        yield _clip(
            take, "noise", f"{noise} {ratio} dB", dry + at_level(made, VOICE_LEVEL - ratio), shift, seed
        )


def _noise(noise: str, count: int, rng: np.random.Generator, spoken: Synthetic) -> Samples:
    match noise:
        case "fan":
            return fan(count, rng)
        case "babble":
            return _babble(count, rng, spoken)
    return coloured(count, rng, slope={"white": 0, "pink": 1}[noise])


def _babble(count: int, rng: np.random.Generator, spoken: Synthetic) -> Samples:
    """Eight people who talk at once, without an end."""
    voices = [take.samples for shift in range(4) for take in spoken.takes(COMPLETE + SENTENCES, shift)]
    total = np.zeros(count, np.float32)
    for _ in range(8):
        order = rng.permutation(len(voices))
        talk = np.concatenate([voices[index] for index in order])
        talk = np.roll(np.tile(talk, count // len(talk) + 1), int(rng.integers(0, len(talk))))
        total += talk[:count]
    return total


def _far(take: Take, seed: int) -> Clip:
    """Three metres away from a laptop, with its fan."""
    number = _seed(take.source, "far", seed)
    rng = np.random.default_rng(number)
    if take.splits:
        take = with_pauses(last_splits([take], (700,))[0], (700,), number)
    dry, shift = _placed(take)
    heard = in_room(dry, rng, seconds=0.5)
    heard *= np.float32(10 ** ((_FAR - level_of(heard)) / 20))
    return _clip(take, "far", "", heard + at_level(fan(len(dry), rng), _ROOM), shift, seed)


def _silent(seed: int, seconds: float) -> Iterator[Clip]:
    for sound in SOUNDS:
        number = _seed(sound, "no speech", seed)
        audio, events = stretch(sound, seconds, np.random.default_rng(number))
        yield Clip(f"no speech {sound}", "no speech", "nobody", sound, "", seed, to_pcm(audio), events=events)


def _seed(source: str, label: str, seed: int) -> int:
    return zlib.crc32(f"{source}/{label}/{seed}".encode())
