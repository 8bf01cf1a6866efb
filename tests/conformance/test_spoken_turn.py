"""A real voice speaks, server VAD finds the turn, and the answer is spoken back."""

import asyncio
import base64

import numpy as np
import pytest

from tests.conformance.client import RATE, Event, Talk, talk
from tests.conformance.hearing import (
    VOICE_MS,
    VOICE_WORDS,
    loudness,
    seconds,
    transcript_of,
    voice,
    word_errors,
    words,
)
from tests.speech import BECKETT, recording, resample, silence

TRANSCRIPTION = "conversation.item.input_audio_transcription"


async def heard(session: Talk) -> tuple[list[Event], str]:
    """Everything up to the end of the next answer, and the answer's id."""
    before = await session.until("response.created")
    id = before[-1]["response"]["id"]
    after = await session.until(lambda e: e["type"] == "response.done" and e["response"]["id"] == id)
    return before + after, id


async def turn(session: Talk, pcm: bytes) -> tuple[list[Event], str]:
    """Speak and fall silent, and hear the answer to its end."""
    await session.append(pcm + silence(1_500, RATE))
    return await heard(session)


async def test_speech_is_heard_transcribed_and_answered(server_url: str) -> None:
    async with talk(server_url) as session:
        events, id = await turn(session, voice())
        reply = session.reply_so_far(id)

        spoken = next(e for e in events if e["type"] == f"{TRANSCRIPTION}.completed")
        assert words(spoken["transcript"]) == VOICE_WORDS
        assert reply.text == f"You said: {spoken['transcript']}"
        assert 1 < seconds(reply.audio, RATE) < 8
        assert loudness(reply.audio) > 0.01


async def test_the_answer_to_speech_can_be_understood(server_url: str) -> None:
    said = "Good morning. Please tell me what time it is."
    async with talk(server_url, instructions=f"[[say {said}]]") as session:
        _, id = await turn(session, voice())

        understood = await transcript_of(session.reply_so_far(id).audio, RATE)
        assert word_errors(understood, said) <= 0.34


async def test_the_transcript_grows_while_the_speaker_is_still_talking(server_url: str) -> None:
    patient = {"silence_duration_ms": 3_000, "create_response": False}
    pcm = recording("beckett", RATE)
    middle = len(pcm) // 4 * 2
    async with talk(server_url, audio={"input": {"turn_detection": patient}}) as session:
        await session.append(pcm[:middle])
        early = (await session.until(f"{TRANSCRIPTION}.delta"))[-1]  # nothing after the middle was sent yet
        await session.append(pcm[middle:] + silence(3_500, RATE))
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        deltas = [e for e in session.events if e["type"] == f"{TRANSCRIPTION}.delta"]
        assert {e["item_id"] for e in deltas} == {completed["item_id"]}
        assert words(completed["transcript"])[: len(words(early["delta"]))] == words(early["delta"])
        assert word_errors("".join(e["delta"] for e in deltas), completed["transcript"]) <= 0.25


async def test_a_long_recording_is_transcribed_word_for_word(server_url: str) -> None:
    patient = {"silence_duration_ms": 3_000, "create_response": False}
    async with talk(server_url, audio={"input": {"turn_detection": patient}}) as session:
        await session.append(recording("beckett", RATE) + silence(3_500, RATE))
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert word_errors(completed["transcript"], BECKETT) <= 0.1
        assert completed["content_index"] == 0


async def test_times_are_those_of_the_audio_however_fast_it_arrives(server_url: str) -> None:
    lead_ms = 3_000
    async with talk(server_url, audio={"input": {"turn_detection": {"create_response": False}}}) as session:
        for chunk_ms in (20, 500):
            await session.append(silence(lead_ms, RATE) + voice() + silence(1_500, RATE), chunk_ms)
        starts = [
            (await session.until("input_audio_buffer.speech_started"))[-1]["audio_start_ms"] for _ in range(2)
        ]

        total_ms = lead_ms + VOICE_MS + 1_500
        assert starts[1] - starts[0] == pytest.approx(total_ms, abs=64)
        assert lead_ms - 250 <= starts[0] <= lead_ms + 700


@pytest.mark.parametrize("silence_ms", [300, 1_000])
async def test_a_turn_ends_after_exactly_the_silence_that_was_asked_for(
    server_url: str, silence_ms: int
) -> None:
    ends = {}
    for window in (silence_ms, silence_ms + 400):
        detection = {"silence_duration_ms": window, "create_response": False}
        async with talk(server_url, audio={"input": {"turn_detection": detection}}) as session:
            # The second copy tells when the first has been heard to its end: frames are judged in order.
            sentence = recording("clone-test", RATE) + silence(2_500, RATE)
            await session.append(sentence + sentence)
            middle = seconds(sentence, RATE) * 1_000
            stops = [0]
            while True:
                event = await session.receive()
                if event["type"] == "input_audio_buffer.speech_stopped":
                    stops.append(event["audio_end_ms"])
                elif (
                    event["type"] == "input_audio_buffer.speech_started"
                    and event["audio_start_ms"] > middle - 300
                ):
                    break
            ends[window] = stops[-1]

    # The last word ends at the same place, so the ends differ by the windows' difference, to one 32 ms frame.
    assert ends[silence_ms + 400] - ends[silence_ms] == pytest.approx(400, abs=33)


async def test_prefix_padding_moves_the_start_of_the_turn_back(server_url: str) -> None:
    starts = {}
    for padding in (0, 500):
        detection = {"prefix_padding_ms": padding, "create_response": False}
        async with talk(server_url, audio={"input": {"turn_detection": detection}}) as session:
            await session.append(silence(2_000, RATE) + voice() + silence(1_500, RATE))
            starts[padding] = (await session.until("input_audio_buffer.speech_started"))[-1]["audio_start_ms"]

    assert starts[0] - starts[500] == 500


async def test_a_higher_threshold_hears_speech_later(server_url: str) -> None:
    starts = []
    for threshold in (0.05, 0.5, 0.99):
        detection = {"threshold": threshold, "prefix_padding_ms": 0, "create_response": False}
        async with talk(server_url, audio={"input": {"turn_detection": detection}}) as session:
            await session.append(silence(1_000, RATE) + voice() + silence(1_500, RATE))
            starts.append((await session.until("input_audio_buffer.speech_started"))[-1]["audio_start_ms"])

    assert sorted(set(starts)) == starts


async def test_without_create_response_the_turn_is_only_transcribed(server_url: str) -> None:
    async with talk(server_url, audio={"input": {"turn_detection": {"create_response": False}}}) as session:
        await session.append(voice() + silence(1_500, RATE))
        await session.until(f"{TRANSCRIPTION}.completed")

        assert not any(e["type"] == "response.created" for e in await session.settle())
        assert words((await session.respond()).text)[:4] == ["you", "said", "ever", "tried"]


async def test_without_transcription_no_transcript_is_sent_yet_the_model_hears_the_words(
    server_url: str,
) -> None:
    async with talk(server_url, audio={"input": {"transcription": None}}) as session:
        events, id = await turn(session, voice())

        assert not any(e["type"].startswith(TRANSCRIPTION) for e in events + await session.settle())
        assert words(session.reply_so_far(id).text)[:4] == ["you", "said", "ever", "tried"]


async def test_silence_and_noise_are_no_turn(server_url: str) -> None:
    noise = (np.random.default_rng(7).normal(0, 300, 3 * RATE)).astype("<i2").tobytes()
    async with talk(server_url, audio={"input": {"turn_detection": {"create_response": False}}}) as session:
        await session.append(
            silence(2_000, RATE) + noise + silence(1_000, RATE) + voice() + silence(1_500, RATE)
        )
        started = (await session.until("input_audio_buffer.speech_started"))[-1]

        assert started["audio_start_ms"] > 5_500


async def test_several_turns_come_one_after_the_other(server_url: str) -> None:
    async with talk(server_url) as session:
        for _ in range(2):
            events, id = await turn(session, voice())
            assert words(session.reply_so_far(id).text)[:4] == ["you", "said", "ever", "tried"]
            assert sum(e["type"] == "input_audio_buffer.committed" for e in events) == 1

        while session.oracle.sequence.finished():
            await session.receive()
        assert len(session.oracle.sequence.order) == 4


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
async def test_speech_is_understood_at_other_rates(server_url: str, rate: int) -> None:
    format = {"type": "audio/pcm", "rate": rate}
    async with talk(server_url, audio={"input": {"format": format, "turn_detection": None}}) as session:
        await session.append(resample(voice(rate=16_000), 16_000, rate), rate=rate)
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert words(completed["transcript"])[:2] == ["ever", "tried"]


async def test_a_spoken_item_can_be_retrieved_with_its_audio(server_url: str) -> None:
    async with talk(server_url, audio={"input": {"turn_detection": {"create_response": False}}}) as session:
        await session.append(voice() + silence(1_500, RATE))
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]
        await session.send("conversation.item.retrieve", item_id=completed["item_id"])
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        (part,) = item["content"]
        assert part["transcript"] == completed["transcript"]
        pcm = base64.b64decode(part["audio"])
        assert 1.0 < seconds(pcm, RATE) < VOICE_MS / 1000 + 1.6
        assert words(await transcript_of(pcm, RATE))[:2] == ["ever", "tried"]


async def test_semantic_vad_ends_a_turn_as_well(server_url: str) -> None:
    async with talk(server_url, audio={"input": {"turn_detection": {"type": "semantic_vad"}}}) as session:
        assert session.session["audio"]["input"]["turn_detection"]["eagerness"] == "auto"
        await session.append(voice() + silence(9_000, RATE))
        id = (await session.until("response.created"))[-1]["response"]["id"]

        assert words((await session.reply(id)).text)[:4] == ["you", "said", "ever", "tried"]


async def test_the_client_may_commit_in_mid_speech(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.append(voice(1_500))
        started = (await session.until("input_audio_buffer.speech_started"))[-1]
        await session.send("input_audio_buffer.commit")
        committed = (await session.until("input_audio_buffer.committed"))[-1]
        await session.until(f"{TRANSCRIPTION}.completed")

        assert committed["item_id"] == started["item_id"]
        assert not any(e["type"] == "response.created" for e in await session.settle())


async def test_sessions_that_speak_at_the_same_time_do_not_mix(server_url: str) -> None:
    beginnings = {"beckett": VOICE_WORDS[:2], "two_cities": ["it", "was", "the", "best"]}

    async def one(name: str) -> tuple[str, str]:
        # Both recordings pause in their first three seconds, and go on.
        patient = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 1_000}}}
        async with talk(server_url, audio=patient) as session:
            await session.append(recording(name, RATE)[: 2 * RATE * 3] + silence(1_500, RATE), chunk_ms=20)
            events, id = await heard(session)
            transcript = next(e["transcript"] for e in events if e["type"] == f"{TRANSCRIPTION}.completed")
            return transcript, session.reply_so_far(id).text

    names = [*beginnings] * 4
    results = await asyncio.gather(*(one(name) for name in names))

    for name, (transcript, reply) in zip(names, results, strict=True):
        assert words(transcript)[: len(beginnings[name])] == beginnings[name]
        assert reply == f"You said: {transcript}"
