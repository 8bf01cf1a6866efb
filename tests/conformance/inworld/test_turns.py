"""Tune turn detection, and the hints for transcription: both types with all their members, on real speech."""

import json
from typing import Any

import pytest

from tests.conformance.client import RATE, Event, Talk
from tests.conformance.hearing import VOICE_MS, VOICE_WORDS, voice, words
from tests.conformance.inworld.client import TRANSCRIPTION, inworld
from tests.conformance.inworld.conftest import HEARD, Lab
from tests.speech import recording, silence

pytestmark = pytest.mark.asyncio(loop_scope="package")

SEMANTIC: Event = {
    "type": "semantic_vad",
    "eagerness": "medium",
    "create_response": True,
    "interrupt_response": True,
}
SERVER: Event = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 200,
    "silence_duration_ms": 1000,
    "idle_timeout_ms": 8000,
    "create_response": True,
    "interrupt_response": True,
}
BUFFER = "input_audio_buffer"


async def detect(talk: Talk, **members: Any) -> Event:
    """Change turn detection by exactly these members; what session.updated shows of it."""
    await talk.send("session.update", session={"audio": {"input": {"turn_detection": members}}})
    event = await talk.receive()
    assert event["type"] == "session.updated", event
    shown: Event = event["session"]["audio"]["input"]["turn_detection"]
    return shown


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


# --- semantic_vad -----------------------------------------------------------------------------------------


async def test_semantic_vad_is_the_default_and_answers_a_real_voice(server_url: str) -> None:
    async with inworld(server_url) as talk:
        assert talk.session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
        shown = await detect(talk, **SEMANTIC)
        await talk.append(voice() + silence(4_500, RATE))
        events = await talk.until("response.created")
        reply = await talk.reply(events[-1]["response"]["id"])
        heard = next(e for e in talk.events if e["type"] == f"{TRANSCRIPTION}.completed")

    assert shown == SEMANTIC
    order = [
        f"{BUFFER}.speech_started",
        f"{BUFFER}.speech_stopped",
        f"{BUFFER}.committed",
        "conversation.item.added",
    ]
    assert [kind for kind in kinds(events) if kind in order][:4] == order
    assert words(heard["transcript"]) == VOICE_WORDS
    assert (reply.status, reply.text) == ("completed", f"You said: {heard['transcript']}")
    assert reply.audio


async def test_lower_eagerness_waits_longer(server_url: str) -> None:
    """A half-finished sentence: how much silence ends the turn is told by `audio_end_ms`."""
    ends = {}
    for eagerness in ("high", "medium"):
        async with inworld(server_url) as talk:
            await detect(talk, eagerness=eagerness, create_response=False)
            await talk.append(recording("two_cities", RATE)[: 2 * RATE * 2] + silence(5_000, RATE))
            stopped = (await talk.until(f"{BUFFER}.speech_stopped"))[-1]
            ends[eagerness] = stopped["audio_end_ms"]

    assert ends["high"] < ends["medium"]


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
async def test_eagerness_has_four_values(lab: Lab, eagerness: str) -> None:
    async with inworld(lab.url) as talk:
        assert await detect(talk, type="semantic_vad", eagerness=eagerness) == {
            **SEMANTIC,
            "eagerness": eagerness,
        }


async def test_without_create_response_the_turn_ends_and_nobody_answers(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await detect(talk, type="semantic_vad", create_response=False)
        await talk.append(voice() + silence(4_500, RATE))
        events = await talk.until(f"{TRANSCRIPTION}.completed") + await talk.settle()
        reply = await talk.respond(output_modalities=["text"])  # then the client asks

    assert f"{BUFFER}.committed" in kinds(events)
    assert "response.created" not in kinds(events)
    assert words(reply.text)[-2:] == VOICE_WORDS


@pytest.mark.parametrize("interrupts", [True, False])
async def test_speech_interrupts_a_response_where_it_may(server_url: str, interrupts: bool) -> None:
    async with inworld(server_url) as talk:
        await detect(talk, type="semantic_vad", interrupt_response=interrupts, create_response=False)
        id = await talk.start("[[words 400]] [[pace 20]]")
        await talk.until("response.output_audio.delta")
        await talk.append(voice())
        await talk.until(f"{BUFFER}.speech_started")
        if not interrupts:
            await talk.settle()
            assert not talk.oracle.sequence.responses[id].over
            await talk.send("response.cancel")
        reply = await talk.reply(id)
        await talk.send(f"{BUFFER}.clear")
        await talk.until(f"{BUFFER}.cleared")

    assert (reply.status, reply.reason) == (
        "cancelled",
        "turn_detected" if interrupts else "client_cancelled",
    )


# --- server_vad -------------------------------------------------------------------------------------------


async def test_server_vad_takes_all_its_members_and_ends_a_turn_after_the_silence(server_url: str) -> None:
    async with inworld(server_url) as talk:
        assert await detect(talk, **SERVER) == SERVER
        await talk.append(voice() + silence(1_500, RATE))
        events = await talk.until("response.created")
        reply = await talk.reply(events[-1]["response"]["id"])

    started = next(e for e in events if e["type"] == f"{BUFFER}.speech_started")
    stopped = next(e for e in events if e["type"] == f"{BUFFER}.speech_stopped")
    assert 0 <= started["audio_start_ms"] < 400
    assert VOICE_MS - 900 + 1000 <= stopped["audio_end_ms"] <= VOICE_MS + 1_100
    assert words(reply.text)[-2:] == VOICE_WORDS


async def test_the_padding_and_the_silence_are_kept_to_the_millisecond(server_url: str) -> None:
    """The same speech twice; only the borders that were asked for differ."""
    borders = []
    for padding, quiet in ((0, 300), (500, 1000)):
        async with inworld(server_url) as talk:
            await detect(
                talk,
                type="server_vad",
                prefix_padding_ms=padding,
                silence_duration_ms=quiet,
                create_response=False,
            )
            await talk.append(silence(1_000, RATE) + voice() + silence(2_000, RATE))
            events = await talk.until(f"{BUFFER}.speech_stopped")
            started = next(e for e in events if e["type"] == f"{BUFFER}.speech_started")
            borders.append((started["audio_start_ms"], events[-1]["audio_end_ms"]))

    (late, short), (early, long) = borders
    assert (late - early, long - short) == (500, 700)


async def test_nothing_crosses_a_threshold_of_one(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await detect(talk, type="server_vad", threshold=1.0)
        await talk.append(voice() + silence(1_500, RATE))
        await talk.send(f"{BUFFER}.clear")  # answered once the detector has heard all of it
        events = await talk.until(f"{BUFFER}.cleared")

    assert kinds(events) == [f"{BUFFER}.cleared"]


async def test_server_vad_starts_with_the_documented_values(lab: Lab) -> None:
    async with inworld(lab.url) as talk:
        assert await detect(talk, type="server_vad") == {**SERVER, "idle_timeout_ms": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.0),
        ("threshold", 0.8),
        ("prefix_padding_ms", 0),
        ("prefix_padding_ms", 500),
        ("silence_duration_ms", 300),
        ("idle_timeout_ms", 8000),
        ("create_response", False),
        ("interrupt_response", False),
    ],
)
async def test_a_member_that_is_left_out_keeps_its_value(lab: Lab, name: str, value: Any) -> None:
    async with inworld(lab.url) as talk:
        before = await detect(talk, **{**SERVER, "idle_timeout_ms": 6000})
        after = await detect(talk, **{name: value})

    assert after == {**before, name: value}


@pytest.mark.parametrize("off", [None, 0])
async def test_the_idle_timeout_is_off_for_null_and_zero(lab: Lab, off: int | None) -> None:
    async with inworld(lab.url) as talk:
        await detect(talk, **SERVER)

        assert (await detect(talk, idle_timeout_ms=off))["idle_timeout_ms"] is None


async def test_a_change_takes_effect_on_the_next_audio(server_url: str) -> None:
    """The same speech, first with more silence than there is, then with less."""
    async with inworld(server_url) as talk:
        await detect(talk, type="server_vad", silence_duration_ms=2000, create_response=False)
        await talk.append(voice() + silence(1_000, RATE))
        first = await talk.settle()
        await detect(talk, silence_duration_ms=400)
        await talk.append(silence(500, RATE))
        then = await talk.until(f"{BUFFER}.speech_stopped")

    assert f"{BUFFER}.speech_stopped" not in kinds(first)
    assert f"{BUFFER}.speech_stopped" in kinds(then)


async def test_nobody_speaks_for_the_idle_timeout_and_the_server_says_so(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await detect(talk, type="server_vad", idle_timeout_ms=5000)
        await talk.ask("[[say Hi.]]")
        await talk.append(silence(200, RATE))
        triggered = (await talk.until(f"{BUFFER}.timeout_triggered"))[-1]
        reply = await talk.reply()

    assert triggered["audio_end_ms"] >= triggered["audio_start_ms"] >= 0
    assert triggered["item_id"]
    assert reply.status == "completed"


async def test_null_turns_detection_off_and_the_client_commits(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await talk.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        state = (await talk.until("session.updated"))[-1]["session"]
        await talk.append(voice() + silence(1_500, RATE))
        quiet = await talk.settle()
        await talk.send(f"{BUFFER}.commit")
        await talk.send("response.create", response={"modalities": ["text", "audio"]})  # as pipecat sends it
        reply = await talk.reply()

    assert state["audio"]["input"]["turn_detection"] is None
    assert quiet == []
    assert words(reply.text)[-2:] == VOICE_WORDS


# --- Transcription hints ----------------------------------------------------------------------------------


async def test_the_prompt_and_the_language_reach_the_transcription_model(lab: Lab) -> None:
    prompt = "Medical dictation. Vocabulary: angioplasty, myocardial infarction."
    hints = {"model": "assemblyai/u3-rt-pro", "prompt": prompt, "language": "en"}
    before = len(lab.assemblyai.exchanges)
    async with inworld(lab.url) as talk:
        await talk.send("session.update", session={"audio": {"input": {"transcription": hints}}})
        state = (await talk.until("session.updated"))[-1]["session"]
        await detect(talk, create_response=False)
        await talk.append(voice() + silence(4_500, RATE))
        done = (await talk.until(f"{TRANSCRIPTION}.completed"))[-1]

    shown = state["audio"]["input"]["transcription"]
    assert {name: shown[name] for name in hints} == hints
    query = lab.assemblyai.exchanges[before].query
    assert (query["speech_model"], query["prompt"]) == ("u3-rt-pro", prompt)
    assert json.loads(query["language_codes"]) == ["en"]
    assert HEARD.startswith(done["transcript"].rstrip(".?! "))


async def test_the_language_is_optional_and_a_partial_update_keeps_the_rest(lab: Lab) -> None:
    async with inworld(lab.url) as talk:
        shown = []
        for part in (
            {"model": "assemblyai/u3-rt-pro"},
            {"prompt": "Names of rivers."},
            {"language": "es"},
            {"model": "soniox/stt-rt-v4"},
        ):
            await talk.send("session.update", session={"audio": {"input": {"transcription": part}}})
            session = (await talk.until("session.updated"))[-1]["session"]
            shown.append(session["audio"]["input"]["transcription"])

    assert [(one["model"], one["prompt"], one["language"]) for one in shown] == [
        ("assemblyai/u3-rt-pro", None, None),
        ("assemblyai/u3-rt-pro", "Names of rivers.", None),
        ("assemblyai/u3-rt-pro", "Names of rivers.", "es"),
        ("soniox/stt-rt-v4", "Names of rivers.", "es"),
    ]
