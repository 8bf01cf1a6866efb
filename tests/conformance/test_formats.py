"""Audio in every format, both ways: exactly the encoding that was asked for, with the same sound in it."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from pipeline.audio.codecs import bytes_per_sample, decode, encode
from pipeline.config import G711, FormatType
from server.background import running_server
from server.settings import ProviderTable, Settings
from server.talk.wav import encode_wav
from tests.audio_files import audio_file
from tests.conformance.client import RATE, Event, bare_socket, talk
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
from tests.fakes.openai_api import FakeOpenAI, SpeechReply, sine
from tests.speech import resample, silence

TRANSCRIPTION = "conversation.item.input_audio_transcription"
FORMATS: list[tuple[FormatType, int]] = [
    ("audio/pcm", 8_000),
    ("audio/pcm", 16_000),
    ("audio/pcm", 44_100),
    ("audio/pcmu", 8_000),
    ("audio/pcma", 8_000),
    ("audio/float32", 24_000),
]
MU_LAW: Event = {"type": "audio/pcmu"}


def wire(type: FormatType, rate: int) -> Event:
    """A format as clients name it, and as the server shows it."""
    return {"type": type} if type in G711 else {"type": type, "rate": rate}


def samples(pcm: bytes) -> Any:
    return np.frombuffer(pcm, "<i2").astype(float)


# --- from the server ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("type", "rate"), FORMATS)
async def test_a_reply_is_exactly_in_the_format_that_was_asked_for(
    server_url: str, type: FormatType, rate: int
) -> None:
    async with talk(server_url) as session:
        usual = await session.ask("[[say One two three four five.]]")
        await session.update(audio={"output": {"format": wire(type, rate)}})
        shaped = await session.ask("[[say One two three four five.]]")

        assert session.session["audio"]["output"]["format"] == wire(type, rate)
        assert shaped.response["audio"]["output"]["format"] == wire(type, rate)
        assert len(shaped.audio) / bytes_per_sample(type) / rate == pytest.approx(
            seconds(usual.audio, RATE), abs=0.05
        )
        # The voice never speaks twice alike, but as loudly, and noise of a wrong decoder would be louder.
        assert loudness(decode(shaped.audio, type)) == pytest.approx(loudness(usual.audio), rel=0.1)


async def test_one_response_may_have_a_format_of_its_own(server_url: str) -> None:
    async with talk(server_url) as session:
        shaped = await session.ask("[[say Hello there.]]", audio={"output": {"format": MU_LAW}})
        usual = await session.ask("[[say Hello there.]]")

        assert shaped.response["audio"]["output"]["format"] == MU_LAW
        assert len(shaped.audio) * 6 == pytest.approx(len(usual.audio), rel=0.05)


def distortion(pcm: bytes, rate: int, hertz: float = 440.0) -> float:
    """The largest distance from the sine of that frequency that fits best, against its amplitude.

    The first and last hundredth of a second are left out: there the tone begins and ends.
    """
    heard = samples(pcm)
    angle = 2 * np.pi * hertz / rate * np.arange(len(heard))
    inside = slice(rate // 100, -(rate // 100))
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)[inside]
    fit = np.linalg.lstsq(waves, heard[inside], rcond=None)[0]
    return float(np.abs(heard[inside] - waves @ fit).max() / np.linalg.norm(fit))


async def test_a_tone_crosses_the_borders_of_chunks_without_a_click() -> None:
    async with FakeOpenAI() as fake:
        fake.speech.default = SpeechReply(pcm=sine(2))
        table = {"kind": "openai-compatible", "base_url": fake.base_url, "api_key_env": "LAB_KEY"}
        settings = Settings(providers={"lab": ProviderTable.model_validate(table)})
        server = running_server(settings, environ={"LAB_KEY": fake.api_key})
        url = await asyncio.to_thread(server.__enter__)
        try:
            async with talk(url, audio={"output": {"model": "lab/speech"}}) as session:
                for type, rate in FORMATS:
                    format = {"format": wire(type, rate)}
                    reply = await session.ask("Hello", audio={"output": format})
                    pcm = decode(reply.audio, type)

                    deltas = sum(e["type"] == "response.output_audio.delta" for e in reply.events)
                    assert deltas >= 10
                    assert seconds(pcm, rate) == 2
                    # Half a step of G.711 is 1/62 of this amplitude; a lost sample would be a sixth at 8 kHz.
                    assert distortion(pcm, rate) < (0.02 if type in G711 else 0.001)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def test_a_retrieved_answer_is_what_was_streamed(server_url: str) -> None:
    async with talk(server_url, audio={"output": {"format": MU_LAW}}) as session:
        reply = await session.ask("Hello")
        await session.send("conversation.item.retrieve", item_id=reply.response["output"][0]["id"])
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        assert base64.b64decode(item["content"][0]["audio"]) == reply.audio


# --- from the client ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["g711_ulaw", "g711_alaw"])
async def test_a_telephone_call_is_heard_and_answered(server_url: str, name: str) -> None:
    # As bridges to telephones have it: both formats by their older names, 20 ms of sound in each event.
    type: FormatType = "audio/pcmu" if name == "g711_ulaw" else "audio/pcma"
    audio = {"input": {"format": name}, "output": {"format": name}}
    said = "Good morning. Please tell me what time it is."
    async with bare_socket(server_url) as session:
        shown = await session.update(audio=audio, instructions=f"[[say {said}]]")
        await session.append(voice(rate=8_000) + silence(1_500, 8_000), 20, 8_000, type)
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]
        (id,) = session.oracle.sequence.responses
        reply = await session.reply(id)

        assert shown["audio"]["input"]["format"] == shown["audio"]["output"]["format"] == {"type": type}
        assert words(completed["transcript"]) == VOICE_WORDS
        assert word_errors(await transcript_of(decode(reply.audio, type), 8_000), said) <= 0.34


async def test_speech_begins_and_ends_at_the_same_moment_in_every_format(server_url: str) -> None:
    narrow = voice(rate=8_000)  # what all of the formats can carry
    moments = {}
    for type, rate in FORMATS:
        audio = {"input": {"format": wire(type, rate), "turn_detection": {"create_response": False}}}
        async with talk(server_url, audio=audio) as session:
            speech = resample(narrow, 8_000, rate) + silence(1_500, rate)
            await session.append(speech, rate=rate, type=type)
            started = (await session.until("input_audio_buffer.speech_started"))[-1]
            stopped = (await session.until("input_audio_buffer.speech_stopped"))[-1]
            moments[type, rate] = np.array([started["audio_start_ms"], stopped["audio_end_ms"]])
            await session.until(f"{TRANSCRIPTION}.completed")

    reference = moments["audio/pcm", 16_000]
    for format, moment in moments.items():
        assert np.abs(moment - reference).max() <= 32, (format, moments)


async def test_the_format_may_change_in_mid_speech(server_url: str) -> None:
    manual = {"input": {"turn_detection": None}}
    async with talk(server_url, audio=manual) as session:
        await session.append(voice(1_500))
        await session.update(audio={"input": {"format": MU_LAW}})
        rest = voice(VOICE_MS, 8_000)[len(voice(1_500, 8_000)) :]
        await session.append(rest, 20, 8_000, "audio/pcmu")
        await session.send("input_audio_buffer.commit")
        completed = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]
        await session.send("conversation.item.retrieve", item_id=completed["item_id"])
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        assert words(completed["transcript"]) == VOICE_WORDS
        assert completed["usage"]["seconds"] == VOICE_MS / 1_000
        kept = decode(base64.b64decode(item["content"][0]["audio"]), "audio/pcmu")
        assert seconds(kept, 8_000) == pytest.approx(VOICE_MS / 1_000, abs=0.001)
        assert words(await transcript_of(kept, 8_000)) == VOICE_WORDS


async def test_half_a_sample_is_refused_and_the_next_append_is_heard(server_url: str) -> None:
    audio = {"input": {"format": {"type": "audio/float32"}, "turn_detection": None}}
    async with talk(server_url, audio=audio) as session:
        id = await session.send("input_audio_buffer.append", audio=base64.b64encode(bytes(6)).decode())
        error = await session.error()
        await session.append(silence(200, RATE), type="audio/float32")
        await session.send("input_audio_buffer.commit")
        await session.until("input_audio_buffer.committed")
        await session.until(f"{TRANSCRIPTION}.completed")

        assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio", id)


# --- recordings inside items -------------------------------------------------------------------------


def recorded(data: bytes) -> Event:
    part = {"type": "input_audio", "audio": base64.b64encode(data).decode()}
    return {"type": "message", "role": "user", "content": [part]}


def files() -> dict[str, bytes]:
    wide = voice(rate=48_000)
    return {
        "Ogg": audio_file(wide, "ogg", "libopus", 48_000),
        "WebM": audio_file(wide, "webm", "libopus", 48_000, channels=2),
        "WAV": encode_wav(voice(rate=16_000), 16_000),
        "samples": encode(voice(rate=8_000), "audio/pcmu"),
    }


@pytest.mark.parametrize("name", files())
async def test_a_recording_is_understood_whatever_the_sessions_format(server_url: str, name: str) -> None:
    async with talk(server_url, text=True, audio={"input": {"format": MU_LAW}}) as session:
        kept = await session.add(recorded(files()[name]))
        reply = await session.respond()
        await session.send("conversation.item.retrieve", item_id=kept["id"])
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        assert words(reply.text)[2:6] == VOICE_WORDS
        assert len(base64.b64decode(item["content"][0]["audio"])) == pytest.approx(8 * VOICE_MS, abs=40)


async def test_events_behind_a_recording_wait_until_it_is_decoded(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.send("conversation.item.create", item=recorded(files()["WebM"]))
        await session.send("response.create")
        reply = await session.reply()

        assert words(reply.text)[2:6] == VOICE_WORDS


async def test_a_recording_may_be_the_input_of_one_response(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        reply = await session.respond(conversation="none", input=[recorded(files()["Ogg"])])

        assert words(reply.text)[2:6] == VOICE_WORDS


async def test_a_broken_recording_is_refused_and_changes_nothing(server_url: str) -> None:
    broken = recorded(files()["Ogg"][:100])
    async with talk(server_url, text=True) as session:
        first = await session.send("conversation.item.create", item=broken)
        error = await session.error()
        second = await session.send("response.create", response={"input": [recorded(b"12"), broken]})
        other = await session.error()

        assert (error["code"], error["param"], error["event_id"]) == (
            "invalid_value",
            "item.content[0].audio",
            first,
        )
        assert (other["param"], other["event_id"]) == ("response.input[1].content[0].audio", second)
        assert await session.items() == []
        assert (await session.ask("Hello")).text == "You said: Hello"
