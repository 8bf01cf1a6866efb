"""The beta client of the OpenAI SDK as people use it, unmodified, for each kind of turn."""

import base64
import json
from typing import Any

from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection

from tests.conformance.beta_client import beta_openai_client
from tests.conformance.client import RATE
from tests.conformance.hearing import VOICE_WORDS, seconds, voice, words
from tests.speech import silence

MODEL = "gpt-4o-realtime-preview"
LONG_STORY = "[[pace 50]] [[words 400]]"  # half a minute without haste


async def say(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    """Send speech as a microphone does, faster than real time."""
    for start in range(0, len(pcm), 9_600):
        await connection.input_audio_buffer.append(
            audio=base64.b64encode(pcm[start : start + 9_600]).decode()
        )


async def type_message(connection: AsyncRealtimeConnection, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )


async def test_a_written_turn(server_url: str) -> None:
    answer = ""
    async with (
        beta_openai_client(server_url) as client,
        client.beta.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(session={"modalities": ["text"]})
        await type_message(connection, "Say hello!")
        await connection.response.create()
        async for event in connection:
            if event.type == "response.text.delta":
                answer += event.delta
            elif event.type == "response.text.done":
                assert event.text == answer
            elif event.type == "response.done":
                break

    assert answer == "You said: Say hello!"


async def test_a_spoken_turn(server_url: str) -> None:
    heard, answer, audio = "", "", b""
    async with (
        beta_openai_client(server_url) as client,
        client.beta.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(
            session={
                "modalities": ["text", "audio"],
                "voice": "alloy",
                "input_audio_format": "pcm16",
                "output_audio_format": "pcm16",
                "input_audio_transcription": {"model": "whisper-1"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 1000},
            }
        )
        await say(connection, voice() + silence(1_500, RATE))
        done = False
        async for event in connection:
            match event.type:
                case "conversation.item.input_audio_transcription.completed":
                    heard = event.transcript
                case "response.audio_transcript.delta":
                    answer += event.delta
                case "response.audio.delta":
                    audio += base64.b64decode(event.delta)
                case "response.done":
                    done = True
            if done and heard:
                break

    assert words(heard) == VOICE_WORDS
    assert words(answer) == ["you", "said", *VOICE_WORDS]
    assert 1 < seconds(audio, RATE) < 10


async def test_a_function_is_called(server_url: str) -> None:
    asked, answer = [], ""
    async with (
        beta_openai_client(server_url) as client,
        client.beta.realtime.connect(model=MODEL) as connection,
    ):
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        await connection.session.update(
            session={
                "modalities": ["text"],
                "tools": [{"type": "function", "name": "weather", "parameters": parameters}],
                "tool_choice": "auto",
            }
        )
        await type_message(connection, '[[call weather {"city": "Oslo"}]]')
        await connection.response.create()
        async for event in connection:
            if event.type == "response.text.delta":
                answer += event.delta
            if event.type != "response.done":
                continue
            calls = [item for item in event.response.output or () if item.type == "function_call"]
            if not calls:
                break
            for call in calls:
                asked.append((call.name, json.loads(call.arguments or "")))
                await connection.conversation.item.create(
                    item={"type": "function_call_output", "call_id": call.call_id or "", "output": "Rain"}
                )
            await connection.response.create()

    assert asked == [("weather", {"city": "Oslo"})]
    assert answer == "Tool weather returned: Rain"


async def test_somebody_speaks_into_an_answer(server_url: str) -> None:
    responses: list[Any] = []
    item_id, speaking, truncated, answer = "", False, 0, ""
    async with (
        beta_openai_client(server_url) as client,
        client.beta.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(
            session={"turn_detection": {"type": "server_vad", "silence_duration_ms": 1000}}
        )
        await type_message(connection, LONG_STORY)
        await connection.response.create()
        async for event in connection:
            match event.type:
                case "response.audio.delta" if not speaking:
                    item_id, speaking = event.item_id, True
                    await say(connection, voice() + silence(1_500, RATE))
                case "input_audio_buffer.speech_started":
                    await connection.conversation.item.truncate(
                        item_id=item_id, content_index=0, audio_end_ms=200
                    )
                case "conversation.item.truncated":
                    assert event.item_id == item_id
                    truncated = event.audio_end_ms
                case "response.audio_transcript.done":
                    answer = event.transcript
                case "response.done":
                    responses.append(event.response)
                    if len(responses) == 2:
                        break

    interrupted, answered = responses
    assert (interrupted.status, interrupted.status_details.reason) == ("cancelled", "turn_detected")
    assert interrupted.output[0].id == item_id
    assert truncated == 200
    assert answered.status == "completed"
    assert words(answer) == ["you", "said", *VOICE_WORDS]
