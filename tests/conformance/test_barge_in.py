"""The user speaks while an answer is running: it stops, and what was not heard leaves the context."""

import base64

import pytest

from tests.conformance.client import RATE, Event, Talk, talk
from tests.conformance.hearing import seconds, voice, words
from tests.speech import silence

LONG = "[[words 400]] [[pace 20]]"


def is_audio(event: Event) -> bool:
    return bool(event["type"] == "response.output_audio.delta")


async def test_after_the_interruption_the_new_turn_is_answered(server_url: str) -> None:
    async with talk(server_url) as session:
        old = await session.start(LONG)
        await session.until(is_audio)
        await session.append(voice() + silence(1_500, RATE))
        await session.reply(old)
        new = await session.reply()

        assert words(new.text)[:4] == ["you", "said", "ever", "tried"]
        assert new.status == "completed"
        # Nothing of the old answer came after its end: the oracle has watched, and this says it again.
        ends = [i for i, e in enumerate(session.events) if e.get("response", {}).get("id") == old]
        assert not any(e.get("response_id") == old for e in session.events[ends[-1] + 1 :])


async def test_an_answer_outside_the_conversation_is_not_interrupted(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        user = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "[[words 80]] [[pace 10]]"}],
        }
        id = await session.start(conversation="none", input=[user])
        await session.append(voice() + silence(1_500, RATE))
        reply = await session.reply(id)

        assert reply.status == "completed"
        assert len(reply.text.split()) == 80


async def test_an_answer_is_interrupted_before_its_first_word(server_url: str) -> None:
    async with talk(server_url) as session:
        id = await session.start("[[think 30000]]")
        await session.append(voice() + silence(1_500, RATE))
        cancelled = await session.reply(id)

        assert (cancelled.status, cancelled.reason) == ("cancelled", "turn_detected")
        assert cancelled.response["output"] == []


async def test_truncation_cuts_the_context_at_the_word_that_was_heard_last(server_url: str) -> None:
    async with talk(server_url) as session:
        reply = await session.ask("[[words 40]]")
        heard_ms = round(seconds(reply.audio, RATE) * 1_000 / 4)
        item_id = reply.response["output"][0]["id"]
        await session.send(
            "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=heard_ms
        )
        truncated = (await session.until("conversation.item.truncated"))[-1]
        await session.send("conversation.item.retrieve", item_id=item_id)
        item = (await session.until("conversation.item.retrieved"))[-1]["item"]

        assert (truncated["item_id"], truncated["audio_end_ms"]) == (item_id, heard_ms)
        kept = item["content"][0].get("transcript") or ""
        assert reply.text.startswith(kept.rstrip())
        assert 5 <= len(kept.split()) <= 16  # a quarter of forty, spoken at an uneven pace


async def test_a_truncation_is_visible_to_the_model(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        before = await session.ask("[[words 40]]", output_modalities=["audio"])
        full = (await session.ask("Hello")).response["usage"]["input_tokens"]
        item_id = before.response["output"][0]["id"]
        await session.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0)
        await session.until("conversation.item.truncated")
        short = (await session.respond()).response["usage"]["input_tokens"]

        # Forty words fewer, and the three of "You said: Hello" more.
        assert short == full - 40 + 3


async def test_a_late_truncation_is_clamped_to_the_audio(server_url: str) -> None:
    async with talk(server_url) as session:
        reply = await session.ask("[[words 5]]")
        item_id = reply.response["output"][0]["id"]
        await session.send(
            "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=600_000
        )
        truncated = (await session.until("conversation.item.truncated"))[-1]

        length_ms = seconds(reply.audio, RATE) * 1_000
        assert abs(truncated["audio_end_ms"] - length_ms) <= 1


async def start_speaking(session: Talk, ms: int) -> tuple[str, str]:
    """Begin a long answer and wait for so much of its audio; the ids of response and item."""
    id = await session.start(LONG)
    while seconds(session.reply_so_far(id).audio, RATE) * 1_000 < ms:
        await session.receive()
    (item_id,) = {e["item_id"] for e in session.reply_so_far(id).events if is_audio(e)}
    return id, item_id


async def kept(session: Talk, item_id: str) -> Event:
    """The part that is left of a spoken answer."""
    await session.send("conversation.item.retrieve", item_id=item_id)
    (part,) = (await session.until("conversation.item.retrieved"))[-1]["item"]["content"]
    assert isinstance(part, dict)
    return part


@pytest.mark.parametrize("cancel_first", [False, True], ids=["truncate, cancel", "cancel, truncate"])
async def test_an_answer_may_be_truncated_while_it_is_still_running(
    server_url: str, cancel_first: bool
) -> None:
    async with talk(server_url) as session:
        id, item_id = await start_speaking(session, 500)
        truncate = {"item_id": item_id, "content_index": 0, "audio_end_ms": 100}
        if cancel_first:
            await session.send("response.cancel")
            await session.send("conversation.item.truncate", **truncate)
        else:
            await session.send("conversation.item.truncate", **truncate)
            await session.send("response.cancel")
        await session.until("conversation.item.truncated")
        reply = await session.reply(id)
        part = await kept(session, item_id)

        assert reply.status == "cancelled"
        assert len(part["transcript"].split()) <= 1
        assert len(reply.text.split()) > 1
        assert seconds(base64.b64decode(part["audio"]), RATE) == pytest.approx(0.1, abs=0.002)


async def test_words_that_were_written_and_never_spoken_do_not_survive_a_late_truncation(
    server_url: str,
) -> None:
    async with talk(server_url) as session:
        id, item_id = await start_speaking(session, 1)
        await session.send("response.cancel")
        reply = await session.reply(id)
        await session.send(
            "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=60_000
        )
        await session.until("conversation.item.truncated")
        part = await kept(session, item_id)

        # Three words a second is quicker than any voice here; the text runs ahead of the speech.
        assert len(part["transcript"].split()) <= 1 + 4 * seconds(reply.audio, RATE)


async def test_an_answer_that_may_not_be_interrupted_leaves_the_new_turn_unanswered(server_url: str) -> None:
    detection = {"interrupt_response": False, "silence_duration_ms": 300}
    async with talk(server_url, text=True, audio={"input": {"turn_detection": detection}}) as session:
        id = await session.start("[[words 150]] [[pace 10]]")
        await session.append(voice() + silence(1_000, RATE))
        await session.until("input_audio_buffer.committed")
        reply = await session.reply(id)

        assert reply.status == "completed"
        assert not [e for e in await session.settle() if e["type"] == "response.created"]
        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_only_the_part_that_there_is_can_be_truncated(server_url: str) -> None:
    async with talk(server_url) as session:
        reply = await session.ask("[[words 5]]")
        item_id = reply.response["output"][0]["id"]
        await session.send("conversation.item.truncate", item_id=item_id, content_index=1, audio_end_ms=0)
        error = await session.error()

        assert error["type"] == "invalid_request_error"
        assert error["param"] in ("content_index", None)


async def test_the_interrupted_item_can_be_truncated_to_nothing(server_url: str) -> None:
    async with talk(server_url) as session:
        id = await session.start(LONG)
        await session.until(is_audio)
        await session.append(voice() + silence(1_500, RATE))
        cancelled = await session.reply(id)
        item_id = cancelled.response["output"][0]["id"]
        await session.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=20)
        await session.until("conversation.item.truncated")

        assert words((await session.reply()).text)[:2] == ["you", "said"]
