"""Listener sounds against the running server: a real voice hums while a real person talks."""

import pytest

from tests.conformance.client import RATE, Talk, talk
from tests.conformance.hearing import loudness, seconds, transcript_of, word_errors, words
from tests.speech import recording, silence

DONE = "response.backchannel.audio.done"
# The recording has pauses of up to a second between its sentences.
PATIENT = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 3_000}}}


def wanted(**members: object) -> dict[str, object]:
    settings = {"enabled": True, "decider_kind": "rule", "rule_fire_probability": 1.0, "volume_gain": 1.0}
    # Audio comes much faster than it is spoken here, so that the clock runs ahead of the listener.
    return {"backchannel": {**settings, "hard_deadline_ms": 20_000, **members}}


async def hum(session: Talk) -> dict[str, str]:
    """Speak until the listener has been heard; the phrases, by their ids."""
    await session.append(recording("beckett", RATE))
    await session.until(DONE)
    return dict(session.oracle.sequence.sounds.over)


async def test_a_listener_is_heard_while_somebody_talks(server_url: str) -> None:
    settings = wanted(allowed_phrases=["Please tell me more"], max_per_turn=1)
    async with talk(server_url, audio=PATIENT, providerData=settings) as session:
        ((id, phrase),) = (await hum(session)).items()
        pcm = session.oracle.sequence.sounds.made[id]
        assert phrase == "Please tell me more"
        assert 0.2 < seconds(pcm, RATE) < 2
        assert loudness(pcm) > 0.01
        assert word_errors(await transcript_of(pcm, RATE), phrase) <= 0.25

        # The turn and its reply are those that they would have been.
        await session.append(silence(4_000, RATE))
        committed = (await session.until("input_audio_buffer.committed"))[-1]
        reply = await session.reply()
        assert words(reply.text)[:4] == ["you", "said", "ever", "tried"]
        assert phrase.lower() not in reply.text.lower()
        assert session.oracle.sequence.order == [committed["item_id"], reply.response["output"][0]["id"]]


async def test_a_small_model_may_decide(server_url: str) -> None:
    settings = wanted(
        decider_kind="llm", small_model="builtin/echo", prompt_template="[[say Right]]", eval_interval_ms=200
    )
    async with talk(server_url, audio=PATIENT, providerData=settings) as session:
        pcm = recording("beckett", RATE)
        middle = len(pcm) // 4 * 2
        await session.append(pcm[:middle])
        await session.until("conversation.item.input_audio_transcription.delta")
        await session.append(pcm[middle:])
        assert (await session.until(DONE))[-1]["phrase"] == "Right"


async def test_it_is_off_unless_it_is_switched_on_even_in_mid_turn(server_url: str) -> None:
    async with talk(server_url, audio=PATIENT) as session:
        await session.append(recording("beckett", RATE))
        await session.until("input_audio_buffer.speech_started")
        assert not session.oracle.sequence.sounds.over
        await session.update(providerData=wanted())
        await hum(session)
        assert not any(e["type"] == "input_audio_buffer.speech_stopped" for e in session.events)


@pytest.mark.parametrize("settings", [{"volume_gain": 0.0}])
async def test_it_can_be_mute(server_url: str, settings: dict[str, object]) -> None:
    async with talk(server_url, audio=PATIENT, providerData=wanted(**settings)) as session:
        assert await hum(session)
        assert not session.oracle.sequence.sounds.made
