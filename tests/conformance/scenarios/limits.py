"""What a server that has little of everything refuses."""

import base64

from tests.conformance.client import RATE, Talk
from tests.conformance.scenarios.registry import BETA, BOTH, scenario
from tests.conformance.scenarios.steps import MANUAL, configure, message
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
