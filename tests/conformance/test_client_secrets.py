"""POST /v1/realtime/client_secrets through the real SDK, and the sessions that the secrets open."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr

from server.background import running_server
from server.settings import ServerSettings, Settings
from tests.conformance.client import openai_client
from tests.conformance.shapes import check_shape
from tests.conformance.test_admission import first_event, refusal

KEY = "sk-of-this-deployment"


@pytest.fixture(scope="module")
def keyed_url() -> Iterator[str]:
    with running_server(Settings(server=ServerSettings(api_keys=(SecretStr(KEY),))), environ={}) as url:
        yield url


async def post(server_url: str, query: str = "", **options: Any) -> tuple[int, Any]:
    """The status and the JSON of a request that the SDK would not make."""
    url, headers = f"{server_url}/v1/realtime/client_secrets{query}", {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as client, client.post(url, headers=headers, **options) as answer:
        return answer.status, await answer.json()


async def secret_for(server_url: str, session: Any = None, **body: Any) -> Any:
    async with openai_client(server_url, KEY) as client:
        return await client.realtime.client_secrets.create(
            **({"session": session} if session is not None else {}), **body
        )


async def test_a_secret_comes_with_the_effective_session(keyed_url: str) -> None:
    made = await secret_for(
        keyed_url,
        {
            "type": "realtime",
            "model": "gpt-realtime",
            "instructions": "Sing.",
            "audio": {"output": {"speed": 1.25}},
        },
        expires_after={"anchor": "created_at", "seconds": 7200},
    )
    session: Any = made.session.to_dict()

    assert made.value.startswith("ek_")
    assert session["model"] == "builtin/echo"
    assert session["instructions"] == "Sing."
    assert session["audio"]["output"]["speed"] == 1.25
    assert session["expires_at"] == 0
    assert session["id"].startswith("sess_")
    event = {"type": "session.created", "event_id": "event_1", "session": session}
    assert check_shape(event) == []


async def test_the_body_may_be_empty(keyed_url: str) -> None:
    status, made = await post(keyed_url)

    assert status == 200
    assert made["session"]["type"] == "realtime"


async def test_the_session_of_a_secret_starts_as_it_was_bound(keyed_url: str) -> None:
    made = await secret_for(
        keyed_url, {"type": "realtime", "instructions": "Sing.", "output_modalities": ["text"]}
    )

    async with (
        openai_client(keyed_url, made.value) as client,
        client.realtime.connect(model="gpt-realtime") as wire,
    ):
        created: Any = (await wire.recv()).to_dict()
        await wire.session.update(session={"type": "realtime", "instructions": "Hum."})
        updated: Any = (await wire.recv()).to_dict()

    assert created["session"]["instructions"] == "Sing."
    assert created["session"]["output_modalities"] == ["text"]
    assert updated["session"]["instructions"] == "Hum."
    assert updated["session"]["output_modalities"] == ["text"]


async def test_a_browser_sends_it_as_a_subprotocol_and_it_works_more_than_once(keyed_url: str) -> None:
    made = await secret_for(keyed_url, {"type": "realtime", "instructions": "Sing."})
    protocols = ["realtime", f"openai-insecure-api-key.{made.value}"]

    for _ in range(2):
        event = await first_event(keyed_url, subprotocols=protocols)
        assert event["session"]["instructions"] == "Sing."


async def test_a_long_secret_still_fits_into_the_handshake(keyed_url: str) -> None:
    words = "".join(f"{(n * 7919) % 100_003:05} " for n in range(1_500))
    made = await secret_for(keyed_url, {"type": "realtime", "instructions": words})
    protocols = ["realtime", f"openai-insecure-api-key.{made.value}"]

    assert len(made.value) > 5_000
    assert (await first_event(keyed_url, subprotocols=protocols))["session"]["instructions"] == words


async def test_a_secret_for_transcription_opens_sessions_of_that_type(keyed_url: str) -> None:
    made = await secret_for(
        keyed_url,
        {
            "type": "transcription",
            "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}},
        },
    )
    assert made.session.object == "realtime.transcription_session"

    event = await first_event(
        keyed_url, query="", additional_headers={"Authorization": f"Bearer {made.value}"}
    )
    session = event["session"]
    assert session["type"] == "transcription"
    assert session["audio"]["input"]["transcription"]["language"] == "en"


async def test_the_profile_is_bound_with_the_session(keyed_url: str) -> None:
    _, made = await post(keyed_url, "?profile=openai", json={"session": {"type": "realtime"}})
    protocols = ["realtime", f"openai-insecure-api-key.{made['value']}"]

    session = (await first_event(keyed_url, query="?model=gpt-realtime", subprotocols=protocols))["session"]
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200
    assert session["audio"]["output"]["voice"] == "alloy"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"expires_after": {"seconds": 7201}}, "integer_above_max_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 9}}, "integer_below_min_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": "60"}}, "invalid_type", "expires_after.seconds"),
        ({"expires_after": {"anchor": "last_used"}}, "invalid_value", "expires_after.anchor"),
        ({"session": "mine"}, "invalid_type", "session"),
        ({"session": {"type": "translation"}}, "invalid_value", "session.type"),
        ({"session": {"model": "nowhere/at-all"}}, "model_not_found", "session.model"),
        (
            {"session": {"audio": {"output": {"speed": 9}}}},
            "decimal_above_max_value",
            "session.audio.output.speed",
        ),
        ({"session": {"tools": [[[[]]]] * 3}}, "invalid_type", "session.tools[0]"),
    ],
)
async def test_a_bad_request_is_answered_with_what_is_wrong(
    keyed_url: str, body: Any, code: str, param: str
) -> None:
    async with AsyncOpenAI(api_key=KEY, base_url=f"{keyed_url}/v1", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.realtime.client_secrets.create(**body)

    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"


async def test_a_configuration_that_does_not_fit_is_refused_with_the_way_out(keyed_url: str) -> None:
    noise = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(6_000))

    with pytest.raises(openai.BadRequestError, match=r"session\.update") as caught:
        await secret_for(keyed_url, {"type": "realtime", "instructions": noise})
    assert caught.value.code == "session_too_large"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"{", 400, "invalid_json"), (b"[]", 400, "invalid_type"), (b" " * 1_100_000, 413, "request_too_large")],
)
async def test_a_body_that_is_no_object_is_refused(
    keyed_url: str, content: bytes, status: int, code: str
) -> None:
    answered, body = await post(keyed_url, data=io.BytesIO(content))

    assert (answered, body["error"]["code"]) == (status, code)


async def test_making_one_needs_an_api_key_and_a_secret_is_none(keyed_url: str) -> None:
    made = await secret_for(keyed_url)

    for key, error in ((made.value, openai.PermissionDeniedError), ("sk-wrong", openai.AuthenticationError)):
        async with openai_client(keyed_url, key) as client:
            with pytest.raises(error):
                await client.realtime.client_secrets.create()


async def test_another_worker_of_the_deployment_takes_it_and_a_stranger_does_not(keyed_url: str) -> None:
    made = await secret_for(keyed_url, {"type": "realtime", "instructions": "Sing."})
    offered: Any = {"additional_headers": {"Authorization": f"Bearer {made.value}"}}
    keys, other = (SecretStr(KEY),), SecretStr("a secret of another deployment")

    with running_server(Settings(server=ServerSettings(api_keys=keys)), environ={}) as worker:
        assert (await first_event(worker, **offered))["session"]["instructions"] == "Sing."
    with running_server(Settings(server=ServerSettings(api_keys=keys, secret=other)), environ={}) as stranger:
        error, code, _ = await refusal(stranger, **offered)
        assert (error["code"], code) == ("invalid_api_key", 3000)


async def test_a_forged_secret_is_turned_away(keyed_url: str) -> None:
    made = await secret_for(keyed_url)
    forged = made.value[:40] + ("A" if made.value[40] != "A" else "B") + made.value[41:]

    error, code, reason = await refusal(keyed_url, additional_headers={"Authorization": f"Bearer {forged}"})
    assert (error["code"], code, reason) == ("invalid_api_key", 3000, "invalid_request_error.invalid_api_key")


async def test_secrets_do_not_reach_the_log(keyed_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = await secret_for(keyed_url, {"type": "realtime", "instructions": "A private matter."})
        protocols = ["realtime", f"openai-insecure-api-key.{made.value}"]
        await first_event(keyed_url, subprotocols=protocols)
        await refusal(keyed_url, additional_headers={"Authorization": f"Bearer {made.value[:-9]}"})

    ours = [
        r.getMessage() for r in caplog.records if r.name.split(".")[0] in ("server", "pipeline", "providers")
    ]
    assert ours
    assert not [line for line in ours if made.value[:30] in line or "private matter" in line]
