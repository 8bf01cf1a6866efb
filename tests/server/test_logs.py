"""Log lines: one format for every logger, for people or for machines."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.background import running_server
from server.logs import setup_logging
from server.settings import ServerSettings, Settings


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The root logger as it was, after each test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_hold_what_was_said_with_its_extra_members() -> None:
    stream = io.StringIO()
    setup_logging("info", "json", stream)

    logging.getLogger("server.test").info(
        "heard %s", "„you“\nthere", extra={"session": "s_1", "path": object}
    )

    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    assert entry.pop("path") == "<class 'object'>"
    assert entry == {
        "level": "info",
        "logger": "server.test",
        "message": "heard „you“\nthere",
        "session": "s_1",
    }


def test_a_crash_stays_one_json_line() -> None:
    stream = io.StringIO()
    setup_logging("info", "json", stream)

    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("server.test").exception("it failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_text_lines_name_level_logger_message_and_extra_members() -> None:
    stream = io.StringIO()
    setup_logging("info", "text", stream)

    logging.getLogger("server.test").warning("slow reader", extra={"session": "sess_1"})

    assert stream.getvalue().split(maxsplit=1)[1] == "WARNING server.test  slow reader  session=sess_1\n"


def test_text_lines_show_where_a_crash_came_from() -> None:
    stream = io.StringIO()
    setup_logging("info", "text", stream)

    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("server.test").exception("it failed")

    assert "Traceback" in stream.getvalue()
    assert stream.getvalue().endswith("ValueError: broken\n")


@pytest.mark.parametrize(("level", "expected"), [("info", ["b"]), ("debug", ["a", "b"]), ("error", [])])
def test_less_important_lines_are_left_out(level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    setup_logging(level, "json", stream)  # type: ignore[arg-type]

    logging.getLogger("server.test").debug("a")
    logging.getLogger("server.test").info("b")
    logging.getLogger("uvicorn.error").info("chatter")

    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == expected


def test_setting_up_twice_does_not_print_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging("info", "text", first)
    setup_logging("info", "json", second)

    logging.getLogger("server.test").info("once")

    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


async def test_not_even_debug_logs_show_a_key_or_what_was_said() -> None:
    stream = io.StringIO()
    setup_logging("debug", "text", stream)
    key = "sk-key-of-a-client"
    settings = Settings(server=ServerSettings(api_keys=(SecretStr(key),)))

    with running_server(settings) as url:
        async with (
            AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client,
            client.realtime.connect(model="builtin/echo", extra_query={"token": key}) as session,
        ):
            await session.response.create(
                response={"instructions": "[[say a secret]]", "output_modalities": ["text"]}
            )
            async for event in session:
                if event.type == "response.done":
                    break

    assert "begins: realtime, builtin/echo" in stream.getvalue()
    assert key not in stream.getvalue()
    assert "a secret" not in stream.getvalue()


async def test_a_refused_handshake_is_no_error() -> None:
    stream = io.StringIO()
    settings = Settings(server=ServerSettings(api_keys=(SecretStr("right"),)))
    with running_server(settings, environ={}) as url:
        setup_logging("debug", "text", stream)
        address = f"{url.replace('http', 'ws', 1)}/api/v1/realtime/session?authorization=Bearer%20hush"
        with pytest.raises(InvalidStatus):
            async with connect(address, proxy=None):
                pass

    assert "ERROR" not in stream.getvalue()
    assert "hush" not in stream.getvalue()
