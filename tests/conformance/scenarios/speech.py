"""Spoken turns: detected, committed by hand, and interrupting."""

from tests.conformance.client import RATE, Event, Talk
from tests.conformance.hearing import VOICE_WORDS, voice, words
from tests.conformance.scenarios.registry import BETA, BOTH, GA, scenario
from tests.conformance.scenarios.steps import (
    COMMITTED,
    LONG,
    MANUAL,
    SPOKEN,
    SPOKEN_TAIL,
    TEXT,
    WRITTEN,
    configure,
    order_since,
    speak,
    told,
    vad,
)
from tests.speech import recording, silence

TURN = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", *COMMITTED]
KIND = "conversation.item.input_audio_transcription"


def only(events: list[Event], kind: str) -> Event:
    (event,) = [event for event in events if event["type"] == kind]
    return event


@scenario("A spoken turn is detected, transcribed and answered", variants=(*BOTH, BETA))
async def spoken_turn(session: Talk) -> None:
    await configure(session, vad())
    begin = len(told(session))
    await speak(session)
    reply = await session.reply()
    assert order_since(session, begin) == [*TURN, *SPOKEN]
    assert words(reply.text) == ["you", "said", *VOICE_WORDS]
    events = told(session)[begin:]
    ids = [only(events, kind)["item_id"] for kind in TURN[:3]]
    user = next(event for event in events if event["type"] == "conversation.item.added")
    assert {*ids, only(events, f"{KIND}.completed")["item_id"]} == {user["item"]["id"]}
    assert user["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    started, stopped = only(events, TURN[0])["audio_start_ms"], only(events, TURN[1])["audio_end_ms"]
    assert 0 <= started < 1000 < stopped < 4500


@scenario("A spoken turn is detected by what it means", variants=(*BOTH, BETA))
async def semantic_turn(session: Talk) -> None:
    heard = {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "whisper-1"}}
    await configure(session, {"audio": {"input": heard}})
    begin = len(told(session))
    await session.append(voice(1_300) + silence(4_000, RATE))  # its first sentence
    reply = await session.reply()
    assert order_since(session, begin) == [*TURN, *SPOKEN]
    assert words(reply.text) == ["you", "said", *VOICE_WORDS[:2]]


@scenario("A turn that is probably over is suggested to a client that asks", variants=(GA,))
async def suggested_turn(session: Talk) -> None:
    # The voice pauses in the middle for almost as long.
    await configure(session, vad(silence_duration_ms=750), {"providerData": {"turn_suggestions": True}})
    begin = len(told(session))
    await session.append(voice(3_000) + silence(1_500, RATE))
    await session.reply()
    suggestion, revoked = "turn_suggestion", "turn_suggestion_revoked"
    assert order_since(session, begin) == [TURN[0], suggestion, revoked, suggestion, *TURN[1:], *SPOKEN]
    first, second = [event for event in told(session) if event["type"] == suggestion]
    assert first["audio_duration_ms"] + 1000 < second["audio_duration_ms"]
    assert first["probability"] >= 0.5 <= second["probability"]
    assert 100 < first["trailing_silence_ms"] < 300
    assert first["inference_ms"] > 0


@scenario("Nobody hears of suggestions who does not ask")
async def unasked_turn(session: Talk) -> None:
    await configure(session, vad(silence_duration_ms=750))
    await speak(session)
    await session.reply()
    assert [event for event in told(session) if event["type"].startswith("turn_suggestion")] == []


@scenario("A listener is heard while the user talks, for clients that ask for it", variants=(GA,))
async def listener_sounds(session: Talk) -> None:
    wishes = {
        "enabled": True,
        "decider_kind": "rule",
        "rule_fire_probability": 1.0,
        "hard_deadline_ms": 20_000,
    }
    await configure(session, vad(silence_duration_ms=3_000), {"providerData": {"backchannel": wishes}})
    await session.append(recording("beckett", RATE))
    await session.until("response.backchannel.audio.done")
    # A sound that nobody has made before takes longer than a millisecond.
    hasty = {
        "hard_deadline_ms": 1,
        "min_gap_ms": 0,
        "allowed_phrases": ["Please do go on and tell me all of it"],
    }
    await configure(session, {"providerData": {"backchannel": hasty}})
    await session.append(recording("beckett", RATE))
    await session.until("response.backchannel.skipped")


@scenario("When nobody has spoken for long after an answer, the assistant says something", variants=(GA,))
async def idle_timeout(session: Talk) -> None:
    await configure(session, TEXT, vad(idle_timeout_ms=5000))
    await session.append(silence(300, RATE))
    await session.ask("Hello")
    begin = len(told(session))
    reply = await session.reply()
    timeout = "input_audio_buffer.timeout_triggered"
    assert order_since(session, begin) == [timeout, *COMMITTED, *WRITTEN]
    assert reply.status == "completed"
    quiet, committed = told(session)[begin : begin + 2]
    assert quiet["item_id"] == committed["item_id"]
    assert (quiet["audio_start_ms"], quiet["audio_end_ms"]) == (0, 300)


@scenario("With create_response off a turn is committed and not answered", variants=(*BOTH, BETA))
async def unanswered_turn(session: Talk) -> None:
    await configure(session, vad(create_response=False))
    begin = len(told(session))
    await speak(session)
    await session.until(f"{KIND}.completed")
    await session.settle()
    assert [kind for kind in order_since(session, begin) if kind != "error"] == TURN


@scenario("Speech ends the answer that is running, which is cut to what was heard", variants=(*BOTH, BETA))
async def barge_in(session: Talk) -> None:
    await configure(session, vad())
    id = await session.start(LONG)
    await session.until(lambda event: event["type"].endswith("audio.delta"))
    await speak(session)
    await session.until("input_audio_buffer.speech_started")
    begin = len(told(session))
    cut = await session.reply(id)
    assert order_since(session, begin) == SPOKEN_TAIL
    assert (cut.status, cut.reason) == ("cancelled", "turn_detected")
    item = cut.response["output"][0]
    assert item["status"] == "incomplete"
    assert item["content"] == [{"type": "output_audio", "transcript": cut.text}]
    assert cut.response["usage"]["output_tokens"] > 0
    await session.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=100)
    await session.until("conversation.item.truncated")
    assert words((await session.reply()).text)[:4] == ["you", "said", *VOICE_WORDS[:2]]


@scenario("With interrupt_response off the answer goes on", variants=(*BOTH, BETA))
async def no_barge_in(session: Talk) -> None:
    await configure(session, TEXT, vad(interrupt_response=False, create_response=False))
    id = await session.start("[[words 100]] [[pace 10]]")
    await speak(session)
    assert (await session.reply(id)).status == "completed"


@scenario("With push to talk the client commits, and asks for the answer", variants=(*BOTH, BETA))
async def push_to_talk(session: Talk) -> None:
    await configure(session, vad(), MANUAL)
    begin = len(told(session))
    await speak(session, 0)
    await session.send("input_audio_buffer.commit")
    await session.until(f"{KIND}.completed")
    seen = order_since(session, begin, transcripts=True)
    assert seen == [*COMMITTED, f"{KIND}.delta", f"{KIND}.completed"]
    assert words((await session.respond()).text) == ["you", "said", *VOICE_WORDS]


@scenario("What was said and not committed can be thrown away", variants=(*BOTH, BETA))
async def clear_buffer(session: Talk) -> None:
    await configure(session, MANUAL)
    await session.append(silence(300, RATE))
    await session.send("input_audio_buffer.clear")
    assert (await session.receive())["type"] == "input_audio_buffer.cleared"
    await session.send("input_audio_buffer.commit")
    assert (await session.error())["code"] == "input_audio_buffer_commit_empty"
