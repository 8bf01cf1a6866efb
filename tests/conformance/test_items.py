"""Conversation items: created anywhere, retrieved, deleted, replayed; recordings in them are understood."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.client import Event, Talk, talk
from tests.conformance.hearing import VOICE_MS, voice, words


def message(text: str, **members: Any) -> Event:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content} | members


def recorded(ms: int = VOICE_MS) -> str:
    return base64.b64encode(voice(ms)).decode()


async def retrieve(session: Talk, id: str) -> Event:
    await session.send("conversation.item.retrieve", item_id=id)
    item: Event = (await session.until("conversation.item.retrieved"))[-1]["item"]
    return item


async def test_an_item_is_added_and_done_at_once(server_url: str) -> None:
    async with talk(server_url) as session:
        kept = await session.add(message("Hello"))
        added, done = session.events[-2:]

        assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
        assert added["item"] == done["item"] == kept
        assert added["previous_item_id"] is None
        assert kept["status"] == "completed"
        assert kept["id"]


async def test_the_client_may_choose_the_id(server_url: str) -> None:
    async with talk(server_url) as session:
        for id in ("mine", "a" * 32, "0f" * 16):
            assert (await session.add(message("Hello", id=id)))["id"] == id

        assert await session.items() == ["mine", "a" * 32, "0f" * 16]


async def test_items_go_where_the_client_wants_them(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.add(message("b", id="b"))
        await session.add(message("d", id="d"))
        await session.add(message("c", id="c"), previous_item_id="b")
        await session.add(message("a", id="a"), previous_item_id="root")
        await session.add(message("e", id="e"), previous_item_id="d")
        await session.add(message("f", id="f"), previous_item_id=None)

        assert await session.items() == ["a", "b", "c", "d", "e", "f"]


async def test_the_model_reads_the_items_in_that_order(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.add(message("last", id="last"))
        await session.add(message("first", id="first"), previous_item_id="root")
        reply = await session.respond()

        assert reply.text == "You said: last"


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        pytest.param(
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            id="system",
        ),
        pytest.param(
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
            id="assistant",
        ),
        pytest.param(
            {"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "c1"},
            {"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "c1"},
            id="call",
        ),
        pytest.param(
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {
                        "type": "input_image",
                        "image_url": "data:image/png;base64,iVBORw0KGgo=",
                        "detail": "low",
                    },
                ],
            },
            {"role": "user"},
            id="image",
        ),
        pytest.param(
            {
                "type": "message",
                "role": "user",
                "object": "realtime.item",
                "status": "completed",
                "content": [],
            },
            {"role": "user", "content": [], "status": "completed"},
            id="empty, with the members of the server",
        ),
        pytest.param(
            {"type": "message", "role": "user", "id": None, "status": None, "object": None, "content": []},
            {"role": "user", "content": []},
            id="with explicit nulls",
        ),
    ],
)
async def test_every_kind_of_item_is_kept_as_it_came(
    server_url: str, item: Event, shown: Mapping[str, Any]
) -> None:
    async with talk(server_url) as session:
        kept = await session.add(item)

        assert {name: kept[name] for name in shown} == shown
        assert (await retrieve(session, kept["id"]))["id"] == kept["id"]


async def test_a_recording_inside_an_item_is_transcribed_for_the_model(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        content = [{"type": "input_audio", "audio": recorded()}]
        kept = await session.add({"type": "message", "role": "user", "content": content})
        reply = await session.respond()
        later = await retrieve(session, kept["id"])

        assert "audio" not in kept["content"][0]
        assert reply.text == f"You said: {later['content'][0]['transcript']}"
        assert words(reply.text)[:4] == ["you", "said", "ever", "tried"]


async def test_text_and_recordings_may_be_mixed(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        content = [
            {"type": "input_text", "text": "Before."},
            {"type": "input_audio", "audio": recorded()},
            {"type": "input_text", "text": "After."},
        ]
        await session.add({"type": "message", "role": "user", "content": content})
        heard = words((await session.respond()).text)

        assert heard[:5] == ["you", "said", "before", "ever", "tried"]
        assert heard[-1] == "after"


async def test_a_transcript_that_came_with_a_recording_is_believed(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        part = {"type": "input_audio", "audio": recorded(), "transcript": "Something else."}
        kept = await session.add({"type": "message", "role": "user", "content": [part]})
        reply = await session.respond()

        assert kept["content"][0]["transcript"] == "Something else."
        assert reply.text == "You said: Something else."


async def test_a_retrieved_recording_is_the_one_that_was_sent(server_url: str) -> None:
    async with talk(server_url) as session:
        audio = recorded(500)
        content = [{"type": "input_audio", "audio": audio}]
        kept = await session.add({"type": "message", "role": "user", "content": content})
        item = await retrieve(session, kept["id"])

        assert item["content"][0]["audio"] == audio


async def test_a_retrieved_answer_holds_the_audio_that_was_streamed(server_url: str) -> None:
    async with talk(server_url) as session:
        reply = await session.ask("Hello")
        item = await retrieve(session, reply.response["output"][0]["id"])

        (part,) = item["content"]
        assert part["transcript"] == "You said: Hello"
        assert base64.b64decode(part["audio"]) == reply.audio


async def test_a_deleted_item_is_gone(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        await session.type("Stay")
        gone = await session.type("Go")
        await session.send("conversation.item.delete", item_id=gone["id"])
        deleted = (await session.until("conversation.item.deleted"))[-1]
        await session.send("conversation.item.retrieve", item_id=gone["id"])
        error = await session.error()
        reply = await session.respond()

        assert deleted["item_id"] == gone["id"]
        assert error["code"] == "item_retrieve_invalid_item_id"
        assert reply.text == "You said: Stay"


async def test_a_history_can_be_deleted_and_recreated_under_the_same_ids(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        for text in ("old", "new"):
            for id in ("one", "two"):
                await session.add(message(f"{text} {id}", id=id))
            if text == "old":
                for id in ("two", "one"):
                    await session.send("conversation.item.delete", item_id=id)
                    await session.until("conversation.item.deleted")

        assert await session.items() == ["one", "two"]
        assert (await session.respond()).text == "You said: new two"


async def test_an_answer_can_be_deleted_and_items_follow_the_one_before(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        user = await session.type("Hello")
        reply = await session.respond()
        await session.send("conversation.item.delete", item_id=reply.response["output"][0]["id"])
        await session.until("conversation.item.deleted")
        await session.type("Again")

        assert (
            next(e for e in reversed(session.events) if e["type"] == "conversation.item.added")[
                "previous_item_id"
            ]
            == user["id"]
        )


async def test_deleting_the_item_of_a_running_answer_does_no_harm(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        id = await session.start("[[words 60]] [[pace 10]]")
        added = (await session.until("response.output_item.added"))[-1]
        await session.until("response.output_text.delta")
        await session.send("conversation.item.delete", item_id=added["item"]["id"], event_id="del")
        await session.until(lambda e: e["type"] in ("conversation.item.deleted", "error"))
        await session.until(lambda e: e["type"] == "response.done" and e["response"]["id"] == id)

        assert (await session.ask("Hello")).text == "You said: Hello"
