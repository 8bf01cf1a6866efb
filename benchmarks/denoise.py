"""What noise reduction costs at each rate, and what it does for speech in noise.

uv run python -m benchmarks.denoise
"""

import os
import sys
import time
from collections.abc import Iterable
from itertools import pairwise, product
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.denoise import DELAY_MS, Denoiser
from pipeline.audio.resample import resample
from pipeline.config import NoiseReduction
from providers.contracts import VadFrame
from providers.stt.moonshine_model import MoonshineModel
from providers.vad.silero import SileroVad
from providers.weights import wheel_file
from server.talk.recording import RATE, read_recording

__all__ = ["contrast", "fidelity", "noise", "reduced", "voiced", "word_errors"]

RATES = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
REDUCTIONS = (NoiseReduction("near_field"), NoiseReduction("far_field"))
NOISES = ("white", "pink", "fan")
WORDS = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
RATIOS = (20, 10, 5)  # dB
SEEDS = 5  # of each noise: a dozen words in one alone says little about errors
LEAD_S = 2  # of noise alone, in which the suppressor learns it
SEGMENT_MS = 250

Signal = NDArray[np.float64]


def noise(kind: str, count: int, rate: int, seed: int = 0) -> Signal:
    """Steady noise with a root mean square of 1: "white", "pink" (rooms, streets), or a "fan" that hums."""
    rng = np.random.default_rng(seed)
    sound: Signal = rng.standard_normal(count)
    if kind != "white":
        size = 1 << count.bit_length()
        spectrum = np.fft.rfft(rng.standard_normal(size))
        sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(size, 1 / rate), 20)))[:count]
    sound /= sound.std()
    if kind == "fan":
        phase = 2 * np.pi * 120 / rate * np.arange(count)
        sound += 0.5 * sum(np.sin(harmonic * phase + harmonic) / harmonic for harmonic in range(1, 8))
    sound /= sound.std()
    return sound


def voiced(clean: Signal, rate: int) -> NDArray[np.bool_]:
    """Of each whole segment of a quarter of a second, whether somebody speaks in it."""
    segments = _segments(clean, rate)
    power = (segments**2).mean(axis=1)
    return np.asarray(power > power.max() / 1000)


def contrast(signal: Signal, speaks: NDArray[np.bool_], rate: int) -> float:
    """By how many dB speech stands out of the pauses."""
    power = (_segments(signal, rate) ** 2).mean(axis=1)
    return float(10 * np.log10(power[speaks].mean() / max(power[~speaks].mean(), 1e-9)))


def fidelity(signal: Signal, clean: Signal, speaks: NDArray[np.bool_], rate: int) -> float:
    """The signal-to-noise ratio of the segments with speech, in dB, on average; whatever their loudness."""
    got, wanted = _segments(signal, rate)[speaks], _segments(clean, rate)[speaks]
    part = (got * wanted).sum(axis=1, keepdims=True) / (wanted**2).sum(axis=1, keepdims=True) * wanted
    ratio = (part**2).sum(axis=1) / np.maximum(((got - part) ** 2).sum(axis=1), 1e-9)
    return float((10 * np.log10(ratio)).mean())


def reduced(pcm: bytes, rate: int, reduction: NoiseReduction) -> bytes:
    """A whole recording without its noise, in its place."""
    held = bytes(2 * (rate * DELAY_MS // 1000))
    return Denoiser(rate, reduction).process(pcm + held)[len(held) :]


def word_errors(wanted: str, heard: str) -> float:
    """Wrong, missing and additional words for each word that was said."""
    first, second = _words(wanted), _words(heard)
    row = list(range(len(second) + 1))
    for index, word in enumerate(first, 1):
        corner, row[0] = row[0], index
        for place, other in enumerate(second, 1):
            corner, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, corner + (word != other)),
            )
    return row[-1] / len(first)


def probabilities(vad: SileroVad, pcm: bytes) -> list[float]:
    """Of speech, for each 32 ms at 16 kHz."""
    stream, size = vad.new_stream(), 2 * vad.frame_samples
    starts = range(0, len(pcm) - size + 1, size)
    return [vad.infer([VadFrame(stream, pcm[at : at + size])])[0] for at in starts]


def _segments(signal: Signal, rate: int) -> Signal:
    size = rate * SEGMENT_MS // 1000
    return signal[: len(signal) // size * size].reshape(-1, size)


def _words(text: str) -> list[str]:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").split()


# --- the report ---------------------------------------------------------------------------------------


def _costs(rate: int, reduction: NoiseReduction, milliseconds: int, seconds: int = 8) -> float:
    """Processor time in microseconds for each 10 ms of audio that comes in chunks of that length."""
    sound = (500 * noise("pink", rate * seconds, rate)).astype("<i2").tobytes()
    size = 2 * (rate * milliseconds // 1000)
    denoiser = Denoiser(rate, reduction)
    times = [time.thread_time()]
    for at in range(0, len(sound) - size + 1, size):
        denoiser.process(sound[at : at + size])
        times.append(time.thread_time())
    return median(after - before for before, after in pairwise(times)) * 1e6 * 10 / milliseconds


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    titles = list(head)
    print(f"\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def _cost_rows() -> Iterable[Iterable[object]]:
    for rate in RATES:
        for reduction in REDUCTIONS:
            short, long = (_costs(rate, reduction, ms) for ms in (20, 1000))
            yield rate, reduction.type, f"{short:.0f}", f"{short / 100:.2f} %", f"{long:.0f}"


def _speech_rows(level: float) -> Iterable[Iterable[object]]:
    vad, model = SileroVad(), MoonshineModel()
    speech = np.frombuffer(read_recording(wheel_file("moonshine_voice", "assets/beckett.wav")).pcm, "<i2")
    clean = np.concatenate((np.zeros(LEAD_S * RATE), level * speech))
    speaks = voiced(clean, RATE)
    loudness = np.sqrt((_segments(clean, RATE)[speaks] ** 2).mean())
    lead = LEAD_S * 16_000 // vad.frame_samples
    for ratio in RATIOS:
        for reduction in (None, *REDUCTIONS):
            figures = []
            for kind, seed in product(NOISES, range(SEEDS)):
                noisy = clean + loudness / 10 ** (ratio / 20) * noise(kind, len(clean), RATE, seed)
                pcm = np.rint(noisy).clip(-32768, 32767).astype("<i2").tobytes()
                if reduction is not None:
                    pcm = reduced(pcm, RATE, reduction)
                signal, heard = np.frombuffer(pcm, "<i2").astype(float), resample(pcm, RATE, 16_000)
                chances = probabilities(vad, heard)
                words = model.transcribe(heard[2 * LEAD_S * 16_000 :])
                figures.append(
                    (
                        contrast(signal, speaks, RATE),
                        fidelity(signal, clean, speaks, RATE),
                        float(np.mean(chances[:lead])),
                        float(np.mean(chances[lead:])),
                        word_errors(WORDS, words.text if words else ""),
                    )
                )
            means = np.mean(figures, axis=0)
            name = "none" if reduction is None else reduction.type
            yield (
                ratio,
                name,
                f"{means[0]:.1f}",
                f"{means[1]:.1f}",
                *(f"{mean:.3f}" for mean in means[2:4]),
                f"{means[4]:.2f}",
            )


def main() -> int:
    _table(
        ("rate, Hz", "type", "us per 10 ms, in chunks of 20 ms", "of a core", "in chunks of 1 s"),
        _cost_rows(),
    )
    for level, name in ((1.0, "close"), (0.05, "distant, 26 dB quieter")):
        print(f"\nA {name} voice in white, pink and fan noise, on average:")
        _table(
            (
                "SNR, dB",
                "reduction",
                "speech above pauses, dB",
                "segmental SNR, dB",
                "speech probability in noise",
                "and in speech",
                "word errors",
            ),
            _speech_rows(level),
        )
    return 0


if __name__ == "__main__":
    # As the server does it: small matrices are multiplied faster by one thread.
    if os.environ.setdefault("OPENBLAS_NUM_THREADS", "1") != "1":
        print("OPENBLAS_NUM_THREADS is not 1: the times are not those of the server.", file=sys.stderr)
    sys.exit(main())
