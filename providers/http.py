"""The HTTP client of one provider: one session for all engines, deadlines, and errors in our own words."""

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    ProviderError,
    TimedOutError,
)
from providers.problems import Problem, Redactor, problem_from_body
from providers.sse import EventTooLargeError, SseEvent, SseParser

__all__ = ["Answer", "HttpClient", "Timeouts"]

MAX_CONNECTIONS = 512  # per provider; more requests than that wait, within the connect deadline
KEEPALIVE_S = (
    60.0  # between two turns of a conversation people think; a new TLS handshake costs two round trips
)
MAX_ERROR_BYTES = 64 * 1024
MAX_JSON_BYTES = 32 * 1024 * 1024
LARGE_BODY_BYTES = 512 * 1024  # aiohttp wants larger ones as files

Body = Callable[[], Any]  # makes the body anew for each attempt


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds."""

    connect: float = 5.0  # name lookup, TCP and TLS
    first_byte: float = 30.0  # from sending the request to the first byte of the answer's body
    gap: float = 15.0  # between two chunks of the body
    total: float = 600.0  # a server that only sends keep-alives must end some day


class Answer:
    """One response that has begun. Read its body once, by one of the methods."""

    def __init__(self, client: "HttpClient", response: aiohttp.ClientResponse, started: float) -> None:
        self._client = client
        self._response = response
        self._first_by = started + client.timeouts.first_byte
        self._end_by = started + client.timeouts.total
        self.gap = client.timeouts.gap  # may be shortened while reading
        self.status = response.status
        self.content_type = response.content_type

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; closing early closes the connection."""
        loop = asyncio.get_running_loop()
        deadline, what = self._first_by, "did not begin to answer"
        while True:
            with self._client.translated(what):
                async with asyncio.timeout_at(min(deadline, self._end_by)):
                    chunk = await self._response.content.readany()
            if not chunk:
                return
            yield chunk
            deadline, what = loop.time() + self.gap, "stopped answering"

    async def sse(self) -> AsyncGenerator[SseEvent, None]:
        """The body as server-sent events."""
        parser = SseParser()
        try:
            async with aclosing(self.chunks()) as chunks:
                async for chunk in chunks:
                    for event in parser.feed(chunk):
                        yield event
        except EventTooLargeError:
            raise self.bad("sent an event without end") from None
        for event in parser.flush():
            yield event

    async def body(self, limit: int = MAX_JSON_BYTES) -> bytes:
        """The whole body; raises `BadAnswerError` when it is longer than `limit` bytes."""
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise self.bad("sent too much")
            parts.append(chunk)
        return b"".join(parts)

    async def json(self) -> Any:
        """The whole body, decoded; raises `BadAnswerError`."""
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError:
            raise self.bad("sent something that is not JSON") from None

    async def problem(self) -> Problem:
        """What an answer with an error status says, as far as it can be read."""
        body = bytearray()
        try:
            async for chunk in self.chunks():
                body += chunk
                if len(body) > MAX_ERROR_BYTES:
                    break
        except ProviderError:
            pass  # the status alone still tells most
        return problem_from_body(self.status, self._response.headers, bytes(body), self._client.redactor)

    async def drain(self, seconds: float = 0.2) -> None:
        """Read what little is left, so that the connection can be used again; gives up in silence."""
        try:
            async with asyncio.timeout(seconds):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass

    def bad(self, what: str) -> BadAnswerError:
        """The error for an answer that breaks its protocol."""
        return BadAnswerError(f"{self._client.provider} {what}", provider=self._client.provider)


class HttpClient:
    """Talks to one base URL. The session begins with the first request and ends with `aclose`."""

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str | None, ...] = (),
        timeouts: Timeouts | None = None,
        proxy_from_env: bool = False,
    ) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        self.redactor = Redactor(secrets)
        self._headers = dict(headers or {})
        self._proxy_from_env = proxy_from_env
        self._session: aiohttp.ClientSession | None = None
        self._warm_until = 0.0  # in the event loop's time

    @asynccontextmanager
    async def post_json(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Answer, None]:
        """Post a JSON object; the answer may have any status."""
        try:
            data = orjson.dumps(body)
        except TypeError:  # a schema from a client, hundreds of levels deep
            message = f"the request to {self.provider} is nested too deeply"
            raise InvalidRequestError(message, provider=self.provider) from None
        make: Body = (lambda: io.BytesIO(data)) if len(data) > LARGE_BODY_BYTES else (lambda: data)
        async with self._request("POST", path, make, {"Content-Type": "application/json"}) as answer:
            yield answer

    @asynccontextmanager
    async def post_form(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]],
        *,
        filename: str,
        file: bytes,
        file_type: str,
    ) -> AsyncGenerator[Answer, None]:
        """Post a multipart form with one file, named "file"; the answer may have any status.

        A list becomes several fields, whose name gets `[]` behind it.
        """

        def make() -> aiohttp.FormData:
            form = aiohttp.FormData()
            for name, value in fields.items():
                if isinstance(value, str):
                    form.add_field(name, value)
                else:
                    for entry in value:
                        form.add_field(f"{name}[]", entry)
            form.add_field("file", io.BytesIO(file), filename=filename, content_type=file_type)
            return form

        async with self._request("POST", path, make, {}) as answer:
            yield answer

    @asynccontextmanager
    async def get(self, path: str, params: Mapping[str, str] | None = None) -> AsyncGenerator[Answer, None]:
        """Ask for something; the answer may have any status."""
        async with self._request("GET", path, lambda: None, {}, params) as answer:
            yield answer

    async def warm(self) -> None:
        """Open a connection ahead of the first request, unless one was in use lately. Never raises.

        The name is looked up and TLS agreed on, which costs a caller two or three round trips less later.
        """
        now = asyncio.get_running_loop().time()
        if now < self._warm_until:
            return
        self._warm_until = now + KEEPALIVE_S / 2
        try:
            async with asyncio.timeout(self.timeouts.connect), self._request("HEAD", "", lambda: None, {}):
                pass
        except (ProviderError, TimeoutError):
            self._warm_until = 0.0

    def session(self) -> aiohttp.ClientSession:
        """The session that all requests share, opened with the first one; for WebSockets."""
        if self._session is None or self._session.closed:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S),
                # Deltas are tiny, and a proxy that compresses them holds them back.
                headers={"User-Agent": "openparley", "Accept-Encoding": "identity", **self._headers},
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self.timeouts.connect, sock_connect=self.timeouts.connect
                ),
                trust_env=self._proxy_from_env,
                cookie_jar=aiohttp.DummyCookieJar(),  # sessions share this client
                trace_configs=[trace],
            )
        return self._session

    async def aclose(self) -> None:
        """Close all connections; a later request would open a new session."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    @contextmanager
    def translated(self, late: str) -> Iterator[None]:
        """Turn what aiohttp and the system raise into our errors; `late` says what a deadline means."""
        name = self.provider
        try:
            yield
        except aiohttp.ConnectionTimeoutError:
            raise TimedOutError(f"{name} could not be reached in time", provider=name) from None
        except TimeoutError:
            raise TimedOutError(f"{name} {late} in time", provider=name) from None
        except aiohttp.InvalidURL:
            raise InvalidRequestError(f"{name} has an invalid base_url", provider=name) from None
        except aiohttp.ClientConnectorError as error:
            reason = "TLS failed" if isinstance(error, ssl.SSLError) else _reason(error.os_error)
            text = f"{name} cannot be reached at {error.host}:{error.port}: {reason}"
            raise ConnectionFailedError(self.redactor.clean(text), provider=name) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError):
            raise ConnectionFailedError(f"{name} broke off the connection", provider=name) from None
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, ValueError):
            raise BadAnswerError(f"{name} does not answer in HTTP", provider=name) from None

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        make: Body,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Answer, None]:
        started = asyncio.get_running_loop().time()
        first_by = started + self.timeouts.first_byte
        response = await self._open(method, path, make, headers, params, first_by)
        self._warm_until = started + KEEPALIVE_S / 2
        try:
            yield Answer(self, response, started)
        finally:
            response.close()  # returns at once; a body read to its end has given its connection back already

    async def _open(
        self,
        method: str,
        path: str,
        make: Body,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        first_by: float,
    ) -> aiohttp.ClientResponse:
        attempt = SimpleNamespace(reused=False)
        while True:
            try:
                with self.translated("did not begin to answer"):
                    async with asyncio.timeout_at(first_by):
                        return await self.session().request(
                            method,
                            self.base_url + path,
                            params=params,
                            data=make(),
                            headers=headers,
                            # A redirected POST would lose its body, or take the key to another host.
                            allow_redirects=False,
                            trace_request_ctx=attempt,
                        )
            except ConnectionFailedError:
                # The server closed an idle connection in the moment we used it. That is no failure of the
                # request, and a fresh connection settles it; without this, POST is never tried again.
                if not attempt.reused:
                    raise
                attempt = SimpleNamespace(reused=False)


async def _note_reuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    if context.trace_request_ctx is not None:  # WebSockets have none
        context.trace_request_ctx.reused = True


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
