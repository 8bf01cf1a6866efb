"""A search engine for tests: HTTP and JSON, with scripts, faults and recorded requests.

async with FakeSearch() as search:
    search.exchange.script(found(Page("Owls", "https://x.example/owls", "Owls fly at night.")))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.http_service import Exchange, HttpService, as_json
from tests.fakes.openai_api import RecordedRequest
from tests.fakes.openai_replies import Reply

__all__ = ["FakeSearch", "Page", "found", "told"]

KEY = "search-key-of-tests"


@dataclass(frozen=True, slots=True)
class Page:
    """One result."""

    title: str
    url: str
    text: str


def told(value: Any, status: int = 200) -> Reply:
    """Any JSON as an answer; bytes go out as they are."""
    body = value if isinstance(value, bytes) else as_json(value)
    return Reply((body,), status=status, content_type="application/json")


def found(*pages: Page) -> Reply:
    """An answer in the shape that the settings expect by default."""
    return told({"results": [{"title": page.title, "url": page.url, "text": page.text} for page in pages]})


class FakeSearch(HttpService):
    """GET and POST /search want the key in the header X-Key; /open wants none."""

    def __init__(self) -> None:
        super().__init__(KEY)
        self.exchange = Exchange(found(Page("Owls", "https://owls.example/", "Owls fly at night.")))

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        return self.exchange.requests

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/search", self._search),
            web.post("/search", self._search),
            web.get("/open/search", self._search),
        ]

    async def _search(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = RecordedRequest(http.path_qs, headers, json.loads(body) if body else {}, ("", 0), 0.0)
        refusal = None
        if http.path == "/search" and headers.get("x-key") != self.api_key:
            refusal = told({"error": {"message": f"the key {headers.get('x-key')} is not known"}}, 401)
        async with self.exchange.answering(request, refusal) as reply:
            return await self.send(http, reply)
