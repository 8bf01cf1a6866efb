"""The fake Inworld API itself, driven by plain clients: its order, its refusals, and the shapes it sends."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.fakes.inworld_api import FakeInworld, Heard, Spoken, Turn, failure, sound
from tests.fakes.websocket import Plan

CONFIG = {
    "modelId": "inworld/inworld-stt-1",
    "audioEncoding": "LINEAR16",
    "sampleRateHertz": 16_000,
    "language": "en-US",
}
CREATE = {"voiceId": "Dennis", "modelId": "inworld-tts-2", "timestampType": "WORD"}
STT = "/stt/v1/transcribe:streamBidirectional"
TTS = "/tts/v1/voice:streamBidirectional"


@pytest.fixture
async def fake() -> AsyncGenerator[FakeInworld, None]:
    async with FakeInworld() as server:
        yield server


@asynccontextmanager
async def socket(
    fake: FakeInworld, path: str, key: str | None = None
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
    headers = {"Authorization": f"Basic {fake.api_key if key is None else key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(fake.base_url + path, headers=headers) as opened,
    ):
        yield opened


async def answers(client: aiohttp.ClientWebSocketResponse, *messages: Any) -> list[dict[str, Any]]:
    """What is answered to these messages until the connection ends."""
    for message in messages:
        await (client.send_bytes(message) if isinstance(message, bytes) else client.send_json(message))
    async with asyncio.timeout(5):
        return [frame.json() async for frame in client]


def audio(seconds: float) -> dict[str, Any]:
    content = base64.b64encode(bytes(round(seconds * 16_000) * 2)).decode()
    return {"audioChunk": {"content": content}}


def kinds(told: list[dict[str, Any]]) -> list[str]:
    names = []
    for message in told:
        result = message["result"]
        names += [name for name in result if name not in ("contextId", "status")]
    return names


async def test_a_turn_is_told_from_its_start_to_the_usage(fake: FakeInworld) -> None:
    fake.script(Plan(Heard((Turn("good morning", starts=0.1, seconds=1.0, pause=0.4),))))

    async with socket(fake, STT) as client:
        told = await answers(client, {"transcribeConfig": CONFIG}, audio(1.6), {"closeStream": {}})

    assert kinds(told) == [
        "speechStarted",
        "transcription",
        "transcription",
        "speechStopped",
        "transcription",
        "transcription",
        "usage",
    ]
    texts = [message["result"]["transcription"] for message in told if "transcription" in message["result"]]
    assert [(text["transcript"], text["isFinal"]) for text in texts] == [
        ("good", False),
        ("good morning", False),
        ("good morning", True),
        ("", True),
    ]
    assert told[0]["result"]["speechStarted"]["startTimeMs"] == 100
    assert told[-1]["result"]["usage"]["transcribedAudioMs"] == 1600


async def test_end_turn_and_close_stream_give_one_final_each(fake: FakeInworld) -> None:
    fake.script(Plan(Heard((Turn("good morning all", seconds=1.5),))))

    async with socket(fake, STT) as client:
        told = await answers(
            client, {"transcribeConfig": CONFIG}, audio(1.0), {"endTurn": {}}, {"closeStream": {}}
        )

    texts = [message["result"]["transcription"] for message in told if "transcription" in message["result"]]
    finals = [text["transcript"] for text in texts if text["isFinal"]]
    assert finals == ["good morning all", ""]


@pytest.mark.parametrize(
    "messages",
    [
        [{"audioChunk": {"content": ""}}],
        [{"transcribeConfig": {}}],
        [{"transcribeConfig": {**CONFIG, "modelId": "inworld-stt-1"}}],
        [{"transcribeConfig": {**CONFIG, "audioEncoding": "PCM"}}],
        [{"transcribeConfig": {**CONFIG, "endOfTurnConfidenceThreshold": 2}}],
        [{"transcribeConfig": {**CONFIG, "voiceProfileConfig": {"enableVoiceProfile": True, "topN": 21}}}],
        [{"transcribeConfig": {**CONFIG, "prompts": "names"}}],
        [{"transcribeConfig": CONFIG}, {"transcribeConfig": CONFIG}],
        [{"transcribeConfig": CONFIG}, {"audioChunk": {"content": "?"}}],
        [{"transcribeConfig": CONFIG}, {"audioChunk": {"content": "AAA="[:3] + "A"}}],
        [{"transcribeConfig": CONFIG}, b"\0\0"],
        [{"transcribeConfig": CONFIG}, {"closeStream": {}, "endTurn": {}}],
    ],
)
async def test_what_breaks_the_protocol_of_transcription_is_refused(
    fake: FakeInworld, messages: list[Any]
) -> None:
    async with socket(fake, STT) as client:
        told = await answers(client, *messages)

    assert told[-1]["error"]["code"] == 3


@pytest.mark.parametrize("path", [STT, TTS])
async def test_a_wrong_key_is_refused_at_the_handshake(fake: FakeInworld, path: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with socket(fake, path, "wrong"):
            pass

    assert caught.value.status == 401


async def test_times_begin_anew_after_each_flush(fake: FakeInworld) -> None:
    fake.script(Plan(Spoken(chunk_bytes=1_000_000)))

    async with socket(fake, TTS) as client:
        messages: list[dict[str, Any]] = [
            {"create": CREATE},
            {"send_text": {"text": "one two "}},
            {"flush_context": {}},
            {"send_text": {"text": "three", "flush_context": {}}},
            {"close_context": {}},
        ]
        for message in messages:
            await client.send_json({**message, "contextId": "a"})
        told = [(await client.receive_json())["result"] for _ in range(6)]

    assert {message["contextId"] for message in told} == {"a"}
    chunks = [message["audioChunk"] for message in told if "audioChunk" in message]
    starts = [chunk["timestampInfo"]["wordAlignment"]["wordStartTimeSeconds"] for chunk in chunks]
    assert starts == [[0.0, 0.08], [0.0]]
    assert [base64.b64decode(chunk["audioContent"]) for chunk in chunks] == [sound("one two"), sound("three")]
    order = [next(name for name in message if name not in ("contextId", "status")) for message in told]
    assert order == [
        "contextCreated",
        "audioChunk",
        "flushCompleted",
        "audioChunk",
        "flushCompleted",
        "contextClosed",
    ]


async def test_contexts_interleave_and_a_cancelled_one_is_silent(fake: FakeInworld) -> None:
    fake.script(Plan(Spoken(chunk_bytes=480)))
    text = {"send_text": {"text": "a sentence of some length", "flush_context": {}}}

    async with socket(fake, TTS) as client:
        for name in "abc":
            await client.send_json({"create": CREATE, "contextId": name})
        for name in "abc":
            await client.send_json({**text, "contextId": name})
        await client.send_json({"cancel_context": {}, "contextId": "c"})
        for name in "ab":
            await client.send_json({"close_context": {}, "contextId": name})
        told: list[dict[str, Any]] = []
        while sum("contextClosed" in message for message in told) < 2:
            told.append((await client.receive_json())["result"])
        await client.send_json({**text, "contextId": "c"})
        gone = (await client.receive_json())["result"]

    speakers = [message["contextId"] for message in told if "audioChunk" in message]
    assert speakers.count("a") == speakers.count("b") == 50
    last_of_a = len(speakers) - 1 - speakers[::-1].index("a")
    assert speakers.index("b") < last_of_a
    assert speakers.count("c") < 50
    assert gone["status"]["code"] == 5


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"create": {**CREATE, "voiceId": "Nobody"}}, 5),
        ({"create": {**CREATE, "modelId": "tts-1"}}, 3),
        ({"create": {**CREATE, "audioConfig": {"speakingRate": 0.4}}}, 3),
        ({"create": {**CREATE, "audioConfig": {"sampleRateHertz": 96_000}}}, 3),
        ({"create": {**CREATE, "temperature": 0}}, 3),
        ({"create": {**CREATE, "bufferCharThreshold": 1001}}, 3),
        ({"create": {**CREATE, "deliveryMode": "LOUD"}}, 3),
        ({"send_text": {"text": "x"}}, 5),
        ({"close_context": {}}, 5),
    ],
)
async def test_what_breaks_the_protocol_of_speech_is_told_to_its_context(
    fake: FakeInworld, message: dict[str, Any], code: int
) -> None:
    async with socket(fake, TTS) as client:
        await client.send_json({**message, "contextId": "a"})
        told = (await client.receive_json())["result"]

    assert told["contextId"] == "a"
    assert told["status"]["code"] == code


async def test_contexts_and_texts_are_limited(fake: FakeInworld) -> None:
    async with socket(fake, TTS) as client:
        for number in range(6):
            await client.send_json({"create": CREATE, "contextId": str(number)})
        told = [(await client.receive_json())["result"] for _ in range(6)]
        await client.send_json({"send_text": {"text": "x" * 1001}, "contextId": "0"})
        long = (await client.receive_json())["result"]

    assert [message["status"]["code"] for message in told] == [0, 0, 0, 0, 0, 8]
    assert long["status"]["code"] == 3


async def test_requests_for_speech_are_checked(fake: FakeInworld) -> None:
    fake.speech.script(failure(8, "Slow down.", headers={"retry-after": "3"}))
    headers = {"Authorization": f"Basic {fake.api_key}"}
    url = f"{fake.base_url}/tts/v1/voice:stream"
    bodies: list[tuple[dict[str, Any], int]] = [
        ({**CREATE, "text": "x"}, 429),
        ({**CREATE, "text": "x" * 2001}, 400),
        ({**CREATE, "text": "x", "voiceId": "Nobody"}, 404),
        ({**CREATE, "text": "x"}, 200),
    ]

    async with aiohttp.ClientSession() as session:
        for body, expected in bodies:
            async with session.post(url, json=body, headers=headers) as answer:
                assert answer.status == expected
        async with session.post(url, json=bodies[-1][0], headers={"Authorization": "Basic no"}) as answer:
            assert answer.status == 401
            assert (await answer.json())["code"] == 16
        async with session.get(f"{fake.base_url}/voices/v1/voices", headers={}) as answer:
            assert answer.status == 401
