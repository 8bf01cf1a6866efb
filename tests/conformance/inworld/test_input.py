"""Send input: audio as it is recorded, audio that was recorded before, and text."""

import base64
from typing import Any

import pytest

from tests.audio_files import audio_file
from tests.conformance.client import RATE, Event, Talk
from tests.conformance.hearing import VOICE_WORDS, voice, words
from tests.conformance.inworld.client import inworld
from tests.conformance.inworld.conftest import Lab
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="package")

BUFFER = "input_audio_buffer"


def audio_item(data: bytes, **members: Any) -> Event:
    """The guide's pre-recorded audio."""
    content = [{"type": "input_audio", "audio": base64.b64encode(data).decode()}]
    return {"type": "message", "role": "user", "content": content, **members}


def text_item(text: str, role: str = "user") -> Event:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


async def heard(talk: Talk, item: Event) -> tuple[Event, str]:
    """Add a recording, exactly so, and ask for a response: the item as added, and what was heard of it."""
    await talk.send("conversation.item.create", item=item)
    added = (await talk.until("conversation.item.added"))[-1]["item"]
    await talk.send("response.create")
    id = (await talk.until("response.created"))[-1]["response"]["id"]
    reply = await talk.reply(id)
    return added, reply.text.removeprefix("You said: ")


@pytest.mark.parametrize("chunk_ms", [20, 60, 400])
async def test_streamed_chunks_of_any_length_are_one_turn(server_url: str, chunk_ms: int) -> None:
    """PCM16, 24 kHz, mono; the turn detection commits the buffer without being told."""
    async with inworld(server_url) as talk:
        await talk.append(voice() + silence(4_500, RATE), chunk_ms=chunk_ms)
        committed = (await talk.until(f"{BUFFER}.committed"))[-1]
        reply = await talk.reply()

    assert committed["item_id"] in {e["item_id"] for e in talk.events if e["type"].endswith("speech_started")}
    assert words(reply.text) == ["you", "said", *VOICE_WORDS]
    assert not [event for event in talk.sent if event["type"] != f"{BUFFER}.append"][:-1]  # but the fence


async def test_recorded_pcm_is_heard_as_an_item(server_url: str) -> None:
    async with inworld(server_url) as talk:
        added, transcript = await heard(talk, audio_item(voice()))

    assert (added["role"], added["content"][0]["type"]) == ("user", "input_audio")
    assert words(transcript) == VOICE_WORDS


@pytest.mark.parametrize(("container", "rate"), [("ogg", 48_000), ("webm", 48_000)])
async def test_recorded_opus_is_heard_as_an_item(server_url: str, container: str, rate: int) -> None:
    recording = audio_file(voice(rate=rate), container, "libopus", rate)
    async with inworld(server_url) as talk:
        _, transcript = await heard(talk, audio_item(recording))

    assert words(transcript) == VOICE_WORDS
    assert len(recording) < len(voice()) / 4


async def test_recorded_audio_has_the_sessions_input_format(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await talk.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
        _, transcript = await heard(talk, audio_item(voice(rate=16_000)))

    assert words(transcript) == VOICE_WORDS


async def test_text_is_a_turn_of_its_own(lab: Lab) -> None:
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        await talk.send("conversation.item.create", item=text_item("Give me a two-sentence summary."))
        added, done = await talk.receive(), await talk.receive()
        await talk.send("response.create")
        reply = await talk.reply()

    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert done["item"]["content"] == [{"type": "input_text", "text": "Give me a two-sentence summary."}]
    said = lab.openai.chat.requests[-1].body["messages"][-1]
    assert (said["role"], said["content"]) == ("user", "Give me a two-sentence summary.")
    assert reply.text == "gpt-4o-mini here."


async def test_several_parts_of_both_kinds_may_be_one_message(server_url: str) -> None:
    item = audio_item(voice())
    item["content"].append({"type": "input_text", "text": "[[say Both came.]]"})
    async with inworld(server_url) as talk:
        await talk.send("conversation.item.create", item=item)
        reply = await talk.respond()

    assert reply.text == "Both came."


@pytest.mark.parametrize(
    ("role", "part", "model_role"),
    [
        ("system", {"type": "input_text", "text": "Mind the gap."}, "system"),
        ("tool", {"type": "input_text", "text": "Mind the gap."}, "system"),
        ("tool", {"type": "text", "text": "Mind the gap."}, "system"),
        ("assistant", {"type": "text", "text": "Mind the gap."}, "assistant"),
        ("assistant", {"type": "output_text", "text": "Mind the gap."}, "assistant"),
        ("assistant", {"type": "audio", "transcript": "Mind the gap."}, "assistant"),
        ("assistant", {"type": "output_audio", "transcript": "Mind the gap."}, "assistant"),
        ("user", {"type": "text", "text": "Mind the gap."}, "user"),
    ],
)
async def test_messages_have_the_roles_and_parts_of_both_editions(
    lab: Lab, role: str, part: Event, model_role: str
) -> None:
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        kept = await talk.add({"type": "message", "role": role, "content": [part]})
        await talk.ask("Well?", output_modalities=["text"])

    assert kept["role"] == model_role
    said = [m for m in lab.openai.chat.requests[-1].body["messages"] if "Mind the gap." in str(m["content"])]
    assert [message["role"] for message in said] in ([model_role], ["developer"])


async def test_ids_are_the_clients_to_choose_and_places_can_be_named(lab: Lab) -> None:
    ids = ["0f" * 16, "item_mine", "a"]
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        await talk.add({**text_item("two"), "id": ids[0]})
        await talk.add({**text_item("three"), "id": ids[1]})
        await talk.add({**text_item("one"), "id": ids[2]}, previous_item_id="root")
        await talk.add(text_item("between"), previous_item_id=ids[0])
        await talk.ask("four", output_modalities=["text"])

    messages = lab.openai.chat.requests[-1].body["messages"]
    said = [message["content"] for message in messages if message["role"] == "user"]
    assert said == ["one", "two", "between", "three", "four"]
