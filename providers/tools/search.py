"""Searches of the web by an HTTP API that answers in JSON, as the settings describe it."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson

from providers.errors import ProviderError
from providers.http import Answer, HttpClient, Timeouts
from providers.tools.contracts import ToolFailedError
from providers.tools.texts import read_arguments

__all__ = ["SearchApi", "SearchEngine", "fill"]

MAX_QUERY_CHARS = 1000
MAX_RESULTS = 20
MAX_ANSWER_BYTES = 2 * 1024 * 1024
MAX_TITLE_CHARS = 300
MAX_TEXT_CHARS = 3000  # of one result
LARGE_ANSWER = 64 * 1024  # bytes; larger ones are decoded in a thread

_BLANK = re.compile(r"\{(query|max_results|api_key)\}")


@dataclass(frozen=True, slots=True)
class SearchApi:
    """How to ask, and where the answer is. Texts may hold the blanks {query}, {max_results} and {api_key}."""

    name: str
    url: str
    method: Literal["GET", "POST"] = "GET"
    params: Mapping[str, str] = field(default_factory=dict)  # of the URL's query
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] | None = None  # of POST, as JSON; "{max_results}" alone becomes a number
    api_key: str | None = field(default=None, repr=False)
    results: str = "results"  # the list, as names with dots between them
    title: str = "title"  # of one result; names with dots, too
    link: str = "url"
    text: str = "text"
    timeout: float = 10.0  # seconds


class SearchEngine:
    """One search API, shared by all sessions. Redirects are not followed, so keys stay where they belong."""

    def __init__(self, api: SearchApi) -> None:
        self._api = api
        self._path, base = _split(api.url)
        self._http = HttpClient(
            f"the search engine '{api.name}'",
            base,
            headers={name: str(fill(value, _values(api, "", ""))) for name, value in api.headers.items()},
            secrets=(api.api_key, *api.headers.values()),
            timeouts=Timeouts(
                connect=min(5.0, api.timeout), first_byte=api.timeout, gap=api.timeout, total=api.timeout
            ),
        )

    async def search(self, arguments: str, max_results: int) -> str:
        """The results as numbered text; raises `ToolFailedError`."""
        query = _query(arguments)
        wanted = max(1, min(max_results, MAX_RESULTS))
        try:
            async with asyncio.timeout(self._api.timeout), self._ask(query, wanted) as answer:
                if answer.status >= 300:
                    problem = (await answer.problem()).to_error(self._http.provider)
                    raise ToolFailedError(problem.message, "http_error", answer.status)
                found = await _decoded(await answer.body(MAX_ANSWER_BYTES))
        except TimeoutError:
            raise ToolFailedError(f"{self._http.provider} did not answer in time", "http_error") from None
        except ProviderError as error:
            raise ToolFailedError(error.message, "http_error") from None
        except ValueError:
            raise ToolFailedError(f"{self._http.provider} did not answer in JSON") from None
        return self._told(query, found, wanted)

    async def aclose(self) -> None:
        await self._http.aclose()

    def _ask(self, query: str, wanted: int) -> AbstractAsyncContextManager[Answer]:
        values = _values(self._api, query, wanted)
        path = self._path
        if self._api.params:
            filled = {name: str(fill(value, values)) for name, value in self._api.params.items()}
            path += ("&" if "?" in path else "?") + urlencode(filled)
        if self._api.method == "POST":
            return self._http.post_json(path, fill(self._api.body or {}, values))
        return self._http.get(path)

    def _told(self, query: str, found: Any, wanted: int) -> str:
        entries = _at(found, self._api.results)
        if entries is None and isinstance(found, dict):  # as some APIs put it when they have found nothing
            entries = []
        if not isinstance(entries, list):
            raise ToolFailedError(f"{self._http.provider} answered without a list of results")
        told = [text for entry in entries[:wanted] if (text := self._entry(entry))]
        if not told:
            return f"No results for: {query}"
        return "\n\n".join(f"{number}. {text}" for number, text in enumerate(told, 1))

    def _entry(self, entry: Any) -> str:
        title = _line(_at(entry, self._api.title), MAX_TITLE_CHARS)
        link = _line(_at(entry, self._api.link), MAX_TITLE_CHARS)
        text = _line(_at(entry, self._api.text), MAX_TEXT_CHARS)
        return "\n".join(part for part in (title, link, text) if part)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A template of JSON with its blanks filled, each once: what a query contains is never filled again."""
    if isinstance(template, str):
        alone = _BLANK.fullmatch(template)
        if alone:
            return values[alone[1]]
        return _BLANK.sub(lambda blank: str(values[blank[1]]), template)
    if isinstance(template, Mapping):
        return {name: fill(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    return template


def _values(api: SearchApi, query: str, wanted: int | str) -> Mapping[str, Any]:
    return {"query": query, "max_results": wanted, "api_key": api.api_key or ""}


def _split(url: str) -> tuple[str, str]:
    """What comes behind the authority, and the URL up to there."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path, parts.query, "")), f"{parts.scheme}://{parts.netloc}"


def _query(arguments: str) -> str:
    query = read_arguments(arguments).get("query")
    if not isinstance(query, str) or not query.strip():
        raise ToolFailedError('the arguments must be {"query": "what to search for"}')
    if len(query) > MAX_QUERY_CHARS:
        raise ToolFailedError(f"the query has more than {MAX_QUERY_CHARS} characters")
    return " ".join(query.split())


async def _decoded(body: bytes) -> Any:
    return await asyncio.to_thread(orjson.loads, body) if len(body) > LARGE_ANSWER else orjson.loads(body)


def _at(value: Any, path: str) -> Any:
    """What is there at a path such as "items.0.title", or None."""
    for name in _names(path):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _names(path: str) -> Iterator[str]:
    return (name for name in path.split(".") if name)


def _line(value: Any, limit: int) -> str:
    """A text, or several in a list, as one line."""
    if isinstance(value, list):
        value = " ".join(part for part in value[:10] if isinstance(part, str))
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 2 * limit].split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
