"""The HTTP routes beside the session: alive, ready, and the list of models, seen by the real SDK."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from server.app import create_app
from server.background import running_server
from server.settings import ServerSettings, Settings
from server.startup import Prepared, build_registry, load_providers


@pytest.fixture(scope="module")
def keyed_url() -> Iterator[str]:
    """A server that wants a key: "sk-one" or "sk-two"."""
    keys = (SecretStr("sk-one"), SecretStr("sk-two"))
    with running_server(Settings(server=ServerSettings(api_keys=keys)), environ={}) as url:
        yield url


def ask(
    url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, Any, Mapping[str, str]]:
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def test_health_and_readiness_need_no_key(keyed_url: str) -> None:
    assert ask(f"{keyed_url}/health")[:2] == (200, {"status": "ok"})
    assert ask(f"{keyed_url}/ready")[:2] == (200, {"status": "ready"})


def test_the_list_of_models_is_one_that_the_sdk_understands(server_url: str) -> None:
    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="none") as client:
        models = {model.id: model for model in client.models.list()}
        one = client.models.retrieve("local/espeak")

    assert {"builtin/echo", "local/espeak", "gpt-realtime", "whisper-1", "tts-1"} <= set(models)
    assert models["builtin/echo"].owned_by == "builtin"
    assert models["gpt-realtime"].object == "model"
    assert isinstance(models["gpt-realtime"].created, int)
    assert one == models["local/espeak"]
    assert one.model_extra == {"kind": "tts"}


def test_a_model_that_does_not_exist_is_not_found(server_url: str) -> None:
    with (
        openai.OpenAI(base_url=f"{server_url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.NotFoundError) as caught,
    ):
        client.models.retrieve("gpt-17")

    assert caught.value.code == "model_not_found"


def test_the_list_of_models_needs_a_key_where_there_are_keys(keyed_url: str) -> None:
    for key in ("sk-one", "sk-two"):
        with openai.OpenAI(base_url=f"{keyed_url}/v1", api_key=key) as client:
            assert client.models.list().data

    with (
        openai.OpenAI(base_url=f"{keyed_url}/v1", api_key="sk-three", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert "sk-three" not in str(caught.value)

    status, body, headers = ask(f"{keyed_url}/v1/models")
    assert (status, body["error"]["type"]) == (401, "invalid_request_error")
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/health", 405),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
def test_errors_have_the_shape_that_clients_of_openai_know(
    server_url: str, method: str, path: str, status: int
) -> None:
    found, body, _ = ask(f"{server_url}{path}", method=method)

    assert found == status
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert body["error"]["message"]


def test_pages_of_other_hosts_may_not_use_a_server_without_keys(server_url: str, keyed_url: str) -> None:
    foreign = {"Origin": "https://evil.example"}

    status, body, _ = ask(f"{server_url}/v1/models", foreign)
    assert (status, body["error"]["code"]) == (403, "origin_not_allowed")
    assert ask(f"{server_url}/v1/models", {"Origin": "http://localhost:3000"})[0] == 200
    assert ask(f"{keyed_url}/v1/models", foreign | {"Authorization": "Bearer sk-one"})[0] == 200


async def call(app: Any, path: str) -> tuple[int, Any]:
    """One GET request, given to the application without a server around it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_the_server_is_ready_only_between_its_start_and_its_end() -> None:
    settings = Settings()
    registry, choices = build_registry(settings, load_providers(settings, {}), {})
    app = create_app(settings, Prepared(registry, choices, 0.0))

    assert await call(app, "/health") == (200, {"status": "ok"})
    assert (await call(app, "/ready"))[0] == 503
    assert (await call(app, "/v1/models"))[0] == 503

    async with app.router.lifespan_context(app):
        assert (await call(app, "/ready"))[0] == 200
        assert (await call(app, "/v1/models"))[0] == 200

    assert (await call(app, "/ready"))[0] == 503
