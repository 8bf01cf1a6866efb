"""The asynchronous OpenAI SDK as people use it: its typed helpers, its iterator, its event handlers."""

import asyncio
import base64
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.conformance.client import RATE, openai_client
from tests.conformance.hearing import voice, words
from tests.speech import silence


async def written_turn(client: AsyncOpenAI, text: str) -> str:
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )
        await connection.response.create()
        answer = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                answer += event.delta
            elif event.type == "response.done":
                break
        return answer


async def test_the_first_example_that_everybody_tries(server_url: str) -> None:
    async with openai_client(server_url) as client:
        assert await written_turn(client, "Say hello!") == "You said: Say hello!"


async def test_many_sessions_at_once_do_not_mix(server_url: str) -> None:
    async with openai_client(server_url) as client:
        answers = await asyncio.gather(*(written_turn(client, f"I am number {n}") for n in range(20)))

    assert answers == [f"You said: I am number {n}" for n in range(20)]


async def test_a_spoken_turn(server_url: str) -> None:
    pcm = voice() + silence(1_500, RATE)
    transcript, audio = "", b""
    async with (
        openai_client(server_url) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        for start in range(0, len(pcm), 9_600):
            await connection.input_audio_buffer.append(
                audio=base64.b64encode(pcm[start : start + 9_600]).decode()
            )
        async for event in connection:
            if event.type == "response.output_audio_transcript.done":
                transcript = event.transcript
            elif event.type == "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
            elif event.type == "response.done":
                break

    assert words(transcript)[:4] == ["you", "said", "ever", "tried"]
    assert len(audio) > RATE


async def test_handlers_are_called_and_errors_reach_theirs(server_url: str) -> None:
    seen: list[str] = []
    async with (
        openai_client(server_url) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):

        def note(event: Any) -> None:
            seen.append(event.type)

        async def leave(event: Any) -> None:
            seen.append(f"{event.error.code} {event.error.event_id}")
            await connection.close()

        connection.on("session.created", note)
        connection.on("session.updated", note)
        connection.on("error", leave)
        await connection.session.update(session={"type": "realtime", "instructions": "Hi"})
        await connection.response.cancel(event_id="mine")
        await connection.dispatch_events()

    assert seen == ["session.created", "session.updated", "response_cancel_not_active mine"]


async def test_every_helper_of_the_sdk_is_understood(server_url: str) -> None:
    async with (
        openai_client(server_url) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        item: Any = {
            "id": "one",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "x"}],
        }
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(item=item)
        await connection.conversation.item.create(item=item | {"id": "two"}, previous_item_id="root")
        await connection.conversation.item.retrieve(item_id="one")
        await connection.conversation.item.delete(item_id="two")
        await connection.input_audio_buffer.append(audio=base64.b64encode(silence(200, RATE)).decode())
        await connection.input_audio_buffer.clear()
        await connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"k": "v"},
                "input": [item],
                "max_output_tokens": 50,
            }
        )
        seen = []
        async for event in connection:
            seen.append(event.type)
            if event.type == "response.done":
                assert event.response.metadata == {"k": "v"}
                break

    assert "error" not in seen
    for kind in ("retrieved", "deleted", "added", "done"):
        assert f"conversation.item.{kind}" in seen
    assert "input_audio_buffer.cleared" in seen


@pytest.mark.parametrize("options", [{"compression": "deflate", "max_size": 2**24}, {"max_size": 2**20}])
async def test_socket_options_of_the_sdk_work(server_url: str, options: dict[str, Any]) -> None:
    async with (
        openai_client(server_url) as client,
        client.realtime.connect(model="gpt-realtime", websocket_connection_options=options) as connection,  # type: ignore[arg-type]
    ):
        assert (await connection.recv()).type == "session.created"
