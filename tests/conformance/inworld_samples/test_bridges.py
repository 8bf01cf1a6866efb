"""The samples for telephone networks: mu-law passed on as it is, and errors that end the call."""

import json

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from pipeline.audio.codecs import decode
from tests.conformance.client import Talk
from tests.conformance.hearing import VOICE_WORDS, transcript_of, voice, words
from tests.conformance.inworld_samples.samples import (
    ANSWER,
    ANSWER_WORDS,
    KEY,
    CarrierBridge,
    HangingUpBridge,
    conversation,
    follow,
    follow_until,
)
from tests.speech import silence

PHONE_RATE = 8_000  # Hertz

END_CALL = {
    "type": "function",
    "name": "end_call",
    "description": "End the phone call after a brief goodbye.",
    "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]},
}


async def speak(talk: Talk, chunk_ms: int) -> None:
    """What a caller says, in the packets of the carrier, and then nothing for a while."""
    pcm = voice(rate=PHONE_RATE) + silence(4_500, PHONE_RATE)
    await talk.append(pcm, chunk_ms, PHONE_RATE, "audio/pcmu")


async def heard_by_the_caller(bridge: CarrierBridge) -> list[str]:
    """The words in what the carrier plays."""
    return words(await transcript_of(decode(b"".join(bridge.played), "audio/pcmu"), PHONE_RATE))


async def test_the_caller_is_greeted(samples_url: str) -> None:
    bridge = CarrierBridge(ANSWER)
    async with conversation(samples_url) as talk:
        await follow(talk, bridge, 1)
        session = talk.session

    assert await heard_by_the_caller(bridge) == ANSWER_WORDS
    assert list(bridge.ended.values()) == ["One two three four five."]
    # Shown as objects, whatever they were asked for as: strict clients read nothing else.
    assert session["audio"]["input"]["format"]["type"] == "audio/pcmu"
    assert session["audio"]["output"]["format"]["type"] == "audio/pcmu"


async def test_the_caller_is_answered(samples_url: str) -> None:
    bridge = CarrierBridge()
    async with conversation(samples_url) as talk:
        await follow(talk, bridge, 1)
        await speak(talk, chunk_ms=50)
        await follow(talk, bridge, 1)

        heard = [e["transcript"] for e in talk.events if e["type"].endswith("transcription.completed")]

    assert [words(text) for text in heard] == [VOICE_WORDS]
    _, answer = bridge.ended.values()
    assert words(answer) == ANSWER_WORDS


async def test_the_caller_interrupts(samples_url: str) -> None:
    bridge = CarrierBridge("[[pace 50]] [[words 400]]")
    async with conversation(samples_url) as talk:
        await follow_until(talk, bridge, lambda: bool(bridge.played))
        await speak(talk, chunk_ms=50)
        await follow(talk, bridge, 2)

    assert bridge.cleared == 1
    story, answer = bridge.ended.values()
    assert story.startswith("one two three")
    assert words(answer) == ANSWER_WORDS
    assert await heard_by_the_caller(bridge) == ANSWER_WORDS


async def test_the_model_ends_the_call(samples_url: str) -> None:
    calling = '[[call end_call {"reason": "All said."}]]'
    bridge = HangingUpBridge(instructions=calling, tools=[END_CALL])
    async with conversation(samples_url) as talk:
        await follow(talk, bridge, 1)
        await speak(talk, chunk_ms=20)
        await follow(talk, bridge, 2)

    assert bridge.reasons == ["All said."]
    _, call, farewell = bridge.ended.values()
    assert (call, farewell) == ("", 'Tool end_call returned: {"ok":true}')
    assert b"".join(bridge.played)


async def test_a_cancel_that_comes_late_does_not_end_the_call(samples_url: str) -> None:
    bridge = HangingUpBridge("[[pace 50]] [[words 400]]")
    async with conversation(samples_url) as talk:
        await follow_until(talk, bridge, lambda: bool(bridge.played))
        await speak(talk, chunk_ms=20)
        await follow(talk, bridge, 2)

    assert words(list(bridge.ended.values())[-1]) == ANSWER_WORDS


async def test_a_key_may_come_as_a_subprotocol(samples_url: str) -> None:
    name = f"basic_{KEY.rstrip('=')}"  # without the padding, which subprotocols cannot have
    url = (
        f"{samples_url.replace('http', 'ws', 1)}/api/v1/realtime/session?key=cli-session-1&protocol=realtime"
    )
    async with connect(url, subprotocols=[Subprotocol(name)], proxy=None) as socket:
        first = json.loads(await socket.recv())

    assert first["type"] == "session.created"
    assert socket.subprotocol == name  # clients in Node.js leave when none is selected
