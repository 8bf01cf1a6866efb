"""Limits of a server: what happens at the edge, and that nobody else notices."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.background import running_server
from server.settings import Limits, ServerSettings, Settings
from tests.conformance.client import RATE, Event, bare_socket, talk
from tests.conformance.hearing import VOICE_WORDS, voice, words
from tests.conformance.shapes import check_shape
from tests.speech import recording, silence

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def tight_url() -> Iterator[str]:
    """A server that allows little."""
    limits = Limits(
        max_items=5,
        max_append_bytes=10_000,
        max_item_bytes=20_000,
        max_buffer_seconds=2.0,
        max_outbox_bytes=256 * 1024,
        max_message_bytes=2 * MIB,
        max_session_audio_bytes=100_000,
        events_per_second=200,
    )
    with running_server(Settings(server=ServerSettings(limits=limits)), environ={}) as url:
        yield url


@pytest.fixture
def fleeting_url() -> Iterator[str]:
    """A server whose sessions do not last."""
    limits = Limits(session_seconds=0.5)
    with running_server(Settings(server=ServerSettings(limits=limits)), environ={}) as url:
        yield url


@pytest.fixture(scope="module")
def idle_url() -> Iterator[str]:
    """A server that wants to hear from its clients."""
    limits = Limits(idle_seconds=1.0)
    with running_server(Settings(server=ServerSettings(limits=limits)), environ={}) as url:
        yield url


async def test_a_conversation_that_is_full_refuses_items_until_one_is_deleted(tight_url: str) -> None:
    async with talk(tight_url) as session:
        first = await session.type("0")
        for number in range(1, 5):
            await session.type(str(number))
        content = [{"type": "input_text", "text": "one too many"}]
        item = {"type": "message", "role": "user", "content": content}
        await session.send("conversation.item.create", item=item)
        error = await session.error()
        await session.send("conversation.item.delete", item_id=first["id"])
        await session.until("conversation.item.deleted")
        await session.type("now there is room")

        assert error["type"] == "invalid_request_error"
        assert error["code"] == "conversation_item_limit_reached"
        assert "holds 5 items" in error["message"]
        assert "Delete" in error["message"]


async def test_an_append_beyond_the_limit_is_refused(tight_url: str) -> None:
    async with talk(tight_url, audio={"input": {"turn_detection": None}}) as session:
        audio = base64.b64encode(bytes(10_100)).decode()
        await session.send("input_audio_buffer.append", audio=audio)
        error = await session.error()
        await session.send("input_audio_buffer.commit")
        nothing = await session.error()

        assert (error["type"], error["param"]) == ("invalid_request_error", "audio")
        assert "10000" in error["message"]
        assert nothing["code"] == "input_audio_buffer_commit_empty"


async def test_a_recording_beyond_the_limit_is_refused(tight_url: str) -> None:
    async with talk(tight_url) as session:
        part = {"type": "input_audio", "audio": base64.b64encode(bytes(20_002)).decode()}
        item = {"type": "message", "role": "user", "content": [part]}
        await session.send("conversation.item.create", item=item)
        error = await session.error()

        assert (error["type"], error["param"]) == ("invalid_request_error", "item.content[0].audio")
        assert "20000" in error["message"]


async def test_an_image_beyond_the_limit_is_refused(tight_url: str) -> None:
    async with talk(tight_url) as session:
        refused: list[Event] = []
        for size in (20_000, 20_001):
            data = b"\x89PNG\r\n\x1a\n".ljust(size, b"\0")
            url = "data:image/png;base64," + base64.b64encode(data).decode()
            item = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}
            await session.send("conversation.item.create", item=item)
            refused += [event["error"] for event in await session.settle() if event["type"] == "error"]

        (error,) = refused
        assert (error["code"], error["param"]) == ("string_above_max_length", "item.content[0].image_url")
        assert "20000" in error["message"]


async def test_a_buffer_that_is_full_refuses_audio_until_it_is_committed(tight_url: str) -> None:
    manual = {"input": {"turn_detection": None, "transcription": None}}
    async with talk(tight_url, audio=manual) as session:
        await session.append(silence(2_000, RATE))
        await session.send("input_audio_buffer.append", audio=base64.b64encode(silence(200, RATE)).decode())
        error = await session.error()
        await session.send("input_audio_buffer.commit")
        await session.until("input_audio_buffer.committed")
        await session.append(silence(200, RATE))
        await session.send("input_audio_buffer.commit")
        await session.until("input_audio_buffer.committed")
        while session.oracle.sequence.finished():
            await session.receive()

        assert (error["type"], error["code"]) == ("invalid_request_error", "input_audio_buffer_full")
        assert "holds 2 s at most" in error["message"]
        assert "Commit or clear" in error["message"]


async def test_speech_longer_than_the_buffer_is_committed_in_pieces_without_a_gap(tight_url: str) -> None:
    async with talk(tight_url, audio={"input": {"turn_detection": {"create_response": False}}}) as session:
        await session.append(recording("two_cities", RATE)[: 2 * RATE * 6])
        stopped = (await session.until("input_audio_buffer.speech_stopped"))[-1]
        started = (await session.until("input_audio_buffer.speech_started"))[-1]

        assert started["audio_start_ms"] == stopped["audio_end_ms"]


async def test_a_client_above_its_rate_is_slowed_down_and_loses_nothing(tight_url: str) -> None:
    async with bare_socket(tight_url) as session:
        for _ in range(300):
            await session.send("response.cancel")
        answers = await session.settle()

        assert [answer["type"] for answer in answers] == ["error"] * 300


async def _until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def test_a_client_that_does_not_read_is_disconnected_and_nobody_else_notices(tight_url: str) -> None:
    url = tight_url.replace("http", "ws", 1) + "/v1/realtime?model=builtin/echo"
    text = "x" * MIB
    item = {"id": "big", "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    async with connect(url, proxy=None, compression=None, max_size=None, max_queue=1) as socket:
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        for _ in range(100):
            try:
                await socket.send(json.dumps({"type": "conversation.item.retrieve", "item_id": "big"}))
            except ConnectionClosed:
                break
        async for _ in _until_closed(socket):
            pass
        assert socket.close_code == 1008

    async with talk(tight_url, text=True) as session:
        assert (await session.ask("Hello")).text == "You said: Hello"


async def farewell(server_url: str) -> tuple[Event, int | None, str | None]:
    """The last event that a client gets who says nothing, and how it is disconnected."""
    async with connect(server_url.replace("http", "ws", 1) + "/v1/realtime", proxy=None) as socket:
        assert json.loads(await socket.recv())["session"]["expires_at"] > 0
        async with asyncio.timeout(5):
            event = json.loads(await socket.recv())
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (event["type"], check_shape(event)) == ("error", [])
        return event["error"], socket.close_code, socket.close_reason


@pytest.mark.timeout(10)
async def test_a_session_that_has_lived_its_time_ends_with_an_error_and_a_close(
    fleeting_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, code, reason = await farewell(fleeting_url)

    assert (error["type"], error["code"]) == ("invalid_request_error", "session_expired")
    assert "maximum duration of 0.5 seconds" in error["message"]
    assert (code, reason) == (1001, "invalid_request_error.session_expired")
    assert "reaches its maximum duration in 0.5 seconds" in caplog.text


@pytest.mark.timeout(10)
async def test_a_client_that_sends_nothing_is_disconnected(idle_url: str) -> None:
    error, code, reason = await farewell(idle_url)

    assert (error["type"], error["code"]) == ("invalid_request_error", "session_idle_timeout")
    assert "1 seconds" in error["message"]
    assert (code, reason) == (1001, "invalid_request_error.session_idle_timeout")


async def test_a_client_that_sends_something_now_and_then_is_not_idle(idle_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with bare_socket(idle_url) as session:
        begin = loop.time()
        while loop.time() - begin < 1.5:  # every answer comes at once, so the client is never silent
            assert await session.settle() == []


async def test_a_message_beyond_the_limit_ends_the_connection(tight_url: str) -> None:
    url = tight_url.replace("http", "ws", 1) + "/v1/realtime?model=builtin/echo"
    async with connect(url, proxy=None, compression=None) as socket:
        with suppress(ConnectionClosed):
            await socket.send("x" * (2 * MIB + 1))
        async for _ in _until_closed(socket):
            pass

        assert socket.close_code in (1006, 1009)  # 1006 where it was still sending


async def test_a_recording_that_is_not_kept_is_understood_all_the_same() -> None:
    limits = Limits(max_session_audio_bytes=0)
    with running_server(Settings(server=ServerSettings(limits=limits)), environ={}) as url:
        async with talk(url, text=True) as session:
            audio = base64.b64encode(voice()).decode()
            part = {"type": "input_audio", "audio": audio}
            await session.add({"type": "message", "role": "user", "content": [part]})
            reply = await session.respond()

    assert words(reply.text.removeprefix("You said: ")) == VOICE_WORDS
