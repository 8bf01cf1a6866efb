"""Manual turns: the client commits and asks; nothing happens by itself."""

import base64

import pytest

from tests.conformance.client import RATE, bare_socket, talk
from tests.conformance.hearing import VOICE_MS, VOICE_WORDS, voice, words
from tests.speech import silence

MANUAL = {"input": {"turn_detection": None}}
TRANSCRIPTION = "conversation.item.input_audio_transcription"


async def test_a_response_asked_for_at_once_waits_for_the_words(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        reply = await session.respond()

        assert words(reply.text)[:4] == ["you", "said", "ever", "tried"]


async def test_nothing_happens_before_the_commit(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        await session.append(voice() + silence(3_000, RATE))

        assert await session.settle() == []
        await session.send("input_audio_buffer.clear")
        await session.until("input_audio_buffer.cleared")


@pytest.mark.parametrize("ms", [0, 1, 99])
async def test_less_than_a_tenth_of_a_second_cannot_be_committed(server_url: str, ms: int) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        await session.append(silence(ms, RATE))
        await session.send("input_audio_buffer.commit", event_id="early")
        error = await session.error()
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert (error["type"], error["code"]) == ("invalid_request_error", "input_audio_buffer_commit_empty")
        assert error["event_id"] == "early"
        assert words(completed["transcript"])[:2] == ["ever", "tried"]


async def test_a_tenth_of_a_second_is_enough(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        await session.append(silence(100, RATE))
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert completed["transcript"] == ""


async def test_every_commit_makes_an_item_of_its_own(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        ids = []
        for _ in range(3):
            await session.append(silence(200, RATE))
            await session.send("input_audio_buffer.commit")
            ids.append((await session.until("input_audio_buffer.committed"))[-1]["item_id"])
        while session.oracle.sequence.finished():
            await session.receive()

        assert len(set(ids)) == 3
        assert await session.items() == ids


async def test_speech_may_be_committed_while_an_answer_is_running(server_url: str) -> None:
    async with talk(server_url, text=True, audio=MANUAL) as session:
        id = await session.start("[[words 60]] [[pace 10]]")
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        await session.until("input_audio_buffer.committed")
        reply = await session.reply(id)

        assert reply.status == "completed"
        assert len(reply.text.split()) == 60


async def test_audio_may_arrive_in_pieces_of_any_size(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        pcm, position, size = voice(), 0, 2
        while position < len(pcm):
            audio = base64.b64encode(pcm[position : position + size]).decode()
            await session.send("input_audio_buffer.append", audio=audio)
            position += size
            size = size * 3 % 9_973 // 2 * 2 + 2
        await session.append(b"")
        await session.send("input_audio_buffer.append", audio="")
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert words(completed["transcript"])[:4] == VOICE_WORDS


async def test_the_format_may_change_in_the_middle_of_the_audio(server_url: str) -> None:
    async with talk(server_url, audio=MANUAL) as session:
        await session.append(voice(1_500))
        await session.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
        await session.append(voice(VOICE_MS, 16_000)[len(voice(1_500, 16_000)) :], rate=16_000)
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert words(completed["transcript"]) == VOICE_WORDS
        assert completed["usage"] == {"type": "duration", "seconds": VOICE_MS / 1_000}


async def test_turn_detection_may_be_switched_off_in_mid_speech(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.append(voice(1_500))
        started = (await session.until("input_audio_buffer.speech_started"))[-1]
        await session.update(audio=MANUAL)
        await session.append(voice()[len(voice(1_500)) :])
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert completed["item_id"] == started["item_id"]
        assert words(completed["transcript"]) == VOICE_WORDS


async def test_fifteen_mebibytes_fit_into_one_append(server_url: str) -> None:
    async with bare_socket(server_url) as session:
        await session.update(audio={"input": {"turn_detection": None, "transcription": None}})
        audio = base64.b64encode(bytes(15 * 1024 * 1024)).decode()
        await session.send("input_audio_buffer.append", audio=audio)
        await session.send("input_audio_buffer.clear")

        assert (await session.receive())["type"] == "input_audio_buffer.cleared"
