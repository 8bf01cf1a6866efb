"""Searches of the web over the wire: an endpoint is asked, and the answer knows what it found."""

from collections.abc import AsyncIterator

import pytest

from server.background import running_server
from server.settings import DefaultsSettings, Settings, ToolSettings
from tests.conformance.client import Event, talk
from tests.fakes.search_api import FakeSearch, Page, found, told
from tests.speech import recording, silence

ASK = '[[call web_search {"query": "owls at night"}]]'
TOOL: Event = {"type": "web_search", "providerData": {"engine": "lab", "max_results": 2, "max_steps": 1}}


@pytest.fixture
async def search() -> AsyncIterator[FakeSearch]:
    async with FakeSearch() as service:
        yield service


@pytest.fixture
async def url(search: FakeSearch) -> AsyncIterator[str]:
    table = {
        "url": f"{search.base_url}/search",
        "params": {"q": "{query}", "n": "{max_results}"},
        "headers": {"X-Key": "{api_key}"},
        "api_key_env": "LAB_KEY",
    }
    tools = ToolSettings.model_validate({"web_search": {"lab": table}})
    settings = Settings(tools=tools, defaults=DefaultsSettings(llm="builtin/echo"))
    with running_server(settings, environ={"LAB_KEY": search.api_key}) as url:
        yield url


async def test_what_was_found_feeds_the_answer_and_no_item_shows_it(url: str, search: FakeSearch) -> None:
    search.exchange.script(found(Page("Owls", "https://owls.example/", "Owls fly at night.")))
    async with talk(url, text=True, tools=[TOOL]) as session:
        assert session.session["tools"] == [TOOL]
        reply = await session.ask(ASK)

        assert "Owls fly at night." in reply.text
        assert [item["type"] for item in reply.response["output"]] == ["message"]
        assert len(await session.items()) == 2
        assert (await session.ask("And you?")).text == "You said: And you?"
    (request,) = search.requests
    assert request.path == "/search?q=owls+at+night&n=2"
    assert not any(search.api_key in str(event) for event in session.events)


async def test_a_spoken_question_may_need_a_search(url: str, search: FakeSearch) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    audio = {"input": {"turn_detection": detection}}
    async with talk(url, tools=[TOOL], instructions=ASK, audio=audio) as session:
        await session.append(recording("clone-test", 24_000) + silence(1500, 24_000))
        reply = await session.reply()

        assert "Owls" in reply.text
        assert reply.audio


@pytest.mark.parametrize("answer", [told({}, 500), told(b"<html>"), told({"results": "none"})])
async def test_a_search_that_fails_is_told_to_the_model_alone(
    url: str, search: FakeSearch, answer: object
) -> None:
    search.exchange.script(answer)  # type: ignore[arg-type]
    async with talk(url, text=True, tools=[{"type": "web_search"}]) as session:
        reply = await session.ask(ASK)

        assert "The search failed" in reply.text
        assert reply.status == "completed"
        assert (await session.ask("And you?")).text == "You said: And you?"


async def test_an_engine_that_is_not_there_is_refused(url: str) -> None:
    async with talk(url, text=True) as session:
        wrong = {"type": "web_search", "providerData": {"engine": "bing"}}
        await session.send("session.update", session={"type": "realtime", "tools": [wrong]})
        error = await session.error()
        assert error["param"] == "session.tools[0].providerData.engine"
        assert "'lab'" in error["message"]


async def test_without_an_endpoint_and_for_strict_sessions_there_is_no_search(
    server_url: str, url: str
) -> None:
    async with talk(server_url, text=True) as session:
        await session.send("session.update", session={"type": "realtime", "tools": [{"type": "web_search"}]})
        assert "tools.web_search" in (await session.error())["message"]
    async with talk(url, text=True, query={"profile": "openai"}) as session:
        await session.send("session.update", session={"type": "realtime", "tools": [{"type": "web_search"}]})
        assert (await session.error())["param"] == "session.tools[0].type"
