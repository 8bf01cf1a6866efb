"""The assistant's own voice is known again however it comes back, and nobody else is taken for it."""

import asyncio
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.audio.codecs import decode, encode
from pipeline.audio.echo import ECHO, EchoDetector
from pipeline.audio.resample import resample
from providers.contracts import TtsOptions
from providers.tts.espeak import EspeakTts
from tests.speech import recording, silence

RATE = 16_000
Samples = NDArray[np.float64]

REPLY = (
    "Good morning, and thank you for calling. I can help you with your booking, your invoices, or anything. "
    "There are three trains to the airport tonight: the first leaves at seven fifteen from platform four, "
    "and the last one a few minutes before eleven. Shall I book a seat for you?"
)
OTHER_WORDS = (
    "No, wait, I wanted to ask about something completely different. My parcel has not arrived yet, and "
    "nobody answers the phone. My sister lives in Scotland, and she must have it on Friday."
)


@cache
def spoken(text: str, voice: str) -> Samples:
    async def speak() -> bytes:
        tts = EspeakTts()

        async def whole() -> AsyncIterator[str]:
            yield text

        try:
            pcm = b"".join([chunk.pcm async for chunk in tts.speak(whole(), TtsOptions(voice))])
        finally:
            await tts.aclose()
        return resample(pcm, tts.sample_rate, RATE)

    return samples(asyncio.run(speak()))


def samples(pcm: bytes) -> Samples:
    """All voices of these tests are equally loud."""
    values = np.frombuffer(pcm, "<i2").astype(np.float64)
    return values * 2500 / loudness(values)


def loudness(values: Samples) -> float:
    """The level of the voice, without its pauses."""
    parts = values[: len(values) // 160 * 160].reshape(-1, 160)
    powers = (parts**2).mean(axis=1)
    return float(np.sqrt(powers[powers > powers.max() / 100].mean()))


def pcm(values: Samples) -> bytes:
    return bytes(np.clip(np.rint(values), -32768, 32767).astype("<i2").tobytes())


def reply() -> Samples:
    return spoken(REPLY, "en-us")


@cache
def person(name: str = "beckett") -> Samples:
    """Without the wind that some recordings have in their pauses: what is louder than that is the voice."""
    voice = np.frombuffer(recording(name, RATE), "<i2").astype(np.float64)
    spectrum = np.fft.rfft(voice)
    spectrum[np.fft.rfftfreq(len(voice), 1 / RATE) < 100] = 0
    return samples(pcm(np.fft.irfft(spectrum, len(voice))))


def detector(values: Samples, rate: int = RATE) -> EchoDetector:
    ear = EchoDetector()
    ear.played(resample(pcm(values), RATE, rate), rate)
    return ear


def in_room(values: Samples, seed: int = 0) -> Samples:
    """By a small loudspeaker and the walls of a room with a reverberation of 0.3 s."""
    rng = np.random.default_rng(seed)
    length = int(0.3 * RATE)
    walls = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    walls[:40] = 0
    walls *= 0.6 / np.sqrt((walls**2).sum())
    walls[0] = 1
    size = 1 << (len(values) + length).bit_length()
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1)
    loudspeaker = 1 / np.sqrt(1 + (300 / frequency) ** 4) / np.sqrt(1 + (frequency / 5000) ** 8)
    heard = np.fft.irfft(np.fft.rfft(values, size) * np.fft.rfft(walls, size) * loudspeaker, size)[
        : len(values)
    ]
    return np.asarray(heard * loudness(values) / loudness(heard))


def stretches(values: Samples, ms: int, count: int, seed: int = 0) -> list[Samples]:
    """Some in which somebody speaks all the time."""
    rng = np.random.default_rng(seed)
    length = ms * RATE // 1000
    least = loudness(values) / 8
    taken: list[Samples] = []
    while len(taken) < count:
        start = int(rng.integers(0, len(values) - length))
        stretch = values[start : start + length]
        if min(np.sqrt((part**2).mean()) for part in np.array_split(stretch, ms // 150)) > least:
            taken.append(stretch)
    return taken


def found(ear: EchoDetector, heard: list[Samples], rate: int = RATE) -> float:
    """The share that is taken for an echo."""
    return float(np.mean([ear.is_echo(resample(pcm(one), RATE, rate), rate) for one in heard]))


def by_telephone(values: Samples) -> Samples:
    narrow = decode(encode(resample(pcm(values), RATE, 8000), "audio/pcmu"), "audio/pcmu")
    return np.frombuffer(resample(narrow, 8000, RATE), "<i2").astype(np.float64)


def in_noise(values: Samples) -> Samples:
    level = loudness(values) * 10 ** (-15 / 20)
    return values + level * np.random.default_rng(1).standard_normal(len(values))


WAYS: dict[str, Callable[[Samples], Samples]] = {
    "as it was sent": lambda values: values,
    "by a room": in_room,
    "by a room, 30 dB quieter": lambda values: in_room(values) / 31.6,
    "by a room, wired the other way round": lambda values: -in_room(values),
    "by a room and a telephone": lambda values: by_telephone(in_room(values)),
    "by a room, in noise": lambda values: in_noise(in_room(values)),
}


@pytest.mark.parametrize(("ms", "least"), [(300, 0.85), (600, 0.95)])
@pytest.mark.parametrize("way", WAYS)
def test_the_assistant_is_known_again_however_it_comes_back(way: str, ms: int, least: float) -> None:
    heard = WAYS[way](reply())

    assert found(detector(reply()), stretches(heard, ms, 40)) >= least


def test_a_short_reply_is_known_again() -> None:
    words = spoken("Yes, of course.", "en-us")

    assert found(detector(words), stretches(in_room(words), 400, 20)) >= 0.9
    assert found(detector(words), stretches(person(), 400, 20)) <= 0.05


def test_a_sentence_that_was_sent_several_times_is_known_again() -> None:
    words = spoken("Sorry, I did not get that.", "en-us")
    ear = detector(np.tile(words, 5))

    assert found(ear, stretches(in_room(words), 400, 20)) >= 0.9
    assert found(ear, stretches(person(), 400, 20)) <= 0.05


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_the_rates_of_output_and_input_do_not_matter(rate: int) -> None:
    heard = stretches(in_room(reply()), 500, 10)

    assert found(detector(reply(), rate), heard) >= 0.9
    assert found(detector(reply()), heard, rate) >= 0.9


def test_a_human_voice_that_is_played_is_known_again() -> None:
    played = person("two_cities")[: 20 * RATE]

    assert found(detector(played), stretches(in_room(played), 500, 40)) >= 0.95


@pytest.mark.parametrize("name", ["beckett", "clone-test", "two_cities", "endgame_nagg_nell"])
def test_a_person_is_not_taken_for_the_assistant(name: str) -> None:
    ear = detector(reply())

    assert found(ear, stretches(person(name), 300, 50)) <= 0.06
    assert found(ear, stretches(person(name), 600, 50)) <= 0.04


def test_a_speaker_is_told_from_a_recording_of_the_same_speaker() -> None:
    voice = person("two_cities")

    assert found(detector(voice[: 25 * RATE]), stretches(voice[25 * RATE :], 600, 50)) <= 0.08


def test_other_words_in_the_assistants_own_voice_are_not_an_echo() -> None:
    heard = in_room(spoken(OTHER_WORDS, "en-us"))

    assert found(detector(reply()), stretches(heard, 600, 60)) <= 0.05


@pytest.mark.parametrize("voice", ["en-gb-scotland", "en-us+f2"])
def test_whoever_repeats_a_word_of_the_assistant_is_not_an_echo(voice: str) -> None:
    heard = spoken("The airport? Platform four? Shall I? The last one, at eleven.", voice)

    assert found(detector(reply()), stretches(heard, 600, 40)) <= 0.15


@pytest.mark.parametrize(("decibels", "most"), [(0, 0.45), (6, 0.1), (12, 0.05)])
def test_who_speaks_over_the_echo_is_not_an_echo(decibels: int, most: float) -> None:
    heard = [
        echo + user * 10 ** (decibels / 20) * np.sqrt((echo**2).mean() / (user**2).mean())
        for echo, user in zip(stretches(in_room(reply()), 500, 60), stretches(person(), 500, 60), strict=True)
    ]

    assert found(detector(reply()), heard) <= most


def test_the_more_an_interruption_drowns_the_echo_the_less_similar_it_is() -> None:
    ear = detector(reply())
    echoes, users = stretches(in_room(reply()), 600, 20), stretches(person(), 600, 20)

    means = [
        np.mean(
            [ear.similarity(pcm(echo + share * user), RATE) for echo, user in zip(echoes, users, strict=True)]
        )
        for share in (0, 0.3, 1, 3)
    ]

    assert means == sorted(means, reverse=True)
    assert means[0] > ECHO > means[-1]


def test_the_pieces_in_which_it_was_sent_do_not_matter() -> None:
    whole, trickle = detector(reply()), EchoDetector()
    sent = pcm(reply())
    for start in range(0, len(sent), 642):
        trickle.played(sent[start : start + 642], RATE)

    for stretch in stretches(in_room(reply()), 300, 5) + stretches(person(), 300, 5):
        assert trickle.similarity(pcm(stretch), RATE) == pytest.approx(whole.similarity(pcm(stretch), RATE))


def test_the_end_of_a_reply_is_known_while_its_reverberation_lasts() -> None:
    heard = in_room(np.concatenate((reply(), np.zeros(RATE))))
    spoken_until = int(np.flatnonzero(np.abs(reply()) > 1000)[-1])

    end = spoken_until + RATE // 20
    assert detector(reply()).is_echo(pcm(heard[end - RATE // 2 : end]), RATE)


def test_an_earlier_reply_is_known_while_the_next_one_is_already_sent() -> None:
    ear = detector(reply())
    ear.played(resample(pcm(spoken(OTHER_WORDS, "en-us+m3")), RATE, 24_000), 24_000)

    assert found(ear, stretches(in_room(reply()), 500, 10)) >= 0.9
    assert found(ear, stretches(in_room(spoken(OTHER_WORDS, "en-us+m3")), 500, 10)) >= 0.9


def test_only_the_newest_audio_is_kept() -> None:
    ear = EchoDetector(seconds=8)
    first, last = person("two_cities")[: 8 * RATE], reply()[-6 * RATE :]
    for part in (first, reply()[: 3 * RATE], last):
        ear.played(pcm(part), RATE)

    assert found(ear, stretches(first, 500, 10)) == 0
    assert found(ear, stretches(last, 500, 10)) == 1


def test_memory_stays_within_its_bound_however_much_is_played() -> None:
    ear = EchoDetector()
    minute = pcm(np.resize(reply(), 60 * RATE))
    ear.played(minute, RATE)
    tracemalloc.start()
    try:
        held = EchoDetector()
        for _ in range(3):
            for start in range(0, len(minute), RATE):
                held.played(minute[start : start + RATE], RATE)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size < 2 * 60 * 9000


def test_what_the_client_has_dropped_is_forgotten_but_for_a_moment() -> None:
    ear = detector(reply())
    unheard = 6.0
    heard, dropped = reply()[: -int(unheard * RATE)], reply()[-int((unheard - 1.5) * RATE) :]

    ear.forget(unheard)

    assert found(ear, stretches(in_room(heard), 500, 10)) >= 0.9
    assert found(ear, stretches(in_room(dropped), 500, 10)) == 0


def test_less_than_a_moment_is_not_worth_forgetting() -> None:
    ear = detector(reply())

    ear.forget(0.5)

    assert ear.is_echo(pcm(stretches(reply()[-3 * RATE :], 500, 1)[0]), RATE)


def test_after_a_reset_nothing_is_an_echo_until_more_is_played() -> None:
    ear = detector(reply())
    stretch = pcm(stretches(reply(), 500, 1)[0])

    ear.reset()
    assert ear.similarity(stretch, RATE) == 0

    ear.played(pcm(reply()), RATE)
    assert ear.is_echo(stretch, RATE)


def test_nothing_is_no_echo() -> None:
    ear = detector(reply())

    assert EchoDetector().similarity(pcm(stretches(reply(), 500, 1)[0]), RATE) == 0
    assert ear.similarity(b"", RATE) == 0
    assert ear.similarity(silence(500, RATE), RATE) == 0
    assert ear.similarity(pcm(stretches(reply(), 500, 1)[0][: RATE // 10]), RATE) == 0


def test_silence_that_was_played_is_like_nobody() -> None:
    ear = EchoDetector()
    ear.played(silence(5000, RATE), RATE)

    assert found(ear, stretches(person(), 400, 10)) == 0


def test_noise_is_not_an_echo() -> None:
    rng = np.random.default_rng(2)
    noises = [1000 * rng.standard_normal(RATE // 2) for _ in range(40)]

    assert found(detector(reply()), noises) == 0


def test_a_long_stretch_is_judged_by_its_last_second() -> None:
    ear = detector(reply())
    echo = stretches(in_room(reply()), 1000, 1)[0]

    assert ear.similarity(pcm(np.concatenate((person(), echo))), RATE) == pytest.approx(
        ear.similarity(pcm(echo), RATE), abs=0.02
    )


def test_it_can_be_asked_while_more_is_played() -> None:
    ear = detector(reply())
    stretch = pcm(stretches(in_room(reply()), 500, 1)[0])
    expected = ear.similarity(stretch, RATE)
    sent = pcm(person())

    def play() -> None:
        for start in range(0, len(sent), 3200):
            ear.played(sent[start : start + 3200], RATE)

    player = threading.Thread(target=play)
    player.start()
    answers = [ear.similarity(stretch, RATE)]
    while player.is_alive():
        answers.append(ear.similarity(stretch, RATE))
    player.join()

    assert answers == pytest.approx([expected] * len(answers))
