"""How well the assistant's own voice is told from other voices, and what that costs.

uv run python -m benchmarks.echo --stretches 200
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from benchmarks.turns.audio import RATE, Samples, at_level, coloured, decibels, level_of, read, to_pcm
from benchmarks.turns.voices import speak
from pipeline.audio.codecs import decode, encode
from pipeline.audio.echo import ECHO, EchoDetector
from pipeline.audio.resample import resample
from providers.weights import wheel_file

LENGTHS = (200, 300, 400, 500, 600, 800, 1000)  # ms
THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
LEVELS = (-12, -6, -3, 0, 3, 6, 12)  # dB of the user beside the echo
PLAYED_S = 30
LEVEL = -24.0  # dB of full scale, of everybody's voice
ROOMS_EACH = 8  # so many loudspeakers and rooms of each kind
WINDOW_MS, STEP_MS = 600, 200  # how the engine compares a reply from its beginning to its end

REPLIES = (
    "Good morning, thank you for calling. I can help you with your booking, your invoices, or anything else.",
    "What would you like to know about our service? I have all the time in the world, so take yours.",
    "The weather tomorrow will be mostly sunny, with a high of twenty one degrees in the afternoon.",
    "There is a light breeze from the west. You will not need an umbrella, although it may rain on Thursday.",
    "To change your password, open the settings, choose security, and press the third button from the top.",
    "Then type your old password once and the new one twice and confirm with the code that we have sent you.",
)
INTERRUPTIONS = (
    "No, wait, I wanted to ask about something completely different. My order has not arrived yet.",
    "Could you stop for a moment please? I think you did not understand me, and nobody answers the phone.",
    "My sister lives in Scotland and she wants the parcel to be there when her daughter is back from school.",
    "Hang on, hang on. Which platform was it, and how much is it for two adults and a child with a bicycle?",
)
REPEATED = "Your booking? Tomorrow? Umbrella. Degrees? The password. Security? On Thursday? Invoices."
ASSISTANTS = ("en-us", "en-gb+f3")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What three assistants say, the ears that have heard it, and what others say; all equally loud."""

    played: tuple[Samples, ...]
    ears: tuple[EchoDetector, ...]
    same_voice: tuple[Samples, ...]  # other words in the voice of each assistant
    people: tuple[Samples, ...]
    words: tuple[Samples, ...]  # of the replies, repeated by other synthetic voices


Stretch = tuple[int, Samples]  # which assistant is listening for itself, and what the microphone hears
Source = Callable[[np.random.Generator, int], Stretch]


def _person(name: str) -> Samples:
    """A recording without what is below voices: in some the wind is louder than the words beside it."""
    samples = read(wheel_file("moonshine_voice", f"assets/{name}.wav"))
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) < 100] = 0
    return _loud(np.asarray(np.fft.irfft(spectrum, len(samples)), np.float32))


def _loud(samples: Samples) -> Samples:
    return samples * np.float32(10 ** ((LEVEL - level_of(samples)) / 20))


@cache
def scene() -> Scene:
    texts = [(text, voice, 1.0) for voice in ASSISTANTS for text in (*REPLIES, *INTERRUPTIONS)]
    spoken = [each.samples for each in speak(texts)]
    halves = len(REPLIES) + len(INTERRUPTIONS)
    cities, endgame, beckett, clone = (
        _person(name) for name in ("two_cities", "endgame_nagg_nell", "beckett", "clone-test")
    )
    played, same_voice = [], []
    for index in range(len(ASSISTANTS)):
        own = spoken[index * halves : (index + 1) * halves]
        played.append(_loud(np.concatenate(own[: len(REPLIES)])))
        same_voice.append(_loud(np.concatenate(own[len(REPLIES) :])))
    played.append(cities[: PLAYED_S * RATE])
    same_voice.append(cities[PLAYED_S * RATE :])
    repeated = speak([(REPEATED, voice, 1.0) for voice in ("en-gb-scotland", "en-us+f2")])
    ears = []
    for reply in played:
        ear = EchoDetector()
        ear.played(to_pcm(reply), RATE)
        ears.append(ear)
    words = tuple(_loud(each.samples) for each in repeated)
    people = (beckett, endgame, clone, cities[PLAYED_S * RATE :])
    return Scene(tuple(played), tuple(ears), tuple(same_voice), people, words)


# --- the way from the loudspeaker to the microphone ----------------------------------------------------


def _filtered(samples: Samples, response: Samples) -> Samples:
    size = 1 << (len(samples) + len(response)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(samples)], np.float32)


def _loudspeaker(rng: np.random.Generator) -> Samples:
    """A response that passes a band and is up to 6 dB uneven within it."""
    frequency = np.maximum(np.fft.rfftfreq(1024, 1 / RATE), 1.0)
    low, high = rng.uniform(100, 500), rng.uniform(3500, 7500)
    uneven = np.interp(np.log(frequency), np.log(np.geomspace(50, 8000, 9)), rng.uniform(-6, 6, 9))
    gain = 10 ** (uneven / 20) / np.sqrt(1 + (low / frequency) ** 4) / np.sqrt(1 + (frequency / high) ** 8)
    # Minimum phase: the cepstrum folded onto positive times.
    cepstrum = np.fft.irfft(np.log(np.maximum(gain, 1e-4)))
    fold = np.zeros(1024)
    fold[0] = fold[512] = 1.0
    fold[1:512] = 2.0
    return np.asarray(np.fft.irfft(np.exp(np.fft.rfft(cepstrum * fold)))[:400], np.float32)


def _room(rng: np.random.Generator, seconds: float, direct: float) -> Samples:
    """A response that falls by 60 dB in `seconds`; the direct sound is `direct` dB above all reflections."""
    length = int(seconds * RATE)
    response = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    response[: int(rng.uniform(0.0005, 0.006) * RATE)] = 0
    for delay in rng.uniform(0.001, 0.02, 6):
        response[int(delay * RATE)] += rng.choice([-1, 1]) * rng.uniform(1, 5)
    response *= 10 ** (-direct / 20) / np.sqrt((response**2).sum())
    response[0] = 1.0
    return np.asarray(response, np.float32)


# Reverberation in seconds, and the direct sound in dB above it.
PLACES = {
    "laptop or phone": ((0.15, 0.35), (3, 9)),
    "loudspeaker on the table": ((0.3, 0.6), (-3, 3)),
    "across the room": ((0.5, 0.8), (-8, -4)),
}


@cache
def _returned(assistant: int, place: str, number: int) -> Samples:
    rng = np.random.default_rng((assistant, number))
    played = scene().played[assistant]
    if not place:
        return played
    seconds, direct = PLACES[place]
    room = _room(rng, rng.uniform(*seconds), rng.uniform(*direct))
    return _loud(_filtered(_filtered(played, _loudspeaker(rng)), room))


# --- stretches -------------------------------------------------------------------------------------------


def _spoken(samples: Samples, ms: int, rng: np.random.Generator) -> Samples:
    """Some stretch in which somebody speaks: every 150 ms of it are within 18 dB of the voice's level."""
    length = ms * RATE // 1000
    level = level_of(samples)
    for _ in range(1000):
        start = int(rng.integers(0, len(samples) - length))
        stretch = samples[start : start + length]
        if min(decibels(part) for part in np.array_split(stretch, max(1, ms // 150))) > level - 18:
            return stretch
    raise ValueError("hardly anybody speaks here")


def echo(place: str = "", *, gain: float = 0, snr: float | None = None, user: float | None = None) -> Source:
    """Levels in dB: of the echo beside its source, above the noise, and of a person who speaks beside it."""

    def source(rng: np.random.Generator, ms: int) -> Stretch:
        assistant = int(rng.integers(len(scene().played)))
        whole = _returned(assistant, place, int(rng.integers(ROOMS_EACH)))
        stretch = _spoken(whole, ms, rng)
        if user is not None:
            people = [person for person in scene().people if len(person) > ms * RATE // 1000]
            person = _spoken(people[int(rng.integers(len(people)))], ms, rng)
            stretch = stretch + at_level(person, decibels(stretch) + user)
        if snr is not None:
            stretch = stretch + at_level(coloured(len(stretch), rng, slope=1), LEVEL - snr)
        return assistant, np.asarray(stretch * 10 ** (gain / 20), np.float32)

    return source


def voice(of: Callable[[Scene, int], Sequence[Samples]]) -> Source:
    """Somebody speaks and nothing comes back."""

    def source(rng: np.random.Generator, ms: int) -> Stretch:
        assistant = int(rng.integers(len(scene().played)))
        voices = of(scene(), assistant)
        voices = [each for each in voices if len(each) > ms * RATE // 1000]
        return assistant, _spoken(voices[int(rng.integers(len(voices)))], ms, rng)

    return source


def telephone(source: Source) -> Source:
    """What G.711 makes of it."""

    def coded(rng: np.random.Generator, ms: int) -> Stretch:
        assistant, stretch = source(rng, ms)
        narrow = resample(to_pcm(stretch), RATE, 8000)
        wide = resample(decode(encode(narrow, "audio/pcmu"), "audio/pcmu"), 8000, RATE)
        return assistant, np.frombuffer(wide, "<i2").astype(np.float32) / np.float32(32768)

    return coded


def drifting(source: Source) -> Source:
    """Played by a clock that is 200 ppm fast."""

    def slow(rng: np.random.Generator, ms: int) -> Stretch:
        assistant, stretch = source(rng, ms)
        times = np.arange(int(len(stretch) / 1.0002)) * 1.0002
        return assistant, np.asarray(np.interp(times, np.arange(len(stretch)), stretch), np.float32)

    return slow


ECHOES: dict[str, Source] = {
    "as it was sent": echo(),
    "30 dB quieter": echo(gain=-30),
    **{place: echo(place) for place in PLACES},
    "laptop or phone, 30 dB quieter": echo("laptop or phone", gain=-30),
    "laptop or phone, by telephone": telephone(echo("laptop or phone")),
    "laptop or phone, clock 200 ppm off": drifting(echo("laptop or phone")),
    **{f"{place}, noise 15 dB below": echo(place, snr=15) for place in PLACES},
    "laptop or phone, noise 5 dB below": echo("laptop or phone", snr=5),
}
OTHERS: dict[str, Source] = {
    "people": voice(lambda scene, _: scene.people),
    "the assistant's voice, other words": voice(lambda scene, assistant: [scene.same_voice[assistant]]),
    "its words, other voices": voice(lambda scene, _: scene.words),
}


def similarities(source: Source, ms: int, count: int) -> Samples:
    rng = np.random.default_rng(ms)
    values = []
    for _ in range(count):
        assistant, stretch = source(rng, ms)
        values.append(scene().ears[assistant].similarity(to_pcm(stretch), RATE))
    return np.asarray(values, np.float32)


def _percent(values: Samples, threshold: float = ECHO) -> str:
    return f"{100 * np.mean(values >= threshold):.1f}"


def _onsets(samples: Samples, ms: int) -> list[int]:
    """Samples at which a voice begins that then goes on for so long, after 80 ms of quiet."""
    frame = RATE // 100
    parts = samples[: len(samples) // frame * frame].reshape(-1, frame)
    voiced = 10 * np.log10((parts.astype(np.float64) ** 2).mean(axis=1) + 1e-12) > level_of(samples) - 22
    count = ms // 10
    return [
        at * frame
        for at in range(8, len(voiced) - count)
        if voiced[at] and not voiced[at - 8 : at].any() and voiced[at : at + count].mean() > 0.7
    ]


def _beginnings(wholes: Sequence[tuple[int, Samples]], ms: int) -> Samples:
    values = []
    for assistant, whole in wholes:
        for start in _onsets(whole, ms):
            stretch = to_pcm(whole[start : start + ms * RATE // 1000])
            values.append(scene().ears[assistant].similarity(stretch, RATE))
    return np.asarray(values, np.float32)


def _missed(place: str, snr: float | None) -> tuple[int, int, int]:
    """Comparisons along whole replies, how many found no echo, and how often two in a row did not."""
    window, step = WINDOW_MS * RATE // 1000, STEP_MS * RATE // 1000
    rng = np.random.default_rng(1)
    misses = []
    for assistant in range(len(scene().played)):
        for number in range(2):
            voice = whole = _returned(assistant, place, number)
            if snr is not None:
                whole = whole + at_level(coloured(len(whole), rng, slope=1), LEVEL - snr)
            level = level_of(voice)
            for end in range(window, len(whole), step):
                if decibels(voice[end - step : end]) > level - 18:
                    stretch = to_pcm(whole[end - window : end])
                    misses.append(not scene().ears[assistant].is_echo(stretch, RATE))
            misses.append(False)
    return len(misses), sum(misses), sum(one and other for one, other in pairwise(misses))


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(map(str, head)) + " |")
    print("|---|" + "---:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print()


def _costs() -> None:
    audio = to_pcm(np.resize(scene().played[0], PLAYED_S * RATE))
    for ms in (20, 200, 1000):
        ear, size = EchoDetector(), ms * RATE // 1000 * 2
        begun = time.process_time()
        for start in range(0, len(audio), size):
            ear.played(audio[start : start + size], RATE)
        spent = (time.process_time() - begun) / PLAYED_S
        print(f"Keeping what is played, in pieces of {ms} ms: {1000 * spent:.2f} ms per second of audio.")
    for ms in (300, 600, 1000):
        stretch = to_pcm(_spoken(scene().people[0], ms, np.random.default_rng(0)))
        times = []
        for _ in range(30):
            begun = time.process_time()
            ear.similarity(stretch, RATE)
            times.append(time.process_time() - begun)
        print(f"Comparing {ms} ms with {PLAYED_S} s: {1000 * float(np.median(times)):.1f} ms.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stretches", type=int, default=100, help="per figure")
    count = parser.parse_args().stretches

    print(f"Taken for an echo, percent of {count} stretches of so many ms (threshold {ECHO}):\n")
    rows: list[tuple[object, ...]]
    for what, sources in (("an echo, ...", ECHOES), ("somebody else", OTHERS)):
        rows = [
            (name, *(_percent(similarities(source, ms, count)) for ms in LENGTHS))
            for name, source in sources.items()
        ]
        _table((what, *LENGTHS), rows)

    print("People who speak over an echo (laptop or phone) and are taken for it, percent:\n")
    rows = []
    for level in LEVELS:
        source = echo("laptop or phone", user=level)
        rows.append((f"{level:+d} dB", *(_percent(similarities(source, ms, count)) for ms in LENGTHS)))
    _table(("level beside the echo", *LENGTHS), rows)

    print("By threshold: percent of echoes missed (laptop or phone), and of others taken for one:\n")
    rows = []
    for ms in (300, 600):
        own = [similarities(ECHOES[name], ms, count) for name in ("laptop or phone",)]
        own.append(similarities(ECHOES["laptop or phone, noise 15 dB below"], ms, count))
        others = [similarities(OTHERS[name], ms, 2 * count) for name in ("people", tuple(OTHERS)[1])]
        for threshold in THRESHOLDS:
            missed = [f"{100 * np.mean(values < threshold):.1f}" for values in own]
            rows.append((ms, threshold, *missed, *(_percent(values, threshold) for values in others)))
    _table(("ms", "threshold", "missed", "missed in noise", "people", "same voice"), rows)

    print("The beginnings of sounds, after a pause, percent taken for an echo:\n")
    assistants = range(len(scene().played))
    sets: dict[str, list[tuple[int, Samples]]] = {
        place: [(a, _returned(a, place, number)) for a in assistants for number in range(4)]
        for place in PLACES
    }
    sets["people"] = [(a, person) for a in assistants for person in scene().people]
    sets["the assistant's voice, other words"] = [(a, scene().same_voice[a]) for a in assistants]
    rows = []
    for name, wholes in sets.items():
        found = [_beginnings(wholes, ms) for ms in LENGTHS[:5]]
        rows.append((name, len(found[0]), *map(_percent, found)))
    _table(("beginning of", "sounds", *LENGTHS[:5]), rows)

    print(f"Replies from beginning to end, the last {WINDOW_MS} ms compared every {STEP_MS} ms:\n")
    rows = [
        (f"{place}{'' if snr is None else ', noise 15 dB below'}", *_missed(place, snr))
        for place in PLACES
        for snr in (None, 15.0)
    ]
    _table(("echo", "comparisons", "missed", "two in a row"), rows)
    _costs()
    return 0


if __name__ == "__main__":
    # As the server does it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
