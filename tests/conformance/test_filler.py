"""Filler speech against the running server: a real voice says it while the model is still thinking."""

from typing import Any

import pytest

from tests.conformance.client import RATE, Talk, talk
from tests.conformance.hearing import seconds, transcript_of, voice, word_errors
from tests.speech import silence

Members = dict[str, Any]


def wanted(**members: Any) -> Members:
    settings = {"enabled": True, "enable_filler_on_first_assistant_reply": True}
    return {"responsiveness": {**settings, **members}}


SOON = {"initial_wait_timeout_ms": 200}  # so that no test takes longer than it must
SLOW = "[[think 1000]]"


async def first_heard(session: Talk, id: str) -> str:
    """The transcript as it was when the first speech of that response came."""
    await session.until(lambda e: e["type"] == "response.output_audio.delta" and e["response_id"] == id)
    return session.reply_so_far(id).text


async def test_a_slow_model_is_covered_by_a_phrase(server_url: str) -> None:
    said = "The answer is seven."
    async with talk(
        server_url, instructions=f"[[think 2500]][[say {said}]]", providerData=wanted()
    ) as session:
        await session.append(voice() + silence(9_000, RATE))
        id = (await session.until("response.created"))[-1]["response"]["id"]
        assert await first_heard(session, id) == "One moment. "
        reply = await session.reply(id)

        assert (reply.status, reply.text) == ("completed", f"One moment. {said}")
        (item,) = reply.response["output"]
        assert item["content"] == [{"type": "output_audio", "transcript": reply.text}]
        understood = await transcript_of(reply.audio, RATE)
        assert word_errors(understood, reply.text) <= 0.34


async def test_a_small_model_finds_the_phrase(server_url: str) -> None:
    told = wanted(**SOON, small_model="builtin/echo", prompt_template="[[say Good question.]]")
    async with talk(server_url, instructions=f"{SLOW}[[say Yes.]]", providerData=told) as session:
        reply = await session.ask("Is it cold?")
        assert reply.text == "Good question. Yes."


async def test_a_filler_can_be_cut_off(server_url: str) -> None:
    async with talk(server_url, instructions="[[think 60000]]", providerData=wanted(**SOON)) as session:
        id = await session.start("Is it cold?")
        assert await first_heard(session, id) == "One moment. "
        await session.send("response.cancel")
        reply = await session.reply(id)
        assert (reply.status, reply.reason) == ("cancelled", "client_cancelled")
        (item,) = reply.response["output"]
        await session.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=0)
        await session.until("conversation.item.truncated")

        await session.update(instructions="[[say Yes.]]")
        assert (await session.ask("Well?")).text == "Yes."


async def test_a_call_may_follow(server_url: str) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    async with talk(server_url, providerData=wanted(**SOON), tools=[tool]) as session:
        reply = await session.ask(f"{SLOW}[[call look {{}}]]")
        assert [item["type"] for item in reply.response["output"]] == ["message", "function_call"]
        assert reply.text == "One moment. "

        (call,) = reply.calls
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        await session.add(output)
        assert (await session.respond()).text == "Tool look returned: rain"


@pytest.mark.parametrize(
    "session",
    [
        {"providerData": {"responsiveness": {"enabled": False}}},
        {"providerData": wanted(**SOON), "output_modalities": ["text"]},
        {"providerData": {"responsiveness": {"enabled": True, **SOON}}},  # the first reply of all
    ],
)
async def test_nothing_is_said_where_it_is_not_wanted(server_url: str, session: Members) -> None:
    async with talk(server_url, instructions=f"{SLOW}[[say Yes.]]", **session) as talking:
        reply = await talking.ask("Is it cold?")
        assert reply.text == "Yes."
        assert (seconds(reply.audio, RATE) == 0) == ("output_modalities" in session)
