"""The beta API's way to client secrets, through the real SDK, and the sessions that these open."""

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from server.background import running_server
from server.settings import ServerSettings, Settings
from tests.conformance.client import openai_client
from tests.conformance.shapes import check_shape
from tests.conformance.test_admission import first_event, websocket_url

KEY = "sk-of-this-deployment"

SESSION: dict[str, Any] = {
    "model": "gpt-4o-realtime-preview",
    "instructions": "Sing.",
    "modalities": ["text"],
    "voice": "ash",
    "input_audio_format": "g711_ulaw",
    "turn_detection": {"type": "server_vad", "threshold": 0.4},
    "max_response_output_tokens": 99,
}


@pytest.fixture(scope="module")
def keyed_url() -> Iterator[str]:
    with running_server(Settings(server=ServerSettings(api_keys=(SecretStr(KEY),))), environ={}) as url:
        yield url


async def make(server_url: str, path: str = "sessions", key: str = KEY, **body: Any) -> Any:
    """The JSON of the answer, checked as the SDK's own resource gets it."""
    async with openai_client(server_url, key) as client:
        made = await getattr(client.beta.realtime, path).create(**body)
    answer = made.to_dict()
    kind = "transcription_session.updated" if path == "transcription_sessions" else "session.updated"
    assert check_shape({"type": kind, "event_id": "event_1", "session": answer}, "beta") == []
    return answer


async def beta_session_of(server_url: str, made: Any) -> Any:
    """The session that a browser's beta client gets with the secret."""
    key = f"openai-insecure-api-key.{made['client_secret']['value']}"
    offered = [Subprotocol(name) for name in ("realtime", key, "openai-beta.realtime-v1")]
    async with connect(websocket_url(server_url, ""), subprotocols=offered, proxy=None) as socket:
        event = json.loads(await socket.recv())
    assert check_shape(event, "beta") == []
    return event["session"]


async def bare(client: AsyncOpenAI, path: str, body: Any) -> Any:
    """What the SDK's resource would not send."""
    return await client.post(path, body=body, cast_to=object)


async def test_the_answer_is_the_flat_session_with_its_secret_for_one_minute(keyed_url: str) -> None:
    before = int(time.time())
    made = await make(keyed_url, **SESSION)

    secret = made["client_secret"]
    assert secret["value"].startswith("ek_")
    assert before + 60 <= secret["expires_at"] <= time.time() + 60
    assert {name: made[name] for name in SESSION if name not in ("model", "turn_detection")} == {
        name: value for name, value in SESSION.items() if name not in ("model", "turn_detection")
    }
    assert made["model"] == "builtin/echo"
    assert made["turn_detection"]["threshold"] == 0.4
    assert (made["id"][:5], made["object"], made["expires_at"]) == ("sess_", "realtime.session", 0)


@pytest.mark.parametrize(
    ("path", "name"), [("sessions", "expires_after"), ("transcription_sessions", "expires_at")]
)
async def test_each_path_has_its_name_for_how_long_a_secret_lasts(
    keyed_url: str, path: str, name: str
) -> None:
    before = int(time.time())
    made = await make(keyed_url, path, client_secret={name: {"anchor": "created_at", "seconds": 7200}})

    assert before + 7200 <= made["client_secret"]["expires_at"] <= time.time() + 7200


@pytest.mark.parametrize("path", ["sessions", "transcription_sessions"])
async def test_the_body_may_be_empty_and_the_secret_null(keyed_url: str, path: str) -> None:
    async with openai_client(keyed_url, KEY) as client:
        for body in (None, {}, {"client_secret": None}):
            made = await bare(client, f"/realtime/{path}", body)
            assert made["client_secret"]["value"].startswith("ek_")


async def test_a_beta_client_starts_with_the_session_that_was_bound(keyed_url: str) -> None:
    made = await make(keyed_url, **SESSION)

    started = await beta_session_of(keyed_url, made)
    assert started.pop("expires_at") > time.time()
    assert started.pop("id") != made["id"]
    assert started == {
        name: value
        for name, value in (made | {"client_secret": None}).items()
        if name not in ("id", "expires_at")
    }


async def test_a_client_of_the_newer_dialect_may_use_the_secret_as_well(keyed_url: str) -> None:
    made = await make(keyed_url, **SESSION)
    offered = ["realtime", f"openai-insecure-api-key.{made['client_secret']['value']}"]

    session = (await first_event(keyed_url, subprotocols=offered))["session"]
    assert session["output_modalities"] == ["text"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}


async def test_a_transcription_session_is_bound_as_such(keyed_url: str) -> None:
    made = await make(
        keyed_url,
        "transcription_sessions",
        modalities=["text"],
        input_audio_format="g711_alaw",
        input_audio_transcription={"model": "whisper-1", "language": "en"},
        include=["item.input_audio_transcription.logprobs"],
    )
    assert made["object"] == "realtime.transcription_session"
    assert made["input_audio_format"] == "g711_alaw"

    started = await beta_session_of(keyed_url, made)
    assert started["object"] == "realtime.transcription_session"
    assert started["input_audio_transcription"]["language"] == "en"
    assert started["include"] == ["item.input_audio_transcription.logprobs"]


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("sessions", {"voice": 7}, "invalid_type", "voice"),
        (
            "sessions",
            {"turn_detection": {"threshold": 2}},
            "decimal_above_max_value",
            "turn_detection.threshold",
        ),
        ("sessions", {"model": "nowhere/at-all"}, "model_not_found", "model"),
        (
            "sessions",
            {"client_secret": {"expires_after": {"seconds": 9}}},
            "integer_below_min_value",
            "client_secret.expires_after.seconds",
        ),
        ("sessions", {"tools": [[[[]]]] * 3}, "invalid_type", "tools[0]"),
        (
            "transcription_sessions",
            {"input_audio_format": "mp3"},
            "invalid_value",
            "input_audio_format",
        ),
    ],
)
async def test_a_bad_request_names_the_member_of_the_flat_body(
    keyed_url: str, path: str, body: Any, code: str, param: str
) -> None:
    async with openai_client(keyed_url, KEY) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await bare(client, f"/realtime/{path}", body)

    assert (caught.value.code, caught.value.param) == (code, param)
    assert "session." not in caught.value.message
    assert "audio.input" not in caught.value.message


async def test_the_strict_profile_makes_secrets_for_the_newer_dialect_only(keyed_url: str) -> None:
    async with openai_client(keyed_url, KEY) as client:
        made = await bare(client, "/realtime/sessions?profile=openai", SESSION)
        with pytest.raises(openai.BadRequestError) as caught:
            await bare(client, "/realtime/sessions?profile=openai", {"colour": "red"})
    assert caught.value.code == "unknown_parameter"
    key = f"openai-insecure-api-key.{made['client_secret']['value']}"

    event = await first_event(keyed_url, subprotocols=["realtime", key])
    refused = await first_event(keyed_url, subprotocols=["realtime", key, "openai-beta.realtime-v1"])

    assert event["session"]["output_modalities"] == ["text"]
    assert refused["error"]["code"] == "beta_api_shape_disabled"


async def test_making_one_needs_an_api_key_and_a_secret_is_none(keyed_url: str) -> None:
    made = await make(keyed_url)

    for key, error in (
        (made["client_secret"]["value"], openai.PermissionDeniedError),
        ("sk-wrong", openai.AuthenticationError),
    ):
        with pytest.raises(error):
            await make(keyed_url, key=key)
