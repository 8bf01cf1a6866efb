"""Searches of the web by an API that the settings describe."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from providers.tools.contracts import ToolFailedError
from providers.tools.search import SearchApi, fill
from providers.tools.toolbox import ConfiguredToolbox
from tests.fakes.openai_replies import CUT, HANG, Reply
from tests.fakes.search_api import FakeSearch, Page, found, told

OWLS = Page("Owls", "https://owls.example/", "Owls fly\n  at night.")
MICE = Page("Mice", "https://mice.example/", "Mice fear owls.")


def api(search: FakeSearch, **changes: Any) -> SearchApi:
    """A description of the fake, which posts JSON."""
    description = SearchApi(
        "web",
        f"{search.base_url}/search",
        "POST",
        headers={"X-Key": "{api_key}"},
        body={"query": "{query}", "count": "{max_results}", "options": ["about {query}", 7, None]},
        api_key=search.api_key,
        timeout=5.0,
    )
    return replace(description, **changes)


@asynccontextmanager
async def box(*descriptions: SearchApi) -> AsyncIterator[ConfiguredToolbox]:
    toolbox = ConfiguredToolbox(search=descriptions)
    try:
        yield toolbox
    finally:
        await toolbox.aclose()


async def search(description: SearchApi, query: str = "owls", max_results: int = 3) -> str:
    async with box(description) as toolbox:
        return await toolbox.search("web", json.dumps({"query": query}), max_results)


async def failure(description: SearchApi, arguments: str = '{"query": "owls"}') -> ToolFailedError:
    async with box(description) as toolbox:
        with pytest.raises(ToolFailedError) as caught:
            await toolbox.search("web", arguments, 3)
    return caught.value


async def test_results_are_numbered_text() -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(found(OWLS, MICE))
        text = await search(api(fake))

    assert text.split("\n\n") == [
        "1. Owls\nhttps://owls.example/\nOwls fly at night.",
        "2. Mice\nhttps://mice.example/\nMice fear owls.",
    ]


async def test_json_is_posted_as_described() -> None:
    async with FakeSearch() as fake:
        await search(api(fake), 'what is "{api_key}" & {query}?', max_results=5)
    (request,) = fake.requests

    assert request.headers["x-key"] == fake.api_key
    assert request.headers["content-type"] == "application/json"
    # What the model writes is never a template.
    asked = 'what is "{api_key}" & {query}?'
    assert request.body == {"query": asked, "count": 5, "options": [f"about {asked}", 7, None]}


async def test_parameters_go_into_the_address() -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(
            told({"web": {"items": [{"name": "Owls", "at": ["x", {"href": "https://o/"}]}]}})
        )
        text = await search(
            api(
                fake,
                url=f"{fake.base_url}/open/search?lang=en",
                method="GET",
                params={"q": "{query}", "num": "{max_results}", "key": "{api_key}"},
                headers={},
                body=None,
                results="web.items",
                title="name",
                link="at.1.href",
                text="nowhere",
            ),
            "snow & öwls=2",
        )
    (request,) = fake.requests

    assert request.path == f"/open/search?lang=en&q=snow+%26+%C3%B6wls%3D2&num=3&key={fake.api_key}"
    assert text == "1. Owls\nhttps://o/"


@pytest.mark.parametrize(
    "answer", [{"results": []}, {"results": None}, {}, {"results": [{}, 7, {"title": 3}]}], ids=str
)
async def test_nothing_found_is_told(answer: Any) -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(told(answer))

        assert await search(api(fake), "unheard of") == "No results for: unheard of"


async def test_results_are_bounded_in_number_and_length() -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(found(*[replace(OWLS, text="hoot " * 5000)] * 50))
        text = await search(api(fake), max_results=1000)
        few = await search(api(fake), max_results=-1)

    assert text.count("https://owls.example/") == 20
    assert len(text) < 20 * 3400
    assert few == "1. Owls\nhttps://owls.example/\nOwls fly at night."


async def test_texts_in_pieces_are_put_together() -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(told({"results": [{"title": "T", "text": ["one", 2, "three"]}]}))

        assert await search(api(fake)) == "1. T\none three"


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (told({"error": {"message": "quota used up"}}, 429), 429, "answered 429: quota used up"),
        (told(b"oops", 500), 500, "answered 500"),
        (Reply((), status=302, headers={"Location": "http://elsewhere.example/"}), 302, "302"),
        (told(b"{"), 0, "did not answer in JSON"),
        (told([1]), 0, "without a list of results"),
        (told({"results": "none"}), 0, "without a list of results"),
        (told(b" " * (2 * 1024 * 1024 + 1)), 0, "too much"),
        (Reply((CUT,)), 0, "broke off"),
        (Reply((HANG,)), 0, "in time"),
        (Reply((b'{"results": [', HANG)), 0, "in time"),
        (Reply(delay_s=60), 0, "in time"),
    ],
)
async def test_engines_that_fail_are_told(reply: Reply, code: int, said: str) -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(reply)
        description = api(fake, timeout=0.5)
        failed = await failure(description)

    assert failed.code == code
    assert said in failed.message
    assert failed.message.startswith("the search engine 'web' ")


async def test_one_that_is_not_there_is_told() -> None:
    async with FakeSearch() as fake:
        description = api(fake)

    failed = await failure(description)

    assert failed.kind == "http_error"
    assert "cannot be reached" in failed.message


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", "{}", '{"query": 3}', '{"query": "  "}', json.dumps({"query": "x" * 1001})]
)
async def test_arguments_that_are_no_query_are_not_sent(arguments: str) -> None:
    async with FakeSearch() as fake:
        failed = await failure(api(fake), arguments)

    assert failed.kind == "tool_execution_error"
    assert fake.requests == []


async def test_the_key_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeSearch() as fake:
        description = api(fake, api_key="a-wrong-and-long-key", params={"key": "{api_key}"})
        failed = await failure(description)
        fake.exchange.script(Reply((CUT,)))
        other = await failure(replace(description, api_key=fake.api_key))

    assert failed.message == "the search engine 'web' answered 401: the key [key] is not known"
    for secret in ("a-wrong-and-long-key", fake.api_key):
        assert secret not in caplog.text + failed.message + other.message + repr(description)


async def test_a_search_that_is_cancelled_is_closed_at_the_engine() -> None:
    async with FakeSearch() as fake:
        fake.exchange.script(Reply((HANG,)))
        async with box(api(fake, timeout=60)) as toolbox:
            searching = asyncio.create_task(toolbox.search("web", '{"query": "owls"}', 3))
            await fake.exchange.wait_for_requests(1)
            searching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await searching
            (request,) = fake.requests
            await asyncio.wait_for(request.finished.wait(), 5)

    assert request.aborted


async def test_engines_go_by_name_and_in_order() -> None:
    async with FakeSearch() as first, FakeSearch() as second:
        second.exchange.script(found(MICE))
        async with box(api(first, name="first"), api(second, name="second")) as toolbox:
            assert toolbox.search_engines == ("first", "second")
            assert "Mice" in await toolbox.search("second", '{"query": "x"}', 3)
            with pytest.raises(ToolFailedError, match="configured are: first, second"):
                await toolbox.search("third", '{"query": "x"}', 3)


def test_blanks_are_filled_once() -> None:
    values = {"query": "{api_key}", "max_results": 3, "api_key": "k"}

    assert fill({"a": ["{query}{max_results}", "{max_results}", {"b": "{nobody}"}], "c": None}, values) == {
        "a": ["{api_key}3", 3, {"b": "{nobody}"}],
        "c": None,
    }
