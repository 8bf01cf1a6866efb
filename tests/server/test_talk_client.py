"""The client of `parley talk` against a scripted server: what it sends, and what it makes of bad answers."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import server.talk.client as client
from server.talk.address import key_for, session_url
from server.talk.client import Conversation, TalkError, TalkRequest
from server.talk.recording import RATE, Recording, recording
from server.talk.turnlog import Row

Script = Callable[["Peer"], Awaitable[None]]

PCM = {"type": "audio/pcm", "rate": RATE}


def greeting(**audio_input: Any) -> dict[str, Any]:
    """A session as any Realtime server shows it."""
    given = {"format": PCM, "transcription": {"model": "x"}, "turn_detection": {"type": "server_vad"}}
    audio = {"input": {**given, **audio_input}, "output": {"format": PCM, "voice": "Dennis"}}
    return {"type": "realtime", "audio": audio}


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.received: list[dict[str, Any]] = []

    async def send(self, kind: str, **members: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, "event_id": "event_1", **members}))

    async def greet(self, **audio_input: Any) -> None:
        await self.send("session.created", session=greeting(**audio_input))

    async def wait_for(self, kind: str) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = json.loads(await self.connection.recv())
            self.received.append(event)
            if event["type"] == kind:
                return event

    async def hear(self, milliseconds: int) -> None:
        for _ in range(milliseconds // 20):
            await self.wait_for("input_audio_buffer.append")

    async def reply(self, text: str, pcm: bytes = bytes(4800)) -> None:
        await self.send("response.created", response={"id": "resp_1"})
        where = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
        await self.send("response.output_audio_transcript.delta", delta=text, **where)
        await self.send("response.output_audio.delta", delta=base64.b64encode(pcm).decode(), **where)
        await self.send("response.done", response={"id": "resp_1", "status": "completed"})


@asynccontextmanager
async def scripted(script: Script, headers: list[Mapping[str, str]] | None = None) -> AsyncIterator[str]:
    """A server that plays `script` to whoever connects; yields its address."""

    async def handle(connection: ServerConnection) -> None:
        if headers is not None and connection.request is not None:
            headers.append(connection.request.headers)
        try:
            await script(Peer(connection))
            await connection.wait_closed()
        except ConnectionClosed:
            pass

    async with serve(handle, "127.0.0.1", 0) as listening:
        yield f"ws://127.0.0.1:{port(listening)}/v1/realtime?model=m"


def port(listening: Server) -> int:
    return int(next(iter(listening.sockets)).getsockname()[1])


async def hold(request: TalkRequest) -> tuple[Conversation, list[str], list[Row]]:
    names: list[str] = []
    rows: list[Row] = []

    def watch(at: float, event: Mapping[str, Any], new: list[Row]) -> None:
        names.append(event["type"])
        rows.extend(new)

    conversation = Conversation(request, watch)
    async with asyncio.timeout(30):
        await conversation.hold()
    return conversation, names, rows


def beep(seconds: float = 0.2) -> Recording:
    return recording("beep.wav", 0.5 * np.sin(np.arange(int(RATE * seconds))), RATE)


async def test_a_typed_message_is_sent_and_its_reply_collected() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        item = await peer.wait_for("conversation.item.create")
        await peer.wait_for("response.create")
        await peer.reply(f"You said: {item['item']['content'][0]['text']}", b"\1\0" * 2400)

    async with scripted(script) as url:
        conversation, names, _ = await hold(TalkRequest(url, text="hello"))

    assert conversation.log.turns[0].reply == "You said: hello"
    assert conversation.playback.pcm == b"\1\0" * 2400
    assert names[0] == "session.created"


async def test_a_recording_is_sent_whole_at_the_pace_of_a_microphone_and_silence_after_it() -> None:
    received: list[dict[str, Any]] = []
    said = beep()

    async def script(peer: Peer) -> None:
        peer.received = received
        await peer.greet()
        await peer.hear(200)
        await peer.send("input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=0)
        await peer.hear(100)
        await peer.send("input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=300)
        await peer.send("input_audio_buffer.committed", item_id="item_1", previous_item_id=None)
        await peer.send(
            "conversation.item.input_audio_transcription.completed", item_id="item_1", transcript="beep"
        )
        await peer.reply("Beep.")

    async with scripted(script) as url:
        conversation, _, _ = await hold(TalkRequest(url, recording=said))

    pcm = b"".join(base64.b64decode(event["audio"]) for event in received)
    turn = conversation.log.turns[0]
    assert pcm[: len(said.pcm)] == said.pcm
    assert not any(pcm[len(said.pcm) :])
    assert turn.stopped_at is not None
    assert turn.stopped_at >= 0.3  # the fifteenth chunk cannot have been sent earlier
    assert turn.voice_ended_ms == pytest.approx(200, abs=10)
    assert turn.voice_ended_at == pytest.approx(0.2, abs=0.1)


async def test_push_to_talk_sessions_are_committed_by_hand() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(turn_detection=None)
        await peer.wait_for("input_audio_buffer.commit")
        await peer.wait_for("response.create")
        await peer.send("input_audio_buffer.committed", item_id="item_1", previous_item_id=None)
        await peer.send(
            "conversation.item.input_audio_transcription.completed", item_id="item_1", transcript="beep"
        )
        await peer.reply("Beep.")

    async with scripted(script) as url:
        conversation, _, _ = await hold(TalkRequest(url, recording=beep()))

    assert [(turn.transcript, turn.reply) for turn in conversation.log.turns] == [("beep", "Beep.")]


async def test_only_what_differs_is_changed_in_the_session() -> None:
    received: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        peer.received = received
        await peer.greet(transcription=None)
        await peer.wait_for("session.update")
        await peer.send("session.updated", session={"audio": {"input": {"turn_detection": None}}})
        await peer.wait_for("response.create")
        await peer.reply("Hi.")

    async with scripted(script) as url:
        await hold(TalkRequest(url, voice="Ashley", text="hello"))

    assert received[0]["session"] == {
        "type": "realtime",
        "audio": {
            "input": {"transcription": {"model": "gpt-4o-mini-transcribe"}},
            "output": {"voice": "Ashley"},
        },
    }


@pytest.mark.parametrize("knows_them", [True, False])
async def test_suggestions_are_asked_for_where_they_are_known(knows_them: bool) -> None:
    received: list[dict[str, Any]] = []
    session = greeting(turn_detection=None)
    if knows_them:
        session["audio"]["output"]["model"] = "local/espeak"
        session["providerData"] = {"caller": 17}

    async def script(peer: Peer) -> None:
        peer.received = received
        await peer.send("session.created", session=session)
        if knows_them:
            await peer.wait_for("session.update")
            await peer.send("session.updated", session=session)
        await peer.wait_for("response.create")
        await peer.send("input_audio_buffer.committed", item_id="item_1")
        transcription = "conversation.item.input_audio_transcription"
        await peer.send(f"{transcription}.completed", item_id="item_1", transcript="Beep.")
        await peer.reply("Hi.")

    async with scripted(script) as url:
        await hold(TalkRequest(url, recording=beep()))

    updates = [event["session"] for event in received if event["type"] == "session.update"]
    wanted = {"caller": 17, "turn_suggestions": True}
    assert [update.get("providerData") for update in updates] == ([wanted] if knows_them else [])


async def test_talking_over_a_reply_truncates_it() -> None:
    received: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        peer.received = received
        await peer.greet()
        await peer.hear(100)
        await peer.send("input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=0)
        await peer.send("input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=100)
        await peer.send("input_audio_buffer.committed", item_id="item_1")
        await peer.send(
            "conversation.item.input_audio_transcription.completed", item_id="item_1", transcript=""
        )
        await peer.reply("A long answer.", bytes(48_000 * 5))
        await peer.hear(100)
        await peer.send("input_audio_buffer.speech_started", item_id="item_3", audio_start_ms=150)
        await peer.wait_for("conversation.item.truncate")
        await peer.connection.close()

    async with scripted(script) as url:
        with pytest.raises(TalkError, match="the server ended the connection"):
            await hold(TalkRequest(url, recording=beep()))

    truncate = received[-1]
    assert (truncate["item_id"], truncate["content_index"]) == ("item_2", 0)
    assert 80 <= truncate["audio_end_ms"] <= 1500


async def test_silence_to_the_server_is_reported_as_no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PATIENCE_MS", 100)

    async def script(peer: Peer) -> None:
        await peer.greet(turn_detection={"type": "server_vad", "silence_duration_ms": 100})
        await peer.wait_for("never")

    async with scripted(script) as url:
        with pytest.raises(TalkError, match=r"no speech was detected in beep\.wav"):
            await hold(TalkRequest(url, recording=beep()))


async def test_a_server_that_goes_quiet_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_STALL_SECONDS", 0.1)

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.wait_for("never")

    async with scripted(script) as url:
        with pytest.raises(TalkError, match="the server has been silent"):
            await hold(TalkRequest(url, text="hello"))


async def test_a_refused_message_ends_the_conversation() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        event = await peer.wait_for("conversation.item.create")
        error = {"type": "invalid_request_error", "code": "too_long", "message": "No.", "param": None}
        await peer.send("error", error={**error, "event_id": event["event_id"]})
        await peer.wait_for("never")

    async with scripted(script) as url:
        with pytest.raises(TalkError, match=r"the server refused: No\. \(too_long\)"):
            await hold(TalkRequest(url, text="hello"))


async def test_an_unknown_voice_ends_the_conversation() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.wait_for("session.update")
        await peer.send("error", error={"type": "invalid_request_error", "message": "There is no voice 'x'."})

    async with scripted(script) as url:
        with pytest.raises(TalkError, match="There is no voice 'x'"):
            await hold(TalkRequest(url, voice="x", text="hello"))


async def test_a_refusal_after_the_handshake_is_reported() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(
            "error", error={"type": "invalid_request_error", "code": "invalid_api_key", "message": "Bad key."}
        )
        await peer.connection.close(3000, "invalid_request_error.invalid_api_key")

    async with scripted(script) as url:
        with pytest.raises(TalkError, match=r"Bad key\. \(invalid_api_key\); give a key with --api-key"):
            await hold(TalkRequest(url, text="hello"))


async def test_a_refused_key_says_how_to_give_one() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        body = json.dumps({"error": {"message": "Incorrect API key provided.", "type": "x", "code": "y"}})
        return connection.respond(HTTPStatus.UNAUTHORIZED, body)

    async def handle(connection: ServerConnection) -> None:
        raise AssertionError("the handshake was refused")

    async with serve(handle, "127.0.0.1", 0, process_request=refuse) as listening:
        with pytest.raises(TalkError) as caught:
            await hold(TalkRequest(f"ws://127.0.0.1:{port(listening)}/v1/realtime?model=m", text="hello"))

    assert "Incorrect API key provided." in str(caught.value)
    assert "--api-key or PARLEY_API_KEY" in str(caught.value)


async def test_an_unreachable_server_says_how_to_start_one() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/v1/realtime?model=m"

        with pytest.raises(TalkError, match="start one with `parley serve`, or leave --url away"):
            await hold(TalkRequest(url, text="hello"))


async def test_a_peer_that_speaks_another_protocol_is_recognised() -> None:
    async def script(peer: Peer) -> None:
        await peer.connection.send("hello there")
        await peer.connection.wait_closed()

    async with scripted(script) as url:
        with pytest.raises(TalkError, match="not an event of the Realtime protocol"):
            await hold(TalkRequest(url, text="hello"))


async def test_the_key_travels_as_a_bearer_token() -> None:
    headers: list[Mapping[str, str]] = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.wait_for("response.create")
        await peer.reply("Hi.")

    async with scripted(script, headers) as url:
        await hold(TalkRequest(url, api_key="k1", text="hello"))

    assert headers[0]["Authorization"] == "Bearer k1"


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime?model=m"),
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime?model=m"),
        ("localhost", "ws://localhost/v1/realtime?model=m"),
        ("https://voice.example/v1/", "wss://voice.example/v1/realtime?model=m"),
        ("wss://voice.example/v1/realtime?model=other", "wss://voice.example/v1/realtime?model=other"),
        ("ws://[::1]:8000/v1/realtime", "ws://[::1]:8000/v1/realtime?model=m"),
    ],
)
def test_addresses_are_completed(given: str, complete: str) -> None:
    assert session_url(given, "m") == complete


def test_a_model_with_a_slash_survives_the_address() -> None:
    assert session_url("http://x", "lab/llama") == "ws://x/v1/realtime?model=lab%2Fllama"


@pytest.mark.parametrize("given", ["ftp://x", "http://", "file:///etc/passwd"])
def test_anything_else_is_no_address(given: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        session_url(given, "m")


def test_the_key_of_openai_is_sent_to_openai_alone() -> None:
    environment = {"OPENAI_API_KEY": "sk", "PARLEY_API_KEY": "pk"}

    assert key_for("wss://api.openai.com/v1/realtime", None, environment) == "sk"
    assert key_for("ws://127.0.0.1:8000/v1/realtime", None, environment) == "pk"
    assert key_for("wss://openai.com.example/v1/realtime", None, {"OPENAI_API_KEY": "sk"}) is None
    assert key_for("ws://127.0.0.1:8000/v1/realtime", "given", environment) == "given"
