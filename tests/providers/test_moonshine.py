"""Transcription of real voices: words, partial results, silence, length, load and cancellation."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from providers.contracts import SttEvent, SttOptions, TranscriptDelta, TranscriptFinal, TranscriptGuess
from providers.errors import ProviderError
from providers.stt.agreement import Agreement
from providers.stt.moonshine import STEPS, MoonshineStt
from providers.stt.moonshine_model import Hypothesis, MoonshineModel, loop_length, read_tokens
from providers.stt.utterance import MAX_WINDOW, Utterance
from tests.speech import BECKETT, recording, silence

RATE = 16_000
TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of"
    " foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of light,"
    " it was the season of darkness, it was the spring of hope, it was the winter of despair, we had"
    " everything before us, we had nothing before us, we were all going direct to heaven, we were all going"
    " direct the other way. In short, the period was so far like the present period that some of its noisiest"
    " authorities"
    " insisted on its being received, for good or for evil, in the superlative degree of comparison only."
)


@pytest.fixture(scope="module")
def stt() -> MoonshineStt:
    return MoonshineStt()


async def chunks(pcm: bytes, size: int = 1280) -> AsyncIterator[bytes]:
    """Audio as a client sends it, only faster: the other tasks get their turn after each chunk."""
    for start in range(0, len(pcm), size):
        await asyncio.sleep(0)
        yield pcm[start : start + size]


async def transcript(
    stt: MoonshineStt, pcm: bytes, size: int = 1280, options: SttOptions | None = None
) -> list[SttEvent]:
    return [event async for event in stt.transcribe(chunks(pcm, size), options or SttOptions())]


def final(events: Sequence[SttEvent]) -> str:
    last = events[-1]
    assert isinstance(last, TranscriptFinal)
    assert all(isinstance(event, TranscriptDelta | TranscriptGuess) and event.text for event in events[:-1])
    return last.text


def word_error_rate(said: str, heard: str) -> float:
    wanted, got = (re.findall(r"[a-z']+", text.lower()) for text in (said, heard))
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1] / len(wanted)


async def test_a_recording_becomes_its_words(stt: MoonshineStt) -> None:
    events = await transcript(stt, recording("beckett", RATE))

    assert word_error_rate(BECKETT, final(events)) < 0.1
    deltas = [event.text for event in events if isinstance(event, TranscriptDelta)]
    assert "".join(deltas) == final(events)


async def test_words_are_given_out_before_the_speaker_has_finished(stt: MoonshineStt) -> None:
    pcm = recording("beckett", RATE)
    heard_something = asyncio.Event()

    async def held_back() -> AsyncIterator[bytes]:
        async for chunk in chunks(pcm[: len(pcm) // 2]):
            yield chunk
            # Each hypothesis gets its time, however slow the machine.
            while not stt._pool.idle:  # noqa: ASYNC110 - the pool has no event for it, only tests want one
                await asyncio.sleep(0)
        await heard_something.wait()
        yield pcm[len(pcm) // 2 :]

    events: list[SttEvent] = []
    async for event in stt.transcribe(held_back(), SttOptions()):
        events.append(event)
        heard_something.set()

    assert len(events) >= 3
    assert word_error_rate(BECKETT, final(events)) < 0.1


@pytest.mark.parametrize("size", [82, 3200, 64_000, 10_000_000])
async def test_the_size_of_the_chunks_does_not_matter(stt: MoonshineStt, size: int) -> None:
    pcm = recording("beckett", RATE)[: 3 * 2 * RATE]

    assert word_error_rate("Ever tried, ever failed.", final(await transcript(stt, pcm, size))) == 0


async def test_a_minute_and_a_half_is_transcribed_in_bounded_pieces(stt: MoonshineStt) -> None:
    pcm = recording("two_cities", RATE)

    events = await transcript(stt, pcm + silence(3000, RATE) + pcm, size=64_000)

    assert word_error_rate(f"{TWO_CITIES} {TWO_CITIES}", final(events)) < 0.15


@pytest.mark.parametrize("ms", [0, 10, 400, 30_000])
async def test_silence_has_no_words(stt: MoonshineStt, ms: int) -> None:
    assert await transcript(stt, silence(ms, RATE)) == [TranscriptFinal("")]


async def test_the_noise_of_a_room_has_no_words(stt: MoonshineStt) -> None:
    noise = np.random.default_rng(3).normal(0, 60, 3 * RATE).astype("<i2").tobytes()

    assert await transcript(stt, noise) == [TranscriptFinal("")]


async def test_each_token_comes_with_its_probability_when_asked(stt: MoonshineStt) -> None:
    events = await transcript(stt, recording("beckett", RATE), options=SttOptions(logprobs=True))
    last = events[-1]
    assert isinstance(last, TranscriptFinal)

    assert "".join(token.token for token in last.logprobs).split() == last.text.split()
    assert all(-10 < token.logprob <= 0 for token in last.logprobs)
    assert all(token.data.decode() == token.token for token in last.logprobs)
    # What was said clearly is nearly certain.
    assert sorted(token.logprob for token in last.logprobs)[len(last.logprobs) // 2] > -0.2


async def test_the_probabilities_of_a_long_utterance_are_those_of_all_its_pieces(stt: MoonshineStt) -> None:
    pcm = recording("two_cities", RATE)[: 30 * 2 * RATE]
    last = (await transcript(stt, pcm, options=SttOptions(logprobs=True)))[-1]
    assert isinstance(last, TranscriptFinal)

    said = re.findall(r"[a-z']+", "".join(token.token for token in last.logprobs).lower())
    assert said == re.findall(r"[a-z']+", last.text.lower())


async def test_nobody_pays_for_probabilities_that_nobody_wants(stt: MoonshineStt) -> None:
    last = (await transcript(stt, recording("beckett", RATE)))[-1]

    assert isinstance(last, TranscriptFinal)
    assert last.logprobs == ()


def test_a_shorter_delay_has_speech_looked_at_more_often() -> None:
    def looks(step: int) -> int:
        utterance, count = Utterance(step), 0
        pcm = recording("two_cities", RATE)[: 10 * 2 * RATE]
        for start in range(0, len(pcm), 3200):
            utterance.feed(pcm[start : start + 3200])
            if job := utterance.next_job(ended=False):
                utterance.finished(job, Hypothesis("word " * count))
                count += 1
        return count

    counts = [looks(STEPS[delay]) for delay in ("minimal", "low", "medium", "high", "xhigh")]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[-1]


async def test_a_language_that_it_does_not_know_is_said_once(
    stt: MoonshineStt, caplog: pytest.LogCaptureFixture
) -> None:
    for options in (
        SttOptions("tlh"),
        SttOptions("tlh"),
        SttOptions("en-GB"),
        SttOptions(languages=("fr", "en")),
        SttOptions("d\ne"),
    ):
        await transcript(stt, b"", options=options)

    assert [record.getMessage() for record in caplog.records] == [
        "local/moonshine-tiny-en knows only English, but was asked for 'tlh'; choose another model",
        "local/moonshine-tiny-en knows only English, but was asked for 'd\\ne'; choose another model",
    ]


async def test_hints_that_it_has_no_use_for_are_noted_once(
    stt: MoonshineStt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "providers.stt.moonshine")
    for options in (SttOptions(), SttOptions(keywords=("Godot",)), SttOptions(prompt="A play.")):
        await transcript(stt, b"", options=options)

    assert [record.getMessage() for record in caplog.records] == [
        "local/moonshine-tiny-en has no use for prompts and keywords"
    ]


async def test_silence_around_the_speech_changes_nothing(stt: MoonshineStt) -> None:
    pcm = recording("beckett", RATE)[: 3 * 2 * RATE]

    events = await transcript(stt, silence(14_000, RATE) + pcm + silence(20_000, RATE), size=6400)

    assert word_error_rate("Ever tried, ever failed.", final(events)) == 0


async def test_several_speakers_at_once_get_their_own_words(stt: MoonshineStt) -> None:
    voices = [recording("beckett", RATE), recording("two_cities", RATE)[: 8 * 2 * RATE]] * 3

    results = await asyncio.gather(*(transcript(stt, pcm) for pcm in voices))

    assert all(word_error_rate(BECKETT, final(events)) < 0.1 for events in results[::2])
    assert all("best of times" in final(events) for events in results[1::2])


async def test_closing_a_stream_stops_it_at_once_and_spares_the_others(stt: MoonshineStt) -> None:
    pcm = recording("two_cities", RATE)
    reading = asyncio.Event()
    left = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield pcm
            reading.set()
            await asyncio.Event().wait()
        finally:
            left.set()

    async def consume() -> None:
        async for _ in stt.transcribe(endless(), SttOptions()):
            pass

    task = asyncio.create_task(consume())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert left.is_set()
    assert "Ever tried" in final(await transcript(stt, recording("beckett", RATE)))


async def test_a_failure_of_the_audio_is_passed_on(stt: MoonshineStt) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield recording("beckett", RATE)
        raise ConnectionResetError("the line is dead")

    with pytest.raises(ConnectionResetError, match="the line is dead"):
        async for _ in stt.transcribe(broken(), SttOptions()):
            pass


async def test_after_shutdown_a_stream_fails_clearly_and_no_thread_is_left() -> None:
    stt = MoonshineStt(threads=1)
    await transcript(stt, recording("clone-test", RATE))
    await stt.aclose()

    with pytest.raises(ProviderError, match="shut down"):
        await transcript(stt, recording("clone-test", RATE))

    assert not any(
        thread.name.startswith("moonshine-") and not thread.daemon for thread in threading.enumerate()
    )


def test_what_was_heard_at_the_pause_needs_no_second_look() -> None:
    utterance = Utterance()
    utterance.feed(recording("clone-test", RATE) + silence(300, RATE))
    partial = utterance.next_job(ended=False)
    assert partial is not None

    utterance.finished(partial, Hypothesis("I think that America could do it"))
    utterance.feed(silence(500, RATE))

    assert utterance.next_job(ended=True) is None
    assert utterance.finish()[1] == "I think that America could do it"


def test_a_long_utterance_is_cut_in_a_pause() -> None:
    utterance = Utterance()
    voice = recording("two_cities", RATE)
    utterance.feed(voice[: 2 * 8 * RATE] + silence(400, RATE) + voice[2 * 8 * RATE : 2 * 13 * RATE])

    job = utterance.next_job(ended=False)

    assert job is not None
    assert job.kind == "window"
    assert 8 * RATE < job.until < 8.4 * RATE
    assert len(job.pcm) <= 2 * MAX_WINDOW


def test_words_are_given_out_once_two_hypotheses_agree() -> None:
    agreement = Agreement()

    said = [
        agreement.hear(hypothesis.split())
        for hypothesis in (
            "It would.",
            "It was the best.",
            "It was the best of times",
            "It was the rest of time.",
        )
    ]
    rest, text = agreement.finish(["It", "was", "the", "best", "of", "times,", "it", "was."])

    assert said == ["", "It", " was the best", ""]
    assert "".join([*said, rest]) == text == "It was the best of times, it was."


def test_where_only_punctuation_has_changed_the_text_given_out_stays() -> None:
    agreement = Agreement()
    for hypothesis in ("We are here.", "We are here. And", "We are here. And there"):
        agreement.hear(hypothesis.split())

    rest, text = agreement.finish(["We", "are", "here,", "and", "there."])

    assert (rest, text) == (" there.", "We are here. And there.")


def test_where_a_word_has_changed_the_final_text_is_right() -> None:
    agreement = Agreement()
    agreement.hear(["The", "string"])
    agreement.hear(["The", "string"])

    assert agreement.finish(["The", "spring", "came."]) == (" came.", "The spring came.")


def test_a_loop_of_words_is_found_and_honest_repetition_is_not() -> None:
    assert loop_length([5, 9, 7] * 4) == 3
    assert loop_length([4] * 12) == 1
    assert loop_length([4] * 11) == 0
    assert loop_length([5, 9, 7] * 3) == 0
    assert loop_length(list(range(40))) == 0


def test_the_model_stops_when_told(stt: MoonshineStt) -> None:
    asked = iter([False, False, True])

    assert MoonshineModel().transcribe(recording("clone-test", RATE), lambda: next(asked)) is None


def test_a_vocabulary_with_long_tokens_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.bin"
    file.write_bytes(b"\x01a\x00" + bytes([128 + 44, 2]) + b"x" * 300)
    assert read_tokens(file) == [b"a", b"", b"x" * 300]

    file.write_bytes(b"\x05abc")
    with pytest.raises(ProviderError, match="cut off"):
        read_tokens(file)
