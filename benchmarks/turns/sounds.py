"""Sounds that are no speech: coughs, clicks, knocks, keyboards, music, the noise of rooms; all made here."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns.audio import RATE, Samples, at_level, coloured, fan

__all__ = ["SOUNDS", "stretch"]

_Rng = np.random.Generator
_Array = NDArray[np.float64]
_LOUD, _ROOM = -24.0, -60.0  # dB of full scale: the loudest stretch of an event, and the room around it


def _band(count: int, rng: _Rng, low: float, high: float) -> _Array:
    """Noise between two frequencies, in Hertz, with soft edges."""
    size = 1 << count.bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    edge = np.exp(-((np.maximum(low - frequency, 0) / (low / 4)) ** 2))
    edge *= np.exp(-((np.maximum(frequency - high, 0) / (high / 4)) ** 2))
    noise = np.fft.irfft(spectrum * edge, size)[:count]
    steady: _Array = noise / (noise.std() + 1e-9)
    return steady


def _decay(count: int, seconds: float, attack: float = 0.002) -> _Array:
    time = np.arange(count) / RATE
    shape: _Array = np.minimum(time / attack, 1.0) * np.exp(-time / seconds)
    return shape


def _throat_tone(count: int, rng: _Rng, low: float, high: float) -> _Array:
    """Pulses of an unsteady pitch through two resonances: what vocal folds do without a word."""
    pitch = np.linspace(high, low, count) * (
        1 + 0.06 * np.cumsum(rng.standard_normal(count)) / np.sqrt(count)
    )
    phase = np.cumsum(pitch / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * rng.uniform(0.3, 1.0, count)
    spectrum = np.fft.rfft(pulses)
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    shape = sum(a / (1 + ((frequency - f) / w) ** 2) for f, w, a in ((550, 150, 1.0), (1500, 300, 0.4)))
    tone = np.fft.irfft(spectrum * shape, count)
    loudest: _Array = tone / (np.abs(tone).max() + 1e-9)
    return loudest


def _cough(rng: _Rng) -> _Array:
    """A burst, rushing air, and often a voiced end; one to three in a row."""
    coughs = []
    for _ in range(rng.integers(1, 4)):
        burst = _band(RATE // 20, rng, 300, 5000) * _decay(RATE // 20, 0.015)
        air = _band(RATE // 5, rng, 500, 3500) * _decay(RATE // 5, 0.07, 0.01) * 0.4
        voiced = _throat_tone(RATE // 10, rng, 140, 260) * np.hanning(RATE // 10) * rng.uniform(0, 0.6)
        coughs += [burst, air, voiced, np.zeros(int(rng.uniform(0.05, 0.3) * RATE))]
    return np.concatenate(coughs)


def _throat(rng: _Rng) -> _Array:
    """A throat that is cleared: low, rough, in two or three pushes."""
    pushes = []
    for _ in range(rng.integers(2, 4)):
        count = int(rng.uniform(0.12, 0.3) * RATE)
        rough = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(25, 40) * np.arange(count) / RATE)
        push = (_throat_tone(count, rng, 80, 130) + 0.25 * _band(count, rng, 300, 2500)) * rough
        pushes += [push * np.hanning(count), np.zeros(int(rng.uniform(0.03, 0.12) * RATE))]
    return np.concatenate(pushes)


def _click(rng: _Rng) -> _Array:
    count = RATE // 50
    return _band(count, rng, 800, 6000) * _decay(count, rng.uniform(0.001, 0.004), 0.0002)


def _keyboard(rng: _Rng) -> _Array:
    """Some words typed: key down, key up."""
    typed = np.zeros(int(rng.uniform(1.0, 3.0) * RATE))
    at = 0.0
    while (at := at + rng.uniform(0.07, 0.25)) * RATE < len(typed) - RATE // 8:
        for delay, strength in ((0.0, 1.0), (rng.uniform(0.05, 0.09), 0.4)):
            start = int((at + delay) * RATE)
            stroke = _click(rng) * strength * rng.uniform(0.5, 1)
            stroke += (
                np.sin(2 * np.pi * 180 * np.arange(len(stroke)) / RATE) * _decay(len(stroke), 0.005) * 0.5
            )
            typed[start : start + len(stroke)] += stroke[: len(typed) - start]
    return typed


def _knock(rng: _Rng) -> _Array:
    """Knuckles on a door, two to five times."""
    knocks = []
    pace = rng.uniform(0.15, 0.3)
    for _ in range(rng.integers(2, 6)):
        count = int(pace * RATE)
        time = np.arange(count) / RATE
        wood = sum(
            np.sin(2 * np.pi * f * time) * np.exp(-time / d)
            for f, d in ((110, 0.05), (240, 0.03), (610, 0.012))
        )
        knocks.append(wood * rng.uniform(0.7, 1) + _band(count, rng, 300, 3000) * _decay(count, 0.006) * 0.5)
    return np.concatenate(knocks)


def _music(rng: _Rng) -> _Array:
    """Eight bars of chords, a tune above them, and a drum."""
    beat = rng.uniform(0.35, 0.55)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    count = int(32 * beat * RATE)
    music = np.zeros(count + RATE)
    for index in range(32):
        start = int(index * beat * RATE)
        chord = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (-3, 0, 4))[index // 4 % 4]
        notes = [(step, 0.25) for step in chord] if index % 4 == 0 else []
        notes += [(12 + chord[rng.integers(0, 3)], 0.5)]
        for step, strength in notes:
            length = int((4 if strength < 0.5 else 1) * beat * RATE)
            time = np.arange(length) / RATE
            pitch = root * 2 ** (step / 12) * (1 + 0.003 * np.sin(2 * np.pi * 5 * time))
            phase = 2 * np.pi * np.cumsum(pitch) / RATE
            tone = sum(np.sin(k * phase) / k**1.3 for k in range(1, 7)) * np.exp(
                -1.5 * time / (length / RATE)
            )
            end = min(start + length, len(music))
            music[start:end] += (tone * np.minimum(time / 0.01, 1) * strength)[: end - start]
        drum = _band(RATE // 10, rng, 100, 6000) * _decay(RATE // 10, 0.03) * 0.3
        music[start : start + len(drum)] += drum
    return music[:count]


_EVENTS: Mapping[str, tuple[Callable[[_Rng], _Array], float]] = {  # and the seconds between two
    "coughs": (_cough, 4.0),
    "throat": (_throat, 4.0),
    "clicks": (_click, 1.5),
    "keyboard": (_keyboard, 2.0),
    "knocks": (_knock, 4.0),
    "music": (_music, 2.0),
}
SOUNDS = (*_EVENTS, "noise")


def stretch(sound: str, seconds: float, rng: _Rng) -> tuple[Samples, int]:
    """So much of that sound in a quiet room, and how many events are in it."""
    count = int(seconds * RATE)
    if sound == "noise":
        each = count // 9
        pieces = []
        for level in (-55.0, -45.0, -35.0):
            rooms = [coloured(each, rng, slope=0), coloured(each, rng, slope=1), fan(each, rng)]
            pieces += [at_level(room, level) for room in rooms]
        return np.concatenate(pieces), 0
    make, gap = _EVENTS[sound]
    audio = at_level(coloured(count, rng, slope=1), _ROOM).astype(np.float64)
    events = 0
    at = RATE
    while True:
        event = make(rng)
        if at + len(event) > count - RATE:
            return audio.astype(np.float32), events
        whole = max(1, len(event) // (RATE // 20))
        loudest = max(np.sqrt((part**2).mean()) for part in np.array_split(event, whole))
        audio[at : at + len(event)] += event / loudest * 10 ** (rng.uniform(_LOUD - 6, _LOUD + 6) / 20)
        events += 1
        at += len(event) + int(rng.uniform(0.6, 1.4) * gap * RATE)
