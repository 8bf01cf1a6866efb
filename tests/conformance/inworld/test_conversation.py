"""Manage the conversation, keep its cost low, and monitor errors."""

import base64
from typing import Any

import pytest

from tests.conformance.client import RATE, Event
from tests.conformance.hearing import VOICE_WORDS, seconds, voice, words
from tests.conformance.inworld.client import inworld
from tests.conformance.inworld.conftest import Lab
from tests.fakes.openai_api import error as failure
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="package")


# --- Manage conversation state ----------------------------------------------------------------------------


async def test_any_prior_item_is_had_again_with_its_audio(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await talk.append(voice() + silence(4_500, RATE))
        committed = (await talk.until("input_audio_buffer.committed"))[-1]["item_id"]
        reply = await talk.reply()
        items = {}
        for id in talk.oracle.sequence.order:
            await talk.send("conversation.item.retrieve", item_id=id)
            items[id] = (await talk.until("conversation.item.retrieved"))[-1]["item"]

    said, answered = items.values()
    assert (said["id"], said["role"], answered["role"]) == (committed, "user", "assistant")
    part = said["content"][0]
    assert words(part["transcript"]) == VOICE_WORDS
    assert seconds(base64.b64decode(part["audio"]), RATE) > 1
    assert answered["content"][0]["transcript"] == reply.text
    assert base64.b64decode(answered["content"][0]["audio"]) == reply.audio


async def test_a_deleted_item_is_out_of_the_context(lab: Lab) -> None:
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        kept = await talk.type("My name is Ann.")
        gone = await talk.type("My dog is called Rex.")
        await talk.send("conversation.item.delete", item_id=gone["id"])
        deleted = (await talk.until("conversation.item.deleted"))[-1]
        await talk.ask("What do you know?", output_modalities=["text"])

    assert deleted["item_id"] == gone["id"]
    told = [message["content"] for message in lab.openai.chat.requests[-1].body["messages"]]
    assert "My name is Ann." in told
    assert not [text for text in told if "Rex" in str(text)]
    assert kept["id"] in talk.oracle.sequence.order


async def test_what_was_not_heard_of_a_reply_is_cut_off(lab: Lab) -> None:
    """The older edition lists truncate; the reference says what it does: it trims an assistant's audio."""
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        reply = await talk.ask("Who are you?")
        id = reply.response["output"][0]["id"]
        await talk.send("conversation.item.truncate", item_id=id, content_index=0, audio_end_ms=20)
        cut = (await talk.until("conversation.item.truncated"))[-1]
        await talk.send("conversation.item.retrieve", item_id=id)
        part = (await talk.until("conversation.item.retrieved"))[-1]["item"]["content"][0]
        await talk.ask("Go on.", output_modalities=["text"])

    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == (id, 0, 20)
    assert seconds(base64.b64decode(part["audio"]), RATE) == pytest.approx(0.02)
    assert len(part["transcript"]) < len(reply.text)
    told = [message["content"] for message in lab.openai.chat.requests[-1].body["messages"]]
    assert reply.text not in told


async def test_a_ceiling_of_tokens_ends_a_reply_early(server_url: str) -> None:
    async with inworld(server_url) as talk:
        await talk.update(max_output_tokens=5, output_modalities=["text"])
        reply = await talk.ask("[[words 50]]")
        whole = await talk.ask("[[words 50]]", max_output_tokens="inf")

    assert (reply.status, reply.reason) == ("incomplete", "max_output_tokens")
    assert len(reply.text.split()) == 5
    assert len(whole.text.split()) == 50


async def test_a_reply_can_be_cancelled(server_url: str) -> None:
    async with inworld(server_url) as talk:
        id = await talk.start("[[words 400]] [[pace 20]]")
        await talk.until("response.output_audio.delta")
        await talk.send("response.cancel", response_id=id)
        reply = await talk.reply(id)

    assert (reply.status, reply.reason) == ("cancelled", "client_cancelled")


async def test_a_whole_setup_may_be_sent_without_waiting(server_url: str) -> None:
    """As pipecat does it: history with ids of its own, the session, and the first response."""
    history = [
        ("user", "input_text", "Hello."),
        ("assistant", "output_text", "Hi."),
        ("user", "input_text", "Bye."),
    ]
    async with inworld(server_url) as talk:
        for number, (role, kind, text) in enumerate(history):
            item = {
                "type": "message",
                "role": role,
                "content": [{"type": kind, "text": text}],
                "id": f"{number:032x}",
            }
            await talk.send("conversation.item.create", item=item)
        await talk.send("session.update", session={"instructions": "Be kind.", "output_modalities": ["text"]})
        await talk.send("response.create", response={"modalities": ["text"]})
        reply = await talk.reply()

    assert talk.oracle.sequence.order[:3] == [f"{number:032x}" for number in range(3)]
    assert reply.text == "You said: Bye."


# --- Monitor errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (
            {"type": "conversation.item.retrieve", "item_id": "nobody"},
            "item_retrieve_invalid_item_id",
            "item_id",
        ),
        ({"type": "conversation.item.delete", "item_id": "nobody"}, "item_delete_invalid_item_id", "item_id"),
        (
            {"type": "response.cancel", "response_id": "nobody"},
            "response_cancel_not_active",
            None,
        ),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        (
            {"type": "session.update", "session": {"model": "nobody/nothing"}},
            "model_not_found",
            "session.model",
        ),
        ({"type": "session.update", "session": {"modelId": "inworld/"}}, "model_not_found", "session.model"),
        (
            {"type": "session.update", "session": {"temperature": "hot"}},
            "invalid_type",
            "session.temperature",
        ),
        (
            {"type": "session.update", "session": {"max_output_tokens": 5000}},
            "integer_above_max_value",
            "session.max_output_tokens",
        ),
        ({"type": "no.such.event"}, "invalid_value", "type"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
async def test_an_error_says_what_was_wrong_where_and_in_which_event(
    lab: Lab, event: Event, code: str, param: str | None
) -> None:
    async with inworld(lab.url) as talk:
        members: dict[str, Any] = {name: value for name, value in event.items() if name != "type"}
        mine = await talk.send(event["type"], **members)
        error = await talk.error()
        after = await talk.ask("Hello?", output_modalities=["text"])  # the session goes on

    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["message"]
    assert error["event_id"] == mine
    assert after.status == "completed"


async def test_a_second_response_at_once_is_the_harmless_error_that_clients_know(server_url: str) -> None:
    async with inworld(server_url) as talk:
        id = await talk.start("[[words 100]] [[pace 10]]")
        await talk.send("response.create")
        event = (await talk.until("error"))[-1]
        await talk.send("response.cancel")
        reply = await talk.reply(id)

    assert event["error"]["code"] == "conversation_already_has_active_response"
    assert reply.status == "cancelled"


async def test_a_service_that_fails_ends_its_response_and_not_the_session(lab: Lab) -> None:
    lab.openai.chat.script(failure(500, "Broken."))
    async with inworld(lab.url, model="openai/gpt-4o-mini") as talk:
        broken = await talk.ask("Hello?", output_modalities=["text"])
        again = await talk.ask("Hello?", output_modalities=["text"])

    assert broken.status == "failed"
    assert broken.response["status_details"]["error"]["message"]
    assert again.text == "gpt-4o-mini here."


async def test_a_client_that_comes_back_with_its_key_gets_a_session(lab: Lab) -> None:
    ids = set()
    for _ in range(2):
        async with inworld(lab.url, key="walk-1") as talk:
            ids.add(talk.session["id"])
            assert talk.session["providerData"]["user_id"] == "walk-1"

    assert len(ids) == 2
