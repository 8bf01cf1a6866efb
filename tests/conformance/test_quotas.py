"""Quotas on the wire: what clients are told of them, and how a refusal looks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from server.background import running_server
from server.settings import QuotaSettings, ServerSettings, Settings
from tests.conformance.client import Event, Reply, SdkWire, Talk, openai_client, talk
from tests.conformance.shapes import check_shape

KEYS = ("key-of-one", "key-of-other")


def server_with(keys: tuple[str, ...] = (), **quotas: int) -> Any:
    """A running server with these quotas, of which nothing comes back during a test."""
    server = ServerSettings(
        api_keys=tuple(SecretStr(key) for key in keys), quotas=QuotaSettings.model_validate(quotas)
    )
    return running_server(Settings(server=server), environ={})


@pytest.fixture(scope="module")
def two_requests_url() -> Iterator[str]:
    """A server where each of two keys has two requests."""
    with server_with(KEYS, requests_per_minute=2) as url:
        yield url


def limits_after(session: Talk, id: str) -> dict[str, Event]:
    """The entries of the rate_limits.updated behind the end of that response, by name."""
    ends = [n for n, event in enumerate(session.events) if event.get("response", {}).get("id") == id]
    told = session.events[ends[-1] + 1]
    assert told["type"] == "rate_limits.updated"
    return {entry["name"]: entry for entry in told["rate_limits"]}


def refusal(reply: Reply) -> Event:
    assert reply.status == "failed"
    assert reply.types == ["response.created", "response.done"]
    error: Event = reply.response["status_details"]["error"]
    return error


async def test_what_is_left_is_told_after_every_response(server_url: str) -> None:
    async with talk(server_url, text=True) as session:
        replies = [
            await session.ask("[[say One two.]]"),
            await session.ask("[[fail drop]]"),
            await session.respond(conversation="none"),
        ]
        id = await session.start("[[words 400]] [[pace 20]]")
        await session.send("response.cancel")
        replies.append(await session.reply(id))

        told = [limits_after(session, reply.response["id"]) for reply in replies]
        assert [reply.status for reply in replies] == ["completed", "failed", "failed", "cancelled"]
        assert all(limits["requests"]["limit"] == 10_000 for limits in told)
        assert all(limits["tokens"]["limit"] == 10_000_000 for limits in told)


async def test_nothing_is_told_in_a_transcription_session(server_url: str) -> None:
    url = server_url.replace("http", "ws", 1) + "/v1/realtime?intent=transcription"
    async with connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"type": "input_audio_buffer.clear"}))
        types = [json.loads(await socket.recv())["type"] for _ in range(2)]

        assert types == ["session.created", "input_audio_buffer.cleared"]


async def test_a_response_beyond_the_requests_fails_and_the_session_goes_on(two_requests_url: str) -> None:
    async with openai_client(two_requests_url, KEYS[0]) as client:
        async with client.realtime.connect(model="builtin/echo") as connection:
            session = Talk(SdkWire(connection))
            await session.receive()
            await session.update(output_modalities=["text"])
            left = []
            for _ in range(2):
                reply = await session.ask("Hello")
                assert reply.text == "You said: Hello"
                left.append(limits_after(session, reply.response["id"])["requests"]["remaining"])
            refused = await session.ask("Hello again")
            error = refusal(refused)
            after = await session.update(output_modalities=["audio"])

        assert left == [1, 0]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "2 requests per minute" in error["message"]
        assert "try again in" in error["message"]
        assert refused.response["usage"]["total_tokens"] == 0
        assert after["output_modalities"] == ["audio"]

        secret = await client.realtime.client_secrets.create(session={"type": "realtime"})
    assert await first_reply(two_requests_url, secret.value) == "failed"
    assert await first_reply(two_requests_url, KEYS[1]) == "completed"


async def first_reply(server_url: str, key: str) -> str:
    """The status of the first response of a session with that key."""
    async with (
        openai_client(server_url, key) as client,
        client.realtime.connect(model="builtin/echo") as connection,
    ):
        session = Talk(SdkWire(connection))
        await session.receive()
        return (await session.ask("Hello", output_modalities=["text"])).status


async def test_a_response_after_the_last_token_fails() -> None:
    with server_with(tokens_per_minute=5, requests_per_minute=3) as url:
        async with talk(url, text=True) as session:
            spoken = await session.ask("[[words 20]]")
            refused = await session.ask("Hello")
            outside = await session.respond(conversation="none")

            assert spoken.status == "completed"
            assert limits_after(session, spoken.response["id"])["tokens"]["remaining"] == 0
            assert "5 tokens per minute" in refusal(refused)["message"]
            assert refusal(outside)["code"] == "rate_limit_exceeded"
            assert limits_after(session, outside.response["id"])["requests"]["remaining"] == 2


async def test_a_session_too_many_for_its_key_is_turned_away_until_one_is_closed() -> None:
    with server_with(KEYS, concurrent_sessions=1) as url:
        address = url.replace("http", "ws", 1) + "/v1/realtime?model=builtin/echo"
        one, other = ({"Authorization": f"Bearer {key}"} for key in KEYS)
        async with connect(address, proxy=None, additional_headers=one) as first:
            assert json.loads(await first.recv())["type"] == "session.created"
            async with connect(address, proxy=None, additional_headers=one) as second:
                event = json.loads(await second.recv())
                with pytest.raises(ConnectionClosed):
                    await second.recv()
            async with connect(address, proxy=None, additional_headers=other) as third:
                assert json.loads(await third.recv())["type"] == "session.created"

        assert check_shape(event) == []
        assert (event["error"]["type"], event["error"]["code"]) == (
            "rate_limit_error",
            "session_limit_reached",
        )
        assert "1 is its limit" in event["error"]["message"]
        assert (second.close_code, second.close_reason) == (1013, "rate_limit_error.session_limit_reached")
        await until_let_in(address, one)


async def until_let_in(address: str, headers: dict[str, str]) -> None:
    while True:  # the server may still be cleaning up
        async with connect(address, proxy=None, additional_headers=headers) as socket:
            if json.loads(await socket.recv())["type"] == "session.created":
                return
