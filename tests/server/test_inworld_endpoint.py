"""The address of Inworld's clients: who is let in, how a refusal looks, and what a session starts with."""

import asyncio
import base64
import json
import logging
import urllib.parse
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from server.background import running_server
from server.protocol import pings
from server.settings import (
    DefaultsSettings,
    Limits,
    QuotaSettings,
    ServerSettings,
    Settings,
    TurnDetectionSettings,
)
from tests.conformance.shapes import check_shape

PAIR, PLAIN = "kid-1:s3cret", "plain-key"
ENCODED = base64.b64encode(PAIR.encode()).decode()
MALE, FEMALE = "[[say he]]", "[[say she]]"

Event = dict[str, Any]


def address(server_url: str, **query: str) -> str:
    return f"{server_url.replace('http', 'ws', 1)}/api/v1/realtime/session?{urllib.parse.urlencode(query)}"


def authorized(value: str) -> dict[str, str]:
    return {"Authorization": value}


async def first(url: str, headers: dict[str, str] | None = None, **options: Any) -> Event:
    """The first event of a connection, which is that of a new session."""
    async with connect(url, additional_headers=headers, proxy=None, **options) as socket:
        event: Event = json.loads(await socket.recv())
    assert (event["type"], check_shape(event)) == ("session.created", [])
    session: Event = event["session"]
    return session


async def refusal(url: str, headers: dict[str, str] | None = None, **options: Any) -> tuple[int, Event]:
    """The status and the error that a connection gets in place of an upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers, proxy=None, **options):
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    body = json.loads(response.body or b"")
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    return response.status_code, body["error"]


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    """A server whose keys are a pair as Inworld's and a plain one."""
    keys = (SecretStr(PAIR), SecretStr(PLAIN))
    with running_server(Settings(server=ServerSettings(api_keys=keys)), environ={}) as url:
        yield url


# --- who is let in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("configured", [PAIR, ENCODED], ids=["decoded", "in base64"])
async def test_a_key_of_inworlds_is_one_however_it_is_kept(configured: str) -> None:
    keys = (SecretStr(configured),)
    with running_server(Settings(server=ServerSettings(api_keys=keys)), environ={}) as url:
        for value in (f"Basic {ENCODED}", f"basic  {ENCODED} ", f"Bearer {ENCODED}", f"Bearer {PAIR}"):
            assert await first(address(url, key="k", protocol="realtime"), authorized(value))
        for value in ("Bearer s3cret", f"Bearer {PLAIN}", "Basic a2lkLTE6", f"Digest {ENCODED}"):
            status, _ = await refusal(address(url), authorized(value))
            assert status == 401


async def test_a_plain_key_may_be_sent_in_every_way(locked_url: str) -> None:
    password = base64.b64encode(f"anybody:{PLAIN}".encode()).decode()

    for value in (f"Bearer {PLAIN}", f"Basic {PLAIN}", f"Basic {password}"):
        assert await first(address(locked_url), authorized(value))


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("value", [f"Basic {ENCODED}", f"Bearer {PLAIN}", f"bearer {ENCODED}"])
async def test_a_browser_may_put_the_key_into_the_query(locked_url: str, name: str, value: str) -> None:
    assert await first(address(locked_url, key="k", protocol="realtime", **{name: value}))


async def test_a_key_as_a_subprotocol_is_taken_and_only_realtime_is_selected(locked_url: str) -> None:
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{PLAIN}")]
    async with connect(address(locked_url), proxy=None, subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_a_client_secret_opens_the_session_that_it_was_made_for(locked_url: str) -> None:
    client = AsyncOpenAI(api_key=PLAIN, base_url=f"{locked_url}/v1", max_retries=0)
    async with client:
        secret = await client.realtime.client_secrets.create(
            session={"type": "realtime", "instructions": "Be short.", "output_modalities": ["text"]}
        )
    session = await first(address(locked_url, key="mine"), authorized(f"Bearer {secret.value}"))

    assert (session["instructions"], session["output_modalities"]) == ("Be short.", ["text"])


async def test_without_keys_everybody_is_let_in_and_nobody_needs_a_query(server_url: str) -> None:
    for headers in (None, authorized(f"Basic {ENCODED}"), authorized("Bearer x")):
        assert await first(address(server_url), headers)


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (None, {}),
        (authorized("Basic"), {}),
        (authorized("Basic d3Jvbmc6d3Jvbmc="), {}),
        (authorized("Bearer wrong"), {}),
        (None, {"authorization": "Basic d3Jvbmc6d3Jvbmc="}),
        (None, {"authorization": ""}),
        (None, {"key": PLAIN}),  # a name, and no key that opens anything
    ],
)
async def test_wrong_credentials_are_refused_before_the_upgrade(
    locked_url: str, headers: dict[str, str] | None, query: dict[str, str]
) -> None:
    status, error = await refusal(address(locked_url, **query), headers)

    assert (status, error["type"], error["code"]) == (401, "invalid_request_error", "invalid_api_key")


async def test_a_refusal_names_the_ways_to_authenticate_and_never_the_key(locked_url: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address(locked_url), additional_headers=authorized("Bearer hush"), proxy=None):
            pass

    response = caught.value.response
    assert response.headers["www-authenticate"].split(",")[0] == 'Basic realm="openparley"'
    assert b"hush" not in (response.body or b"")


@pytest.mark.parametrize(
    ("query", "status", "code", "param"),
    [
        ({"protocol": "telepathy"}, 400, "invalid_value", "protocol"),
        ({"key": "a b"}, 400, "invalid_value", "key"),
        ({"key": "x" * 129}, 400, "invalid_value", "key"),
        ({"key": "caf\u00e9"}, 400, "invalid_value", "key"),
        ({"key": "a\nb"}, 400, "invalid_value", "key"),
        ({"model": "nobody/nothing"}, 404, "model_not_found", "model"),
        ({"modelId": "nobody/nothing"}, 404, "model_not_found", "model"),
    ],
)
async def test_a_bad_query_is_refused_with_its_member(
    server_url: str, query: dict[str, str], status: int, code: str, param: str
) -> None:
    got, error = await refusal(address(server_url, **query))

    assert (got, error["code"], error["param"]) == (status, code, param)
    assert error["message"]


async def test_a_page_of_another_site_is_refused_where_there_is_no_key(server_url: str) -> None:
    status, error = await refusal(address(server_url), origin="https://evil.example")

    assert (status, error["code"]) == (403, "origin_not_allowed")


async def test_a_full_server_and_a_full_key_say_so_and_have_room_again() -> None:
    limits, quotas = Limits(max_sessions=2), QuotaSettings(concurrent_sessions=1)
    settings = Settings(
        server=ServerSettings(
            api_keys=(SecretStr("one"), SecretStr("two"), SecretStr("three")), limits=limits, quotas=quotas
        )
    )
    with running_server(settings, environ={}) as url:
        # All knock at the same time; each that is let in stays.
        knocks = (
            connect(address(url), additional_headers=authorized(f"Bearer {key}"), proxy=None)
            for key in ("one", "two", "three") * 4
        )
        answers = await asyncio.gather(*knocks, return_exceptions=True)
        let_in = [answer for answer in answers if isinstance(answer, ClientConnection)]
        async with AsyncExitStack() as open_sockets:
            for socket in let_in:
                await open_sockets.enter_async_context(socket)
            full, full_error = await refusal(address(url), authorized("Bearer three"))
        async with AsyncExitStack() as open_sockets:
            await open_sockets.enter_async_context(await _when_there_is_room(url, "one"))
            busy, busy_error = await refusal(address(url), authorized("Bearer one"))

    assert len(let_in) == 2
    assert (full, full_error["type"], full_error["code"]) == (503, "server_error", "session_limit_reached")
    assert (busy, busy_error["type"], busy_error["code"]) == (
        429,
        "rate_limit_error",
        "session_limit_reached",
    )


async def _when_there_is_room(url: str, key: str) -> ClientConnection:
    """A connection, as soon as the server has cleaned up after the ones before."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await connect(address(url), additional_headers=authorized(f"Bearer {key}"), proxy=None)
            except InvalidStatus as error:
                if error.response.status_code not in (429, 503):
                    raise


async def test_plain_http_is_told_that_it_needs_a_websocket(server_url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(address(server_url).replace("ws", "http", 1)) as got:
        assert got.status == 426
        assert "ws://" in (await got.json())["error"]["message"]


# --- what a session starts with ---------------------------------------------------------------------------


async def test_a_session_starts_as_inworld_documents_it(server_url: str) -> None:
    session = await first(address(server_url, key="walk-1", protocol="realtime", whatever="5"))

    assert session["object"] == "realtime.session"
    assert session["output_modalities"] == ["audio", "text"]
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    assert heard["format"] == spoken["format"] == {"type": "audio/pcm", "rate": 24000}
    assert heard["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }
    assert (spoken["voice"], spoken["speed"]) == ("Dennis", 1.0)
    assert (session["max_output_tokens"], session["tool_choice"], session["tools"]) == ("inf", "auto", [])


async def test_the_settings_of_the_server_stand(tmp_path: object) -> None:
    defaults = DefaultsSettings(turn_detection=TurnDetectionSettings(type="server_vad"), voice="Olivia")
    settings = Settings(defaults=defaults, server=ServerSettings(profile="openai"))
    with running_server(settings, environ={}) as url:
        session = await first(address(url, profile="openai", intent="transcription"))

    assert session["type"] == "realtime"
    assert session["audio"]["output"]["voice"] == "Olivia"
    vad = session["audio"]["input"]["turn_detection"]
    assert (vad["type"], vad["prefix_padding_ms"], vad["silence_duration_ms"]) == ("server_vad", 200, 1000)


@pytest.mark.parametrize("member", ["model", "modelId"])
@pytest.mark.parametrize("name", ["builtin/echo", "gpt-realtime", ""])
async def test_the_query_may_name_a_model_in_both_spellings(server_url: str, member: str, name: str) -> None:
    session = await first(address(server_url, **{member: name}))

    assert session["model"] == "builtin/echo"


async def test_the_key_stands_for_the_user_until_the_client_names_one(server_url: str) -> None:
    async with connect(address(server_url, key="walk-1"), proxy=None) as socket:
        created = json.loads(await socket.recv())["session"]
        told = []
        for data in ({"metadata": {"tier": "gold"}}, {"user_id": "ann"}):
            event = {"type": "session.update", "session": {"providerData": data}}
            await socket.send(json.dumps(event))
            told.append(json.loads(await socket.recv())["session"]["providerData"])

    assert created["providerData"] == {"user_id": "walk-1"}
    assert told[0] == {"user_id": "walk-1", "metadata": {"tier": "gold"}}
    assert told[1]["user_id"] == "ann"
    assert (await first(address(server_url))).get("providerData") is None


async def test_a_router_keeps_to_one_variant_for_whoever_comes_back_with_a_key() -> None:
    variants = [
        {
            "variant": {
                "variant_id": name,
                "model_id": "builtin/echo",
                "message_templates": [{"role": "system", "content": template}],
            },
            "weight": 50,
        }
        for name, template in (("he", MALE), ("she", FEMALE))
    ]
    router = {"defaultRoute": {"route_id": "all", "variants": variants}}
    with running_server(Settings(routers={"coin": router}), environ={}) as url:
        taken = {}
        for key in ("a", "b", "c", "d", "e", "f"):
            taken[key] = {await _variant(url, key) for _ in range(2)}

    assert all(len(names) == 1 for names in taken.values())  # the same again and again
    assert len({name for names in taken.values() for name in names}) == 2  # but not for everybody


async def _variant(url: str, key: str) -> str:
    """The variant that answers a session with that key."""
    async with connect(address(url, key=key, model="inworld/coin"), proxy=None) as socket:
        await socket.send(
            json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}})
        )
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == "response.done":
                return str(event["response"]["metadata"]["llm.variant"])


async def test_the_key_is_in_the_log_and_credentials_are_not(
    locked_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="server"):
        await first(address(locked_url, key="walk-7", authorization=f"Basic {ENCODED}"))
        await refusal(address(locked_url, key="walk-8", authorization="Basic aHVzaDpodXNo"))

    assert "key walk-7" in caplog.text
    for secret in (ENCODED, PAIR, "s3cret", "aHVzaDpodXNo", "hush"):
        assert secret not in caplog.text


# --- pings ------------------------------------------------------------------------------------------------


async def test_pings_come_here_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "PING_EVERY_S", 0.005)
    with running_server(Settings(), environ={}) as url:
        plain = f"{url.replace('http', 'ws', 1)}/v1/realtime"
        async with connect(address(url), proxy=None) as here, connect(plain, proxy=None) as there:
            got = [json.loads(await here.recv())["type"] for _ in range(5)]
            await there.send(json.dumps({"type": "session.update", "session": {"instructions": "Hm."}}))
            elsewhere = [json.loads(await there.recv())["type"] for _ in range(2)]

    assert got == ["session.created"] + ["ping"] * 4
    assert elsewhere == ["session.created", "session.updated"]
