"""Who is let in, which names and subprotocols are understood, and how a refusal looks."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from server.background import running_server
from server.settings import Limits, ServerSettings, Settings
from tests.conformance.client import Event, openai_client
from tests.conformance.shapes import check_shape

KEY = "a-secret-key"


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    """A server with a key and room for two."""
    limits = Limits(max_sessions=2)
    with running_server(
        Settings(server=ServerSettings(api_keys=(SecretStr(KEY),), limits=limits)), environ={}
    ) as url:
        yield url


def websocket_url(server_url: str, query: str = "?model=builtin/echo") -> str:
    return f"{server_url.replace('http', 'ws', 1)}/v1/realtime{query}"


async def first_event(server_url: str, query: str = "?model=builtin/echo", **options: Any) -> Event:
    async with connect(websocket_url(server_url, query), proxy=None, **options) as socket:
        event: Event = json.loads(await socket.recv())
        assert check_shape(event) == []
        return event


async def refusal(
    server_url: str, query: str = "?model=builtin/echo", **options: Any
) -> tuple[Event, int, str]:
    """The error of a refused connection, its close code and reason."""
    async with connect(websocket_url(server_url, query), proxy=None, **options) as socket:
        event = json.loads(await socket.recv())
        assert (event["type"], check_shape(event)) == ("error", [])
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code is not None
        return event["error"], socket.close_code, socket.close_reason or ""


async def all_frames(server_url: str, **options: Any) -> None:
    """Read on until the server closes the connection."""
    async with connect(websocket_url(server_url), proxy=None, **options) as socket:
        while True:
            assert json.loads(await socket.recv())["type"] == "error"


def bearer(key: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


async def test_a_server_without_keys_takes_any_key(server_url: str) -> None:
    for options in ({}, bearer("anything")):
        assert (await first_event(server_url, **options))["type"] == "session.created"


async def test_the_right_key_is_let_in(locked_url: str) -> None:
    assert (await first_event(locked_url, **bearer(KEY)))["type"] == "session.created"


@pytest.mark.parametrize(
    "options",
    [{}, bearer("wrong"), bearer(""), {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]}],
    ids=["none", "wrong", "empty", "wrong in the subprotocol"],
)
async def test_a_wrong_key_is_refused_with_an_error_that_a_browser_can_read(
    locked_url: str, options: dict[str, Any]
) -> None:
    error, code, reason = await refusal(locked_url, **options)

    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert code == 3000
    assert reason == "invalid_request_error.invalid_api_key"
    assert "wrong" not in error["message"]


async def test_a_browser_sends_its_key_as_a_subprotocol_and_only_realtime_is_selected(
    locked_url: str,
) -> None:
    offered = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.1.0"]
    async with connect(websocket_url(locked_url), proxy=None, subprotocols=offered) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_the_sdk_is_let_in_with_its_key(locked_url: str) -> None:
    async with (
        openai_client(locked_url, KEY) as client,
        client.realtime.connect(model="builtin/echo") as connection,
    ):
        assert (await connection.recv()).type == "session.created"


async def test_the_models_are_listed_only_with_the_key(locked_url: str) -> None:
    async with openai_client(locked_url, KEY) as client:
        assert [model.id async for model in client.models.list()]


async def test_an_unknown_model_is_refused(server_url: str) -> None:
    error, code, reason = await refusal(server_url, "?model=nobody/nothing")

    assert error["type"] == "invalid_request_error"
    assert error["code"] in ("model_not_found", "invalid_model")
    assert "nobody" in error["message"]
    assert code == 4000
    assert reason == f"invalid_request_error.{error['code']}"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?model=",
        "?model=gpt-realtime",
        "?model=builtin%2Fecho",
        "?model=builtin/echo&temperature=0.8&voice=alloy",
    ],
    ids=["none", "empty", "of the public service", "escaped", "with parameters that nobody knows"],
)
async def test_a_name_of_a_model_is_understood(server_url: str, query: str) -> None:
    event = await first_event(server_url, query)

    assert event["session"]["model"] == "builtin/echo"


async def test_a_page_of_another_site_is_refused_where_there_is_no_key(server_url: str) -> None:
    with pytest.raises((InvalidHandshake, ConnectionClosed)):
        await all_frames(server_url, origin="https://evil.example")


async def test_a_page_of_this_machine_is_let_in(server_url: str) -> None:
    event = await first_event(server_url, origin="http://localhost:3000")

    assert event["type"] == "session.created"


async def test_a_full_server_says_so_and_has_room_again_later(locked_url: str) -> None:
    url = websocket_url(locked_url)
    async with connect(url, proxy=None, **bearer(KEY)) as one, connect(url, proxy=None, **bearer(KEY)) as two:
        for socket in (one, two):
            assert json.loads(await socket.recv())["type"] == "session.created"
        error, code, _ = await refusal(locked_url, **bearer(KEY))

        assert error["message"]
        assert code == 1013
    async with asyncio.timeout(5):
        while True:  # the server may still be cleaning up
            async with connect(url, proxy=None, **bearer(KEY)) as socket:
                if json.loads(await socket.recv())["type"] == "session.created":
                    break


async def test_a_client_that_leaves_in_mid_answer_disturbs_nobody(server_url: str) -> None:
    content = [{"type": "input_text", "text": "[[words 400]] [[pace 20]]"}]
    item = {"type": "message", "role": "user", "content": content}
    for _ in range(5):
        async with connect(websocket_url(server_url), proxy=None) as socket:
            await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await socket.send(json.dumps({"type": "response.create"}))
            while json.loads(await socket.recv())["type"] != "response.output_audio.delta":
                pass

    assert (await first_event(server_url))["type"] == "session.created"


async def test_a_server_that_stops_tells_its_clients_to_come_back() -> None:
    server = running_server(Settings(), environ={})
    url = await asyncio.to_thread(server.__enter__)
    async with connect(websocket_url(url), proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        await asyncio.to_thread(server.__exit__, None, None, None)
        with pytest.raises(ConnectionClosed):
            await socket.recv()

        assert socket.close_code in (1001, 1012)  # on which SDKs connect again


async def test_plain_http_is_told_that_it_needs_a_websocket(server_url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{server_url}/v1/realtime") as answer:
        assert answer.status == 426
        assert "ws://" in (await answer.json())["error"]["message"]
