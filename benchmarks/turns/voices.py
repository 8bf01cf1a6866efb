"""Synthetic speech with the place of every word: sentences and fillers and figures, spoken by eSpeak NG."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.turns.audio import RATE, Samples, from_pcm
from pipeline.audio.resample import resample
from providers.contracts import TextMark, TtsOptions
from providers.tts.espeak import EspeakTts

__all__ = ["COMPLETE", "DIGITS", "FILLED", "SENTENCES", "VOICES", "Spoken", "speak"]

# Voice and speed. Several accents, sexes and paces; none of the variants that breathe (f2, f3, f5), whose
# noise is another in each process.
VOICES = (("en-us", 1.0), ("en-gb+f4", 0.9), ("en-us+m3", 1.15), ("en-gb-scotland", 1.0), ("en-us+f1", 1.1))

COMPLETE = (
    "Yes please.",
    "Can you turn the lights off in the kitchen?",
    "My flight leaves tomorrow morning at nine.",
    "No thanks, that is all I need.",
    "I already paid that bill last week.",
    "What will the weather be like on Saturday?",
    "Please call me back in the afternoon.",
    "It stopped working after the last update.",
)

# A bar is where the speaker stops to think: nobody can have finished there. The comma keeps the voice up, as
# people do who mean to go on.
SENTENCES = (
    "I would like to book a, | table for four people on Friday.",
    "Could you tell me whether the, | pharmacy is open on Sunday?",
    "I was calling because my, | order has not arrived yet.",
    "We need to move the meeting to, | Thursday afternoon.",
    "She said that we should wait until the, | rain stops.",
    "The problem is that it, | never starts before nine.",
    "Do you know if there is a, | train to the airport tonight?",
    "I left my keys at the office and, | now I cannot get in.",
)
FILLED = (
    "I was hoping to, um, | change my reservation.",
    "Can you, uh, | send me the invoice again?",
    "It was, well, um, | not what I expected.",
    "So, uh, | what are my options here?",
    "The name is, um, | Peterson, with an o.",
    "I think we should, uh, | start with the second one.",
)
DIGITS = (
    "My number is four one five, | six seven two, | nine nine zero one.",
    "It is four two four two, | one one eight seven, | zero zero five three, | nine one two six.",
    "The code is seven three | eight one.",
    "My postcode is S W one A, | two A A.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """Speech at 16 kHz, and where the words behind the bars begin, in samples."""

    samples: Samples
    splits: tuple[int, ...]


def speak(texts: list[tuple[str, str, float]]) -> list[Spoken]:
    """Speak (text, voice, speed) each; bars in a text mark borders that are wanted and are not spoken.

    The library goes on where its last sound ended, so the samples are the same only after the same texts.
    """
    return asyncio.run(_speak_all(texts))


async def _speak_all(texts: list[tuple[str, str, float]]) -> list[Spoken]:
    tts = EspeakTts()
    try:
        return [await _speak(tts, *each) for each in texts]
    finally:
        await tts.aclose()


async def _speak(tts: EspeakTts, text: str, voice: str, speed: float) -> Spoken:
    pieces = text.split("| ")
    borders = [sum(map(len, pieces[:count])) for count in range(1, len(pieces))]

    async def whole() -> AsyncIterator[str]:
        yield "".join(pieces)

    pcm = bytearray()
    marks: list[TextMark] = []
    async for chunk in tts.speak(whole(), TtsOptions(voice, speed)):
        pcm += chunk.pcm
        marks += chunk.marks
    starts = [min(mark.samples for mark in marks if mark.chars >= border) for border in borders]
    samples = from_pcm(resample(bytes(pcm), tts.sample_rate, RATE))
    return Spoken(samples, tuple(start * RATE // tts.sample_rate for start in starts))
