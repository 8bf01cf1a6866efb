"""What the settings say about tools is what sessions get."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from providers.tools.contracts import McpServer, ToolFailedError
from server.settings import Settings
from server.startup import StartupError, prepare
from server.table_keys import TableKeyError
from server.toolbox import make_toolbox
from tests.fakes.search_api import FakeSearch


def settings(**tools: Any) -> Settings:
    return Settings.model_validate({"tools": tools})


async def test_search_engines_are_asked_as_the_settings_say() -> None:
    async with FakeSearch() as fake:
        table = {
            "url": f"{fake.base_url}/search",
            "params": {"q": "{query}"},
            "headers": {"X-Key": "{api_key}"},
            "api_key_env": "SEARCH_KEY",
        }
        other = {"url": "https://other.example/"}
        toolbox = make_toolbox(
            settings(web_search={"own": table, "other": other}).tools, {"SEARCH_KEY": fake.api_key}
        )
        try:
            text = await toolbox.search("own", '{"query": "owls"}', 3)
        finally:
            await toolbox.aclose()

    assert toolbox.search_engines == ("own", "other")
    assert text == "1. Owls\nhttps://owls.example/\nOwls fly at night."


async def test_the_allow_list_and_the_limits_are_those_of_the_settings() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        server = McpServer("tests", f"http://127.0.0.1:{port}/mcp")
        told = []
        for allowed in ([f"127.0.0.1:{port}"], []):
            toolbox = make_toolbox(settings(allowed_hosts=allowed, connect_timeout=0.25).tools, {})
            with pytest.raises(ToolFailedError) as caught:
                async with toolbox.connect(server):
                    pass
            told.append(caught.value.message)

    assert "within 0.25 s" in told[0]
    assert "tools.allowed_hosts" in told[1]


@pytest.mark.parametrize(
    "table", [{"api_key_env": "SEARCH_KEY"}, {"api_key_env": "SEARCH_KEY", "api_key": "key"}], ids=str
)
async def test_a_key_that_is_missing_or_named_twice_stops_the_start(table: dict[str, str]) -> None:
    wrong = settings(web_search={"own": {"url": "https://search.example/", **table}})

    with pytest.raises(TableKeyError, match=r"tools\.web_search\.own.*api_key_env"):
        make_toolbox(wrong.tools, {})
    with pytest.raises(StartupError, match=r"tools\.web_search\.own"):
        await prepare(wrong, {})


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({"allowed_hosts": ["http://x"]}, "is no host, host:port or network"),
        ({"allowed_hosts": "localhost,10.0.0.1/8"}, "'10.0.0.1/8' is no host"),
        ({"web_search": {"own": {}}}, "Field required"),
        ({"web_search": {"own": {"url": "ftp://x"}}}, "should match pattern"),
        ({"web_search": {"own": {"url": "https://x", "body": {"q": "{query}"}}}}, 'needs method = "POST"'),
        ({"web_search": {"own": {"url": "https://x", "method": "PUT"}}}, "'GET' or 'POST'"),
        ({"call_timeout": 0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tools: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**tools)

    assert said in str(caught.value)


def test_lists_may_be_written_with_commas() -> None:
    assert settings(allowed_hosts="localhost:9000, 10.0.0.0/8").tools.allowed_hosts == (
        "localhost:9000",
        "10.0.0.0/8",
    )


def test_printed_settings_hide_what_may_be_a_key() -> None:
    table = {
        "url": "https://x/?k=hidden-1",
        "params": {"k": "hidden-2"},
        "headers": {"k": "hidden-3"},
        "api_key": "hidden-4",
    }

    assert "hidden-" not in repr(settings(web_search={"own": table}))
