"""Items of the conversation: made, placed, read, cut and removed."""

import base64

from tests.conformance.client import RATE, Talk
from tests.conformance.hearing import seconds
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import TEXT, TOOL, configure, message, order, order_since, told
from tests.speech import silence

JOINED = ["conversation.item.added", "conversation.item.done"]
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n".ljust(64, b"\0")).decode()


@scenario("Items of every type join the conversation")
async def create_items(session: Talk) -> None:
    common = {"object": "realtime.item", "status": "completed"}
    parts = [
        {"type": "input_text", "text": "Look and listen."},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
        {"type": "input_audio", "audio": base64.b64encode(silence(200, RATE)).decode(), "transcript": "Hm."},
    ]
    call = {"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "call_1"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
    items = [
        message("Be kind.", "system"),
        {"type": "message", "role": "user", "content": parts},
        message("I am.", "assistant"),
        call,
        output,
    ]
    for number, item in enumerate(items):
        begin = len(told(session))
        kept = await session.add({"id": f"item_{number}", **common, **item})
        assert order_since(session, begin) == JOINED
        assert (kept["id"], kept["status"]) == (f"item_{number}", "completed")
        await session.send("conversation.item.retrieve", item_id=kept["id"])
        (retrieved,) = await session.until("conversation.item.retrieved")
        assert retrieved["item"]["type"] == item["type"]


@scenario("The status that a client gives an item means nothing, and images are kept with their detail")
async def item_words(session: Talk) -> None:
    for status in ("in_progress", "incomplete", "completed"):
        assert (await session.add(message("Hello", status=status)))["status"] == "completed"
    for detail in ("auto", "low", "high"):
        image = {"type": "input_image", "image_url": PIXEL, "detail": detail}
        kept = await session.add({"type": "message", "role": "user", "content": [image]})
        assert kept["content"] == [image]


@scenario("An item takes its place behind the one that it names", variants=(*BOTH, BETA))
async def place_items(session: Talk) -> None:
    last = await session.type("three")
    first = await session.type("one", previous_item_id="root")
    second = await session.type("two", previous_item_id=first["id"])
    joined = [event for event in told(session) if event["type"] == "conversation.item.added"]
    assert [event["previous_item_id"] for event in joined] == [None, None, first["id"]]
    assert session.oracle.sequence.order == [first["id"], second["id"], last["id"]]


@scenario("A deleted item is gone", variants=(*BOTH, BETA))
async def delete_item(session: Talk) -> None:
    item = await session.type("Forget this.")
    await session.send("conversation.item.delete", item_id=item["id"])
    assert (await session.receive())["type"] == "conversation.item.deleted"
    await session.send("conversation.item.retrieve", item_id=item["id"])
    assert (await session.error())["code"] == "item_retrieve_invalid_item_id"


@scenario("A spoken reply is retrieved with its audio, and cut to what was heard", variants=(*BOTH, BETA))
async def truncate_reply(session: Talk) -> None:
    reply = await session.ask("[[words 20]]")
    id = reply.response["output"][0]["id"]

    async def part() -> tuple[str, float]:
        await session.send("conversation.item.retrieve", item_id=id)
        await session.until("conversation.item.retrieved")
        (kept,) = told(session)[-1]["item"]["content"]
        assert kept["type"] == "output_audio"
        return kept["transcript"], seconds(base64.b64decode(kept["audio"]), RATE)

    whole, length = await part()
    await session.send("conversation.item.truncate", item_id=id, content_index=0, audio_end_ms=1000)
    (truncated,) = await session.until("conversation.item.truncated")
    assert (truncated["item_id"], truncated["content_index"], truncated["audio_end_ms"]) == (id, 0, 1000)
    heard, short = await part()
    assert whole == reply.text
    assert whole.startswith(heard.rstrip())
    assert len(heard) < len(whole)
    assert (round(short, 1), short < length) == (1.0, True)


@scenario("A history with a function call is read by the model", variants=(*BOTH, BETA))
async def replay_history(session: Talk) -> None:
    await configure(session, TEXT, {"tools": [TOOL]})
    await session.type("How is the weather?")
    await session.add({"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "call_old"})
    await session.add({"type": "function_call_output", "call_id": "call_old", "output": "sunny"})
    reply = await session.respond()
    assert order(reply.events)[-1] == "response.done"
    assert reply.text == "Tool weather returned: sunny"
