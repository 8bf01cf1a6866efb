"""Spoken turns: detected, committed by hand, and interrupting."""

from tests.conformance.client import RATE, Event, Talk
from tests.conformance.hearing import VOICE_WORDS, words
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import (
    COMMITTED,
    LONG,
    MANUAL,
    SPOKEN,
    SPOKEN_TAIL,
    TEXT,
    configure,
    order_since,
    speak,
    told,
    vad,
)
from tests.speech import silence

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
    await speak(session)
    await session.reply()
    assert order_since(session, begin) == [*TURN, *SPOKEN]


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
