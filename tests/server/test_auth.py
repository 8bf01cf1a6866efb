"""Keys and origins: who is let in, and who is not."""

import base64

import pytest
from pydantic import SecretStr

from server.auth import Authenticator, is_loopback


def keyed(*keys: str) -> Authenticator:
    return Authenticator(SecretStr(key) for key in keys)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_without_keys_everybody_is_let_in() -> None:
    assert not keyed().required
    assert keyed().authenticate({})
    assert keyed().authenticate({"authorization": "Bearer anything"})


@pytest.mark.parametrize(
    "header",
    [
        "Bearer second",
        "bearer second",
        "Bearer  second ",
        basic(":second"),
        basic("user:second"),
        "Basic second",
    ],
)
def test_any_of_the_keys_opens_in_any_of_the_forms(header: str) -> None:
    assert keyed("first", "second").authenticate({"authorization": header})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer third",
        "second",
        "Bearer secon",
        "Bearer seconds",
        "Bearer SECOND",
        "Bearer \udcff",
        "Basic ",
        "Basic !!!",
        "Basic \N{SNOWMAN}",
        basic("second:"),
        "Digest second",
    ],
)
def test_anything_else_is_refused(header: str) -> None:
    assert not keyed("first", "second").authenticate({"authorization": header})


def test_a_missing_header_is_refused() -> None:
    assert not keyed("first").authenticate({})


def test_a_browser_sends_its_key_as_a_subprotocol() -> None:
    door = keyed("first")

    assert door.authenticate({}, ["realtime", "openai-insecure-api-key.first"])
    assert not door.authenticate({}, ["realtime", "openai-insecure-api-key.other"])
    assert not door.authenticate({}, ["realtime", "first"])
    assert not door.authenticate({}, ["openai-insecure-api-key."])


def test_the_authenticator_does_not_hold_the_keys() -> None:
    assert "sk-secret" not in repr(vars(keyed("sk-secret")))


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:8443",
        "http://app.localhost:5173",
        "HTTP://LOCALHOST",
    ],
)
def test_a_server_without_keys_admits_programs_and_local_pages(origin: str | None) -> None:
    assert keyed().origin_allowed(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.example:8000",
        "null",
        "",
        "http://192.168.1.10",
        "http://[::1",
        "http://127.0.0.1@evil.example",
    ],
)
def test_a_server_without_keys_refuses_pages_of_other_hosts(origin: str) -> None:
    assert not keyed().origin_allowed(origin)


def test_listed_origins_are_admitted() -> None:
    door = Authenticator((), ["https://Voice.example.com/", "null"])

    assert door.origin_allowed("https://voice.example.com")
    assert door.origin_allowed("null")
    assert not door.origin_allowed("http://voice.example.com")


def test_with_keys_the_key_decides_and_not_the_page() -> None:
    assert keyed("first").origin_allowed("https://anywhere.example")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback_is_told_from_other_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
