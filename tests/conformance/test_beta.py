"""Connections in the beta dialect, through the SDK's beta client, each frame judged by its types."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.conformance.beta_client import beta_openai_client, beta_talk
from tests.conformance.client import RATE
from tests.conformance.hearing import VOICE_WORDS, seconds, voice, words
from tests.speech import silence

TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def runs(events: list[dict[str, Any]]) -> list[str]:
    """The types of events in order; runs of the same type count once."""
    kinds = [event["type"] for event in events]
    return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


async def test_a_connection_begins_with_a_flat_session_and_its_conversation(server_url: str) -> None:
    async with beta_talk(server_url) as session:
        assert [event["type"] for event in session.events] == ["session.created", "conversation.created"]
        shown = session.session

        assert shown["modalities"] == ["text", "audio"]
        assert (shown["input_audio_format"], shown["output_audio_format"]) == ("pcm16", "pcm16")
        assert shown["client_secret"] is None
        reply = await session.ask("Hello")
        assert reply.response["conversation_id"] == session.events[1]["conversation"]["id"]


async def test_an_update_of_flat_members_shows_them_all(server_url: str) -> None:
    wanted: dict[str, Any] = {
        "modalities": ["text"],
        "instructions": "Be brief.",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 400},
        "tools": [TOOL],
        "tool_choice": "weather",
        "temperature": 0.8,
        "max_response_output_tokens": 200,
        "speed": 1.1,
    }
    async with beta_talk(server_url) as session:
        before = session.session
        after = await session.update(**wanted)

    shown = {name: after[name] for name in wanted} | {
        "turn_detection": {name: after["turn_detection"][name] for name in wanted["turn_detection"]}
    }
    assert shown == wanted
    untouched = before.keys() - wanted.keys()
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


async def test_a_written_turn_has_the_beta_events_in_their_order(server_url: str) -> None:
    async with beta_talk(server_url, text=True) as session:
        begin = len(session.events)
        reply = await session.ask("Good morning")

        assert reply.text == "You said: Good morning"
        assert runs(session.events[begin:]) == [
            "conversation.item.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.text.delta",
            "response.text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        done = next(e for e in session.events if e["type"] == "response.done")["response"]
        assert done["modalities"] == ["text"]
        assert done["output"][0]["object"] == "realtime.item"
        assert done["output"][0]["content"] == [{"type": "text", "text": "You said: Good morning"}]


async def test_a_spoken_turn_has_the_beta_events_in_their_order(server_url: str) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 1000}
    async with beta_talk(server_url, turn_detection=detection) as session:
        begin = len(session.events)
        await session.append(voice() + silence(1_500, RATE))
        reply = await session.reply()

        assert words(reply.text) == ["you", "said", *VOICE_WORDS]
        assert 1 < seconds(reply.audio, RATE) < 10
        kinds = runs([e for e in session.events[begin:] if not e["type"].startswith(TRANSCRIPTION)])
        created = kinds.index("response.created")
        assert kinds[:created] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.created",
        ]
        assert kinds[created + 1 : created + 4] == [
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
        ]
        assert {"response.audio.delta", "response.audio_transcript.delta"} <= set(kinds)
        assert kinds[-6:] == [
            "response.audio.done",
            "response.audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]


async def test_push_to_talk_is_committed_created_and_transcribed(server_url: str) -> None:
    async with beta_talk(server_url, turn_detection=None) as session:
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        events = await session.until(f"{TRANSCRIPTION}.completed")
        reply = await session.respond(modalities=["text"])

        assert [event["type"] for event in events[:2]] == [
            "input_audio_buffer.committed",
            "conversation.item.created",
        ]
        assert events[1]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        assert words(reply.text) == ["you", "said", *VOICE_WORDS]


async def test_a_function_is_called_and_its_output_used(server_url: str) -> None:
    async with beta_talk(server_url, text=True, tools=[TOOL]) as session:
        await session.type('[[call weather {"city": "Oslo"}]]')
        called = await session.respond()
        (call,) = called.calls
        done = next(e for e in session.events if e["type"] == "response.function_call_arguments.done")
        await session.add({"type": "function_call_output", "call_id": call["call_id"], "output": "Rain"})
        answer = await session.respond()

        assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "Oslo"})
        assert "name" not in done
        assert answer.text == "Tool weather returned: Rain"


async def test_a_response_is_cancelled(server_url: str) -> None:
    async with beta_talk(server_url) as session:
        await session.start("[[say This is a long story, and it goes on and on and on and on and on.]]")
        await session.until("response.audio.delta")
        await session.send("response.cancel")
        done = (await session.until("response.done"))[-1]["response"]

        assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
        assert done["output"][0]["content"][0]["type"] == "audio"


async def test_speech_interrupts_a_reply_which_is_then_cut_to_what_was_heard(server_url: str) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 1000}
    async with beta_talk(server_url, turn_detection=detection) as session:
        told = await session.start("[[pace 50]] [[words 400]]")
        delta = (await session.until("response.audio.delta"))[-1]
        await session.append(voice() + silence(1_500, RATE))
        story = await session.reply(told)
        await session.send(
            "conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=200
        )
        await session.until("conversation.item.truncated")
        answer = await session.reply()

        assert (story.status, story.reason) == ("cancelled", "turn_detected")
        assert words(answer.text) == ["you", "said", *VOICE_WORDS]


async def test_a_reply_that_is_deleted_while_it_is_written_is_not_missed(server_url: str) -> None:
    async with beta_talk(server_url, text=True) as session:
        await session.start("[[pace 50]] [[words 40]]")
        item_id = (await session.until("response.text.delta"))[-1]["item_id"]
        await session.send("conversation.item.delete", item_id=item_id)
        await session.send("response.cancel")
        done = (await session.until("response.done"))[-1]

        assert done["response"]["output"][0]["id"] == item_id
        assert item_id not in await session.items()


async def test_a_response_may_stand_apart_and_have_its_own_voice(server_url: str) -> None:
    async with beta_talk(server_url) as session:
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Apart"}]}
        reply = await session.respond(
            conversation="none",
            input=[said],
            modalities=["text"],
            max_response_output_tokens=50,
            metadata={"topic": "summary"},
        )

        assert reply.text == "You said: Apart"
        assert reply.response["conversation_id"] is None
        assert reply.response["max_output_tokens"] == 50
        assert not [e for e in session.events if e["type"] == "conversation.item.created"]


async def test_a_retrieved_reply_has_the_short_content_type_and_its_audio(server_url: str) -> None:
    async with beta_talk(server_url) as session:
        reply = await session.ask("Hi")
        item_id = reply.response["output"][0]["id"]
        await session.send("conversation.item.retrieve", item_id=item_id)
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        assert item["content"][0]["type"] == "audio"
        assert item["content"][0]["audio"]


async def test_a_transcription_session_has_its_own_events(server_url: str) -> None:
    async with beta_talk(server_url, "gpt-4o-transcribe", query={"intent": "transcription"}) as session:
        assert session.events[0]["type"] == "transcription_session.created"
        shown = await session.update(
            input_audio_transcription={"model": "whisper-1", "language": "en"},
            turn_detection={"type": "server_vad", "silence_duration_ms": 900, "create_response": False},
            include=["item.input_audio_transcription.logprobs"],
        )
        await session.append(voice() + silence(1_500, RATE))
        done = (await session.until(f"{TRANSCRIPTION}.completed"))[-1]

        assert shown["input_audio_transcription"]["language"] == "en"
        assert shown["turn_detection"]["silence_duration_ms"] == 900
        assert words(done["transcript"]) == VOICE_WORDS
        assert done["logprobs"]


# --- how the dialect is chosen --------------------------------------------------------------------------


async def first_event(server_url: str, header: str | None, offered: list[str], query: str = "") -> Any:
    """The first event of a connection, and the subprotocol that was selected."""
    url = f"{server_url.replace('http', 'ws', 1)}/v1/realtime?model=builtin/echo{query}"
    headers = {"OpenAI-Beta": header} if header is not None else {}
    subprotocols = [Subprotocol(name) for name in offered] or None
    async with connect(url, additional_headers=headers, subprotocols=subprotocols, proxy=None) as socket:
        async with asyncio.timeout(20):
            event = json.loads(await socket.recv())
        return event, socket.subprotocol


@pytest.mark.parametrize(
    ("header", "offered", "beta", "selected"),
    [
        ("realtime=v1", [], True, None),
        ("assistants=v2, realtime=v1", [], True, None),
        (None, ["realtime", "openai-insecure-api-key.any", "openai-beta.realtime-v1"], True, "realtime"),
        (None, ["realtime"], False, "realtime"),
        ("assistants=v2", [], False, None),
        ("realtime=v2", [], False, None),
        ("", [], False, None),
    ],
)
async def test_only_the_token_or_the_subprotocol_chooses_the_dialect(
    server_url: str, header: str | None, offered: list[str], beta: bool, selected: str | None
) -> None:
    event, subprotocol = await first_event(server_url, header, offered)

    assert ("modalities" in event["session"], "audio" in event["session"]) == (beta, not beta)
    assert subprotocol == selected


async def test_the_strict_profile_refuses_the_dialect_as_openai_does(server_url: str) -> None:
    url = f"{server_url.replace('http', 'ws', 1)}/v1/realtime?model=gpt-realtime&profile=openai"
    async with connect(url, additional_headers={"OpenAI-Beta": "realtime=v1"}, proxy=None) as socket:
        error = json.loads(await socket.recv())["error"]
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert (error["type"], error["code"]) == ("invalid_request_error", "beta_api_shape_disabled")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4000,
        "invalid_request_error.beta_api_shape_disabled",
    )


async def test_both_dialects_are_spoken_at_once(server_url: str) -> None:
    async with (
        beta_openai_client(server_url) as client,
        client.realtime.connect(model="builtin/echo") as new,
        client.beta.realtime.connect(model="builtin/echo") as old,
    ):
        await old.session.update(session={"modalities": ["text"]})
        await new.session.update(session={"type": "realtime", "output_modalities": ["text"]})

        assert [(await new.recv()).type for _ in range(2)] == ["session.created", "session.updated"]
        assert [(await old.recv()).type for _ in range(3)] == [
            "session.created",
            "conversation.created",
            "session.updated",
        ]
