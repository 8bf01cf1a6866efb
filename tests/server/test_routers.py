"""Routers managed over HTTP: made, listed, changed, removed, kept in a file, and refused with a reason."""

import asyncio
import json
import shlex
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from providers.routing.routers import Routers
from server import router_book
from server.auth import Authenticator
from server.background import running_server
from server.client_secrets import BoundSession, ClientSecrets
from server.errors import install_error_handlers
from server.router_book import RouterBook
from server.router_store import RouterStore, RouterStoreError
from server.routes import routers as routes
from server.settings import Settings, SettingsError, load_settings
from tests.markdown import blocks

KEY = {"Authorization": "Bearer sk-one"}
URL = "/router/v1/routers"

# As the service's own documentation has it.
EXAMPLE: dict[str, Any] = {
    "name": "routers/example-router",
    "displayName": "Example Router",
    "defaults": {"message_templates": [{"role": "system", "content": "You are a helpful assistant."}]},
    "routes": [
        {
            "route": {
                "route_id": "support",
                "variants": [
                    {"variant": {"variant_id": "primary", "model_id": "openai/gpt-4o"}, "weight": 100}
                ],
            },
            "condition": {"cel_expression": "use_case == 'support'"},
        }
    ],
    "defaultRoute": {
        "route_id": "default",
        "variants": [{"variant": {"variant_id": "default", "model_id": "openai/gpt-4o-mini"}, "weight": 100}],
    },
}


class Api:
    """A server that has nothing but these routes."""

    def __init__(self, book: RouterBook, routers: Routers, secrets: ClientSecrets, client: httpx.AsyncClient):
        self.book, self.routers, self.secrets, self._client = book, routers, secrets, client

    async def __call__(
        self, method: str, path: str = URL, json: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        answer = await self._client.request(method, path, json=json, headers=headers or KEY)
        return answer.status_code, answer.json()


@asynccontextmanager
async def serving(
    path: Path | None = None, fixed: dict[str, Any] | None = None, ready: bool = True
) -> AsyncIterator[Api]:
    routers = Routers()
    book = RouterBook(routers, fixed or {}, RouterStore(path))
    await book.open()
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(routes.router)
    secrets = ClientSecrets(b"a key of this test")
    app.state.authenticator = Authenticator([SecretStr("sk-one")], secrets)
    app.state.router_book = book
    app.state.ready = ready
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Api(book, routers, secrets, client)
    finally:
        await book.aclose()


def without_times(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if not key.endswith("Time")}


async def test_a_router_is_made_found_and_used() -> None:
    async with serving() as api:
        status, operation = await api("POST", json=EXAMPLE)

        assert status == 200
        assert operation["done"] is True
        assert operation["metadata"] == {"verb": "create", "target": "routers/example-router"}
        assert without_times(operation["response"]) == EXAMPLE
        assert await api("GET", f"/lro/v1alpha/{operation['name']}") == (200, operation)
        assert await api("GET", f"{URL}/example-router") == (200, operation["response"])
        assert api.routers.get("llm", "example-router").definition.display_name == "Example Router"


async def test_a_router_without_a_name_is_named_after_its_title() -> None:
    async with serving() as api:
        nameless = {key: value for key, value in EXAMPLE.items() if key != "name"} | {
            "displayName": "User-Aware!"
        }
        names = [(await api("POST", json=nameless))[1]["response"]["name"] for _ in range(2)]
        untitled = {"defaultRoute": EXAMPLE["defaultRoute"]}
        third = (await api("POST", json={"router": untitled}))[1]["response"]["name"]

    assert names[0] == "routers/user-aware"
    assert names[1].startswith("routers/user-aware-")
    assert third.startswith("routers/router-")


async def test_routers_are_listed_page_by_page() -> None:
    async with serving(fixed={"b": {"defaultRoute": EXAMPLE["defaultRoute"]}}) as api:
        for name in ("c", "a"):
            await api("POST", json=EXAMPLE | {"name": f"routers/{name}"})

        first = (await api("GET", f"{URL}?page_size=2"))[1]
        second = (await api("GET", f"{URL}?pageSize=2&pageToken={first['nextPageToken']}"))[1]
        everything = (await api("GET"))[1]

    assert [one["name"] for one in first["routers"]] == ["routers/a", "routers/b"]
    assert [one["name"] for one in second["routers"]] == ["routers/c"]
    assert second["nextPageToken"] == ""
    assert len(everything["routers"]) == 3


@pytest.mark.parametrize(
    ("mask", "changes", "expected"),
    [
        (None, {"displayName": "New"}, lambda old: old | {"displayName": "New"}),
        ("display_name", {"display_name": "New", "routes": []}, lambda old: old | {"displayName": "New"}),
        ("routes", {}, lambda old: {key: value for key, value in old.items() if key != "routes"}),
        (
            "defaults.text_generation_config.temperature",
            {"defaults": {"textGenerationConfig": {"temperature": 0.2, "topP": 0.1}}},
            lambda old: (
                old | {"defaults": old["defaults"] | {"text_generation_config": {"temperature": 0.2}}}
            ),
        ),
        (
            "defaults.messageTemplates, displayName",
            {"displayName": "New"},
            lambda old: old | {"defaults": {}, "displayName": "New"},
        ),
        (
            "*",
            {"defaultRoute": EXAMPLE["defaultRoute"]},
            lambda old: {"name": old["name"], "defaultRoute": EXAMPLE["defaultRoute"]},
        ),
    ],
    ids=["all that is given", "one", "removed", "nested", "several", "everything"],
)
async def test_a_router_is_changed_where_the_mask_says(
    mask: str | None, changes: dict[str, Any], expected: Callable[[Any], Any]
) -> None:
    async with serving() as api:
        await api("POST", json=EXAMPLE)
        query = f"?update_mask={mask}" if mask else ""

        status, operation = await api("PATCH", f"{URL}/example-router{query}", json=changes)

        assert status == 200
        assert without_times(operation["response"]) == expected(EXAMPLE)
        assert (await api("GET", f"{URL}/example-router"))[1] == operation["response"]
        assert operation["response"]["createTime"] < operation["response"]["updateTime"]


async def test_a_change_takes_effect_at_once_and_a_bad_one_changes_nothing() -> None:
    async with serving() as api:
        await api("POST", json=EXAMPLE)
        before = (await api("GET", f"{URL}/example-router"))[1]

        status, answer = await api("PATCH", f"{URL}/example-router", json={"routes": [{"route": {}}]})

        assert status == 400
        assert answer["error"]["param"] == "routes[0].route.variants"
        assert (await api("GET", f"{URL}/example-router"))[1] == before

        await api("PATCH", f"{URL}/example-router", json={"kind": "stt"})
        assert api.routers.has("stt", "example-router")


async def test_a_router_is_removed() -> None:
    async with serving() as api:
        await api("POST", json=EXAMPLE)

        status, operation = await api("DELETE", f"{URL}/example-router")

        assert (status, operation["response"]) == (200, {})
        assert (await api("GET", f"{URL}/example-router"))[0] == 404
        assert not api.routers.has("llm", "example-router")


async def test_routers_outlive_the_server(tmp_path: Path) -> None:
    path = tmp_path / "routers.db"
    async with serving(path) as api:
        for name in ("one", "two", "three"):
            await api("POST", json=EXAMPLE | {"name": f"routers/{name}"})
        await api("DELETE", f"{URL}/two")
        await api("PATCH", f"{URL}/three", json={"displayName": "Third"})
        before = (await api("GET"))[1]

    async with serving(path) as api:
        assert (await api("GET"))[1] == before
        assert [one["displayName"] for one in before["routers"]] == ["Example Router", "Third"]
        assert api.routers.has("llm", "one")


async def test_what_cannot_be_used_any_more_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "routers.db"
    async with serving(path) as api:
        await api("POST", json=EXAMPLE)
        await api("POST", json=EXAMPLE | {"name": "routers/fixed"})
    database = sqlite3.connect(path)
    with database:
        rows = [("broken", "{", "", ""), ("older", '{"kind": "video"}', "", "")]
        database.executemany("INSERT INTO routers VALUES (?, ?, ?, ?)", rows)
    database.close()

    async with serving(path, fixed={"fixed": {"defaultRoute": EXAMPLE["defaultRoute"]}}) as api:
        listed = (await api("GET"))[1]["routers"]

    assert [one["name"] for one in listed] == ["routers/example-router", "routers/fixed"]
    assert "displayName" not in listed[1]
    for name in ("broken", "older", "fixed"):
        assert f"router '{name}'" in caplog.text


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be seen as none" * 20])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "routers.db"
    path.write_bytes(content)
    store = RouterStore(path)

    with pytest.raises(RouterStoreError, match="not a database"):
        await store.load()
    await store.aclose()


async def test_a_file_of_a_newer_server_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "routers.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 7")
    database.close()
    store = RouterStore(path)

    with pytest.raises(RouterStoreError, match="version 7"):
        await store.load()
    await store.aclose()


async def test_a_change_that_cannot_be_stored_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "routers.db") as api:
        await api("POST", json=EXAMPLE)
        database = sqlite3.connect(tmp_path / "routers.db")
        with database:
            database.execute("DROP TABLE routers")
        database.close()

        status, answer = await api("DELETE", f"{URL}/example-router")

        assert (status, answer["error"]["code"]) == (503, "storage_failed")
        assert (await api("GET", f"{URL}/example-router"))[0] == 200
        assert api.routers.has("llm", "example-router")


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"name": "routers/not a name"}, 400, "invalid_value", "name"),
        ({"name": 5}, 400, "invalid_value", "name"),
        ({"kind": "video"}, 400, "invalid_value", "kind"),
        ({"colour": "red"}, 400, "invalid_value", "colour"),
        ({"displayName": "x" * 70_000}, 400, "router_too_large", None),
        (
            {"defaults": {"fallback": {"ttft_timeout": "200ms"}}},
            400,
            "invalid_value",
            "defaults.fallback.ttft_timeout",
        ),
        ({"name": "routers/fixed"}, 409, "router_exists", "name"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_router_that_cannot_be_is_refused_with_the_member_at_fault(
    change: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    async with serving(fixed={"fixed": {"defaultRoute": EXAMPLE["defaultRoute"]}}) as api:
        answered, answer = await api("POST", json=EXAMPLE | change)

    assert (answered, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)


async def test_a_condition_is_compiled_when_it_is_stored() -> None:
    broken = {**EXAMPLE, "routes": [{**EXAMPLE["routes"][0], "condition": {"cel_expression": "tier =="}}]}
    async with serving() as api:
        status, answer = await api("POST", json=broken)

    assert status == 400
    assert answer["error"]["param"] == "routes[0].condition.cel_expression"
    assert "not a CEL expression, line 1, column 8" in answer["error"]["message"]


async def test_endless_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    async with serving() as api:
        status, answer = await api("POST", json=EXAMPLE | {"routes": deep})

    assert (status, answer["error"]["message"]) == (400, "The router is nested too deeply.")


@pytest.mark.parametrize(
    "mask", ["name", "defaults..x", "createTime", ".", "routes.0.route", "a.b.c.d.e.f.g.h.i"]
)
async def test_a_mask_that_leads_nowhere_is_refused(mask: str) -> None:
    async with serving() as api:
        await api("POST", json=EXAMPLE)
        status, answer = await api("PATCH", f"{URL}/example-router?updateMask={mask}", json={"routes": []})

    assert (status, answer["error"]["param"]) == (400, "update_mask")


async def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_book, "MAX_ROUTERS", 2)
    monkeypatch.setattr(router_book, "MAX_OPERATIONS", 2)
    async with serving() as api:
        made = [await api("POST", json=EXAMPLE | {"name": f"routers/{name}"}) for name in "abc"]
        await api("PATCH", f"{URL}/a", json={})

        assert [status for status, _ in made] == [200, 200, 400]
        assert made[2][1]["error"]["code"] == "router_limit_reached"
        assert (await api("GET", f"/lro/v1alpha/{made[0][1]['name']}"))[0] == 404
        assert (await api("GET", f"/lro/v1alpha/{made[1][1]['name']}"))[0] == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_routers_of_the_settings_are_fixed(method: str) -> None:
    async with serving(fixed={"fixed": {"defaultRoute": EXAMPLE["defaultRoute"]}}) as api:
        status, answer = await api(method, f"{URL}/fixed", json={} if method == "PATCH" else None)
        gone = (await api(method, f"{URL}/gone", json={} if method == "PATCH" else None))[0]

    assert (status, answer["error"]["code"], gone) == (409, "router_is_fixed", 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", URL), ("GET", URL), ("GET", f"{URL}/x"), ("PATCH", f"{URL}/x"), ("DELETE", f"{URL}/x"),
     ("GET", "/lro/v1alpha/operations/x")],
)  # fmt: skip
async def test_a_key_is_needed_and_a_client_secret_will_not_do(method: str, path: str) -> None:
    body = EXAMPLE if method in ("POST", "PATCH") else None
    async with serving() as api:
        secret, _ = api.secrets.make(BoundSession("realtime", "parley", "key-1"), 60)
        wrong = await api(method, path, json=body, headers={"Authorization": "Bearer sk-two"})
        bound = await api(method, path, json=body, headers={"Authorization": f"Bearer {secret}"})
        basic = await api(method, path, json=body, headers={"Authorization": "Basic sk-one"})

    assert (wrong[0], bound[0]) == (401, 403)
    assert basic[0] in (200, 404)


async def test_a_server_that_is_not_ready_says_so() -> None:
    async with serving(ready=False) as api:
        assert (await api("GET"))[0] == 503


def test_routers_in_the_settings_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "parley.toml"
    file.write_text('[routers.fast]\ndefault_route = { variants = [{ variant = { model_id = "a/b" } }] }\n')
    assert load_settings(file).routers["fast"]
    assert Settings().router_db is None

    file.write_text("[routers.fast]\ndefault_route = { variants = [{ variant = { model = 1 } }] }\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file)

    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}: routers: fast: default_route.variants[0].variant.model")


async def test_the_documented_request_is_understood() -> None:
    (block,) = [block for block in blocks("bash") if block.page == "docs/routers.md"]
    words = shlex.split(block.text)
    async with serving() as api:
        status, operation = await api("POST", json=json.loads(words[words.index("-d") + 1]))

    assert (status, operation["response"]["name"]) == (200, "routers/user-aware")


async def test_a_session_talks_through_a_router_made_while_the_server_runs() -> None:
    voice = {"kind": "tts", "default_route": {"variants": [{"variant": {"model_id": "local/espeak"}}]}}
    variant = {"model_id": "builtin/gone", "model_selection": {"models": ["builtin/echo"]}}
    route = {"variants": [{"variant": variant}]}
    made = {
        "name": "routers/made",
        "routes": [{"condition": {"cel_expression": 'last_message == "Hi"'}, "route": route}],
    }
    with running_server(Settings(routers={"mouth": voice}), environ={}) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.post(URL, json=made)).status_code == 200
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk,
            sdk.realtime.connect(model="inworld/made") as connection,
        ):
            speech: Any = {"output": {"model": "router/mouth"}}
            await connection.session.update(session={"type": "realtime", "audio": speech})
            content = [{"type": "input_text", "text": "Hi"}]
            item: Any = {"type": "message", "role": "user", "content": content}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            async with asyncio.timeout(20):
                events = []
                async for event in connection:
                    events.append(event)
                    if event.type == "response.done":
                        break

    done = events[-1]
    assert done.type == "response.done"
    assert done.response.status == "completed"
    assert sum(len(event.delta) for event in events if event.type == "response.output_audio.delta") > 10_000
