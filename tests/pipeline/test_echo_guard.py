"""The assistant's own voice in the microphone: a real voice, a real detector, a recorded person."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from pipeline.commands import CreateItem, CreateResponse
from pipeline.effects import ReportDismissal
from pipeline.events import AudioDelta, ResponseDone, SpeechStarted
from pipeline.turn_taking import TurnTaking
from providers.tts.espeak import EspeakTts
from providers.vad.silero import SileroVad
from tests.pipeline.playbook import user
from tests.pipeline.scripted import Engines, Heard, replying
from tests.pipeline.sessions import RATE, opened
from tests.speech import recording

REPLY = (
    "Good morning, thank you for calling. I can help you with your booking, your invoices, or anything else. "
    "The weather tomorrow will be mostly sunny, with a high of twenty one degrees in the afternoon. "
    "There is a light breeze from the west. You will not need an umbrella, although it may rain on Thursday."
)
VOICE = {"audio": {"output": {"voice": "en-us"}, "input": {"turn_detection": {"silence_duration_ms": 480}}}}
RULES = TurnTaking(speculation="off")


@pytest.fixture
async def voice() -> AsyncIterator[EspeakTts]:
    engine = EspeakTts()
    yield engine
    await engine.aclose()


def in_a_room(pcm: bytes) -> bytes:
    """What a microphone hears of a loudspeaker: late, soft, without lows, with an answer of the room."""
    dry = np.frombuffer(pcm, "<i2").astype(float)
    rng = np.random.default_rng(5)
    times = np.arange(RATE // 5)
    answer = rng.normal(0, 1, len(times)) * np.exp(-times / (RATE * 0.03)) * 0.15
    answer[0] = 1.0
    size = len(dry) + len(answer)
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(answer, size), size)
    wet = np.diff(wet, prepend=0.0) * 0.8 + wet * 0.2
    late = np.concatenate((np.zeros(RATE * 3 // 10), 0.3 * wet, np.zeros(RATE)))
    noisy = late + rng.normal(0, 8, len(late))
    return noisy.clip(-32768, 32767).astype("<i2").tobytes()


async def test_the_assistant_does_not_interrupt_itself_and_a_person_does(voice: EspeakTts) -> None:
    engines = Engines(replying(REPLY), tts_engine=voice)
    watcher = Heard()
    async with opened(engines, VOICE, vad=SileroVad(), turn_taking=RULES) as (session, client):
        session.watch(watcher)
        session.dispatch(CreateItem(user("Hello.")))
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        reply = b"".join(delta.pcm for delta in client.of(AudioDelta))
        assert len(reply) > 10 * 2 * RATE  # it is being played for the rest of this test

        await session.append_audio(in_a_room(reply[: 4 * 2 * RATE]))
        dismissed = await watcher.wait(ReportDismissal)
        assert dismissed.reason == "echo"
        assert not client.of(SpeechStarted)

        await session.append_audio(recording("two_cities", RATE)[: 4 * 2 * RATE])
        await client.wait(SpeechStarted)


async def test_without_the_guard_it_would(voice: EspeakTts) -> None:
    engines = Engines(replying(REPLY), tts_engine=voice)
    unguarded = TurnTaking(speculation="off", echo_guard=False)
    async with opened(engines, VOICE, vad=SileroVad(), turn_taking=unguarded) as (session, client):
        session.dispatch(CreateItem(user("Hello.")))
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        reply = b"".join(delta.pcm for delta in client.of(AudioDelta))

        await session.append_audio(in_a_room(reply[: 4 * 2 * RATE]))
        await client.wait(SpeechStarted)
