"""What a server that has little of everything refuses."""

import base64

from tests.conformance.client import RATE, Talk
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import MANUAL, TEXT, configure, message, order_since, told
from tests.speech import silence


@scenario("A full conversation refuses items, and a full buffer audio", variants=(*BOTH, BETA), stage="small")
async def full(session: Talk) -> None:
    await configure(session, MANUAL)
    for _ in range(2):
        await session.type("Hello")
    await session.send("conversation.item.create", item=message("One too many."))
    assert (await session.error())["code"] == "conversation_item_limit_reached"
    await session.append(silence(1_000, RATE))
    await session.send("input_audio_buffer.append", audio=base64.b64encode(silence(100, RATE)).decode())
    assert (await session.error())["code"] == "input_audio_buffer_full"


@scenario("An append that is too large is refused", variants=(*BOTH, BETA), stage="small")
async def large_append(session: Talk) -> None:
    await session.send("input_audio_buffer.append", audio=base64.b64encode(bytes(60_002)).decode())
    error = await session.error()
    assert (error["code"], error["param"]) == ("string_above_max_length", "audio")


@scenario(
    "A response beyond the quota fails, and the session goes on", variants=(*BOTH, BETA), stage="metered"
)
async def quota(session: Talk) -> None:
    await configure(session, TEXT)
    assert (await session.ask("Hello")).status == "completed"
    begin = len(told(session))
    refused = await session.respond()
    assert order_since(session, begin) == ["response.created", "response.done", "rate_limits.updated"]
    error = refused.response["status_details"]["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    requests = told(session)[-1]["rate_limits"][0]
    assert (requests["name"], requests["limit"], requests["remaining"]) == ("requests", 1, 0)
    await configure(session, {"instructions": "Be brief."})
