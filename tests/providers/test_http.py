"""The shared HTTP client: events, errors, deadlines and connections, against servers on loopback."""

import asyncio
import email.utils
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.http import HttpClient, Timeouts
from providers.openai_quirks import Quirks
from providers.problems import Redactor, problem_from_body, problem_from_object, retry_after
from providers.sse import EventTooLargeError, SseEvent, SseParser
from tests.fakes.openai_api import HANG, FakeOpenAI, Reply, Wait, error

KEY = "secret-0123456789"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI(api_key=KEY) as server:
        yield server


@asynccontextmanager
async def client_of(base_url: str, **timeouts: float) -> AsyncGenerator[HttpClient, None]:
    client = HttpClient(
        "lab",
        base_url,
        headers={"Authorization": f"Bearer {KEY}"},
        secrets=(KEY,),
        timeouts=Timeouts(**timeouts),
    )
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[str, None]:
    """A TCP server whose handler speaks HTTP, or does not."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)


async def post(client: HttpClient, body: Any = None) -> bytes:
    async with client.post_json("/chat/completions", {**ASKED, **(body or {})}) as answer:
        if answer.status != 200:
            raise (await answer.problem()).to_error("lab")
        return await answer.body()


# --- Server-sent events ------------------------------------------------------------------------------

STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\nevent: greeting\r\ndata: {\"a\":\r\ndata:  1}\r\n\r\n"
    + "id: 7\ndata: Grüße 世界\n\n:keep-alive\n\ndata\n\ndata:[DONE]".encode()
)  # fmt: skip
EVENTS = [SseEvent('{"a":\n 1}', "greeting"), SseEvent("Grüße 世界"), SseEvent(""), SseEvent("[DONE]")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(STREAM)]
    parser = SseParser()

    events = [event for start, end in itertools.pairwise(borders) for event in parser.feed(STREAM[start:end])]

    assert events + parser.flush() == EVENTS


def test_an_event_without_end_is_refused() -> None:
    parser = SseParser()

    with pytest.raises(EventTooLargeError):
        parser.feed(b"x" * 9 * 1024 * 1024)


# --- What upstreams say ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, InvalidRequestError),
        (408, TimedOutError),
        (409, OverloadedError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, OverloadedError),
        (503, OverloadedError),
        (504, TimedOutError),
        (302, BadAnswerError),
    ],
)
async def test_each_status_has_its_error(fake: FakeOpenAI, status: int, kind: type[ProviderError]) -> None:
    fake.chat.script(error(status, "What happened"))

    async with client_of(fake.base_url) as client:
        with pytest.raises(kind, match=f"lab answered {status}: What happened"):
            await post(client)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "deep"}}, "deep"),
        ([{"error": {"code": 400, "message": "listed", "status": "INVALID_ARGUMENT"}}], "listed"),
        ({"error": "flat"}, "flat"),
        ({"message": "bare"}, "bare"),
        ({"detail": "fastapi"}, "fastapi"),
        ({"detail": [{"msg": "field required"}]}, '[{"msg": "field required"}]'),
        ("text", "text"),
        ([], ""),
        (7, "7"),
    ],
)
def test_messages_are_found_in_every_shape(body: Any, message: str) -> None:
    problem = problem_from_body(400, {}, json.dumps(body).encode(), Redactor(()))

    assert problem.message == message


def test_pages_of_proxies_are_not_shown() -> None:
    assert problem_from_body(502, {}, b" <html>Bad gateway</html>", Redactor(())).message == ""
    assert problem_from_body(502, {}, b"upstream\nwent  away", Redactor(())).message == "upstream went away"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"error": {"message": "x", "code": 429}}, 429),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, 429),
        ({"error": {"message": "x", "type": "server_error", "code": None}}, 500),
        ({"error": {"message": "x", "type": "overloaded_error"}}, 503),
        ({"error": {"message": "x", "type": "invalid_request_error", "code": "invalid_api_key"}}, 401),
        ({"error": {"message": "x"}}, 500),
        ({"error": {"message": "x", "code": 7}}, 500),
    ],
)
def test_an_error_inside_a_stream_finds_the_status_that_fits(value: Any, status: int) -> None:
    assert problem_from_object(value, Redactor(())).status == status


def test_googles_wrong_key_is_an_authentication_error() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    body = [{"error": {"code": 400, "message": "API key not valid.", "details": [detail]}}]

    assert problem_from_object(body, Redactor(()), status=400).status == 401


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date_to_come() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)

    assert retry_after({"retry-after": date}) == pytest.approx(60, abs=2)


async def test_a_rate_limit_carries_its_wait(fake: FakeOpenAI) -> None:
    fake.chat.script(error(429, "Slow down", headers={"retry-after": "3"}))

    async with client_of(fake.base_url) as client:
        with pytest.raises(RateLimitError) as caught:
            await post(client)

    assert caught.value.retry_after == 3.0


def test_keys_never_come_back_and_messages_stay_short() -> None:
    redactor = Redactor((KEY, None, ""))

    assert redactor.clean(f"Incorrect API key provided: {KEY}.") == "Incorrect API key provided: [key]."
    assert "[key]" in redactor.clean("Incorrect API key provided: sk-proj-ab***********yz12.")
    assert "AIza" not in redactor.clean("key AIzaSyA1234567890 is not valid")
    assert redactor.clean("a\x1b[31m\nb") == "a[31m b"
    assert len(redactor.clean("long " * 1000)) == 300
    assert KEY[:6] not in redactor.clean("x" * 292 + KEY), "cut after the key was taken out, not before"


# --- Deadlines and connections -----------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_a_connection_failure() -> None:
    async with raw_server(lambda reader, writer: asyncio.sleep(0)) as base:
        pass  # the port was free a moment ago

    async with client_of(base) as client:
        with pytest.raises(ConnectionFailedError, match=r"lab cannot be reached at 127\.0\.0\.1:"):
            await post(client)


async def test_a_slow_status_line_is_a_timeout(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply(delay_s=30))

    async with client_of(fake.base_url, first_byte=0.05) as client:
        with pytest.raises(TimedOutError, match="did not begin to answer in time"):
            await post(client)


async def test_headers_alone_are_not_an_answer(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((HANG,)))

    async with client_of(fake.base_url, first_byte=0.05) as client:
        with pytest.raises(TimedOutError, match="did not begin to answer in time"):
            await post(client)


async def test_a_stall_between_chunks_is_a_timeout(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((b"one", HANG)))

    async with client_of(fake.base_url, gap=0.05) as client:
        with pytest.raises(TimedOutError, match="stopped answering in time"):
            await post(client)


async def test_a_slow_reader_is_no_timeout(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((b"one", Wait(0.01), b"two")))

    async with (
        client_of(fake.base_url, gap=0.2) as client,
        client.post_json("/chat/completions", ASKED) as answer,
        aclosing(answer.chunks()) as chunks,
    ):
        first = await anext(chunks)
        await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)
        rest = b"".join([chunk async for chunk in chunks])

    assert first + rest == b"onetwo"


async def test_keep_alives_do_not_last_for_ever(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((b": hold on\n\n", *(step for _ in range(500) for step in (Wait(0.02), b":\n")))))

    async with client_of(fake.base_url, total=0.2) as client:
        with pytest.raises(TimedOutError):
            await post(client)


async def test_what_is_not_http_is_a_bad_answer() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()

    async with raw_server(handle) as base, client_of(base) as client:
        with pytest.raises(BadAnswerError):
            await post(client)


async def test_a_body_that_breaks_off_is_a_connection_failure() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()

    async with raw_server(handle) as base, client_of(base) as client:
        with pytest.raises(ConnectionFailedError, match="broke off"):
            await post(client)


async def test_connections_are_kept_for_the_next_request(fake: FakeOpenAI) -> None:
    async with client_of(fake.base_url) as client:
        for _ in range(3):
            await post(client)

    assert len({request.connection for request in fake.chat.requests}) == 1


async def test_a_kept_connection_that_dies_in_the_moment_of_use_is_replaced() -> None:
    seen: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = len(set(seen)) + 1
        await read_request(reader)
        seen.append(me)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await read_request(reader)  # taken, never answered

    async with raw_server(handle) as base, client_of(base) as client:
        assert await post(client) == b"ok"
        assert await post(client) == b"ok"

    assert seen == [1, 2]


async def test_leaving_early_closes_the_connection(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((b"one", HANG)))

    async with client_of(fake.base_url) as client:
        async with (
            client.post_json("/chat/completions", ASKED) as answer,
            aclosing(answer.chunks()) as chunks,
        ):
            assert await anext(chunks) == b"one"
        await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)

    assert fake.chat.requests[0].aborted


async def test_redirects_are_not_followed(fake: FakeOpenAI) -> None:
    fake.chat.script(Reply((), 307, headers={"location": "http://127.0.0.1:1/"}))

    async with client_of(fake.base_url) as client:
        with pytest.raises(BadAnswerError, match="307"):
            await post(client)


async def test_large_bodies_go_out_whole(fake: FakeOpenAI) -> None:
    text = "x" * 3_000_000

    async with client_of(fake.base_url) as client:
        await post(client, {"messages": [{"role": "user", "content": text}]})

    assert fake.chat.requests[0].body["messages"][0]["content"] == text


async def test_a_closed_client_opens_again(fake: FakeOpenAI) -> None:
    async with client_of(fake.base_url) as client:
        await post(client)
        await client.aclose()
        await post(client)

    assert len(fake.chat.requests) == 2


# --- Parameters that a server refuses ----------------------------------------------------------------


def refusal(message: str, code: str | None = None, param: str | None = None) -> Any:
    value = {"error": {"message": message, "code": code, "param": param}}
    return problem_from_object(value, Redactor(()), status=400)


@pytest.mark.parametrize(
    ("problem", "after"),
    [
        (refusal("no", "unsupported_parameter", "a"), {"x": 2, "model": 3}),
        (refusal("no", "unsupported_value", "a"), {"x": 2, "model": 3}),
        (refusal("no", None, "a.b[0]"), {"x": 2, "model": 3}),
        (refusal("no", "unsupported_parameter", "x"), {"a": 1, "y": 2, "model": 3}),
        (refusal("Unknown field `a` for model"), {"x": 2, "model": 3}),
        (refusal("Unsupported parameter: 'x'. Use 'y' instead."), {"a": 1, "y": 2, "model": 3}),
        (refusal("a is too large", "invalid_value", "a"), None),
        (refusal("a is too large"), None),
        (refusal("Unsupported model", "unsupported_parameter", "model"), None),
        (refusal("alas, unsupported"), None),
    ],
)
def test_a_named_parameter_is_dropped_or_renamed(problem: Any, after: dict[str, int] | None) -> None:
    quirks = Quirks(frozenset({"a"}), {"x": "y", "y": "x"})
    body = quirks.apply({"a": 1, "x": 2, "model": 3})

    assert quirks.learn(body, problem) is (after is not None)

    assert quirks.apply({"a": 1, "x": 2, "model": 3}) == (after or body)


def test_a_parameter_is_renamed_only_once() -> None:
    quirks = Quirks(frozenset(), {"x": "y", "y": "x"})

    assert quirks.learn({"x": 1}, refusal("no", "unsupported_parameter", "x"))
    assert not quirks.learn({"y": 1}, refusal("no", "unsupported_parameter", "y"))


async def test_a_body_that_is_nested_too_deeply_is_refused(fake: FakeOpenAI) -> None:
    schema: dict[str, Any] = {}
    for _ in range(1000):
        schema = {"properties": schema}

    async with client_of(fake.base_url) as client:
        with pytest.raises(InvalidRequestError, match="nested too deeply"):
            async with client.post_json("/chat/completions", ASKED | {"tools": [schema]}):
                pass


async def test_warming_opens_one_connection_that_the_first_request_uses() -> None:
    connections: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while (head := await reader.readuntil(b"\r\n\r\n")).startswith((b"HEAD", b"GET")):
            body = b"" if head.startswith(b"HEAD") else b"{}"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n" + body
            )
            await writer.drain()

    async with raw_server(handle) as url, client_of(url) as client:
        for _ in range(3):
            await client.warm()
        async with client.get("/models") as answer:
            assert await answer.json() == {}

    assert len(connections) == 1


async def test_warming_never_fails() -> None:
    async with client_of("http://127.0.0.1:1") as client:
        await client.warm()
