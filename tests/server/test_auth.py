"""Keys and origins: who is let in, and who is not."""

import base64
from collections.abc import Sequence

import pytest
from pydantic import SecretStr

from server.auth import Authenticator, KeyRefusedError, is_loopback
from server.client_secrets import BoundSession, ClientSecrets


def keyed(*keys: str) -> Authenticator:
    return Authenticator([SecretStr(key) for key in keys], ClientSecrets(b"key of the deployment"))


def admits(door: Authenticator, headers: dict[str, str], subprotocols: Sequence[str] = ()) -> bool:
    try:
        door.authenticate(headers, subprotocols)
    except KeyRefusedError:
        return False
    return True


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_without_keys_everybody_is_let_in() -> None:
    assert not keyed().required
    assert admits(keyed(), {})
    assert admits(keyed(), {"authorization": "Bearer anything"})


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
    assert admits(keyed("first", "second"), {"authorization": header})


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
    assert not admits(keyed("first", "second"), {"authorization": header})


@pytest.mark.parametrize("configured", ["id:secret", "aWQ6c2VjcmV0"], ids=["decoded", "in base64"])
@pytest.mark.parametrize(
    ("header", "opens"),
    [
        ("Basic aWQ6c2VjcmV0", True),
        ("Bearer aWQ6c2VjcmV0", True),
        ("Bearer id:secret", True),
        ("Basic id:secret", True),
        (basic("other:secret"), False),
        (basic("id:"), False),
        ("Bearer secret", False),
        ("Bearer id", False),
        (basic("aWQ6c2VjcmV0"), False),  # twice in base64
    ],
)
def test_a_pair_is_one_key_however_it_is_kept_and_sent(configured: str, header: str, opens: bool) -> None:
    assert admits(keyed(configured), {"authorization": header}) == opens


def test_credentials_may_come_in_other_places_but_not_in_any_number() -> None:
    door = keyed("first")
    wrong = ["Bearer wrong"] * 3

    assert door.authenticate({}, (), ["Bearer first"]).key_id == "key-1"
    assert door.authenticate({}, (), [*wrong[:2], basic("x:first")]).key_id == "key-1"
    with pytest.raises(KeyRefusedError):
        door.authenticate({}, (), [*wrong, "Bearer first"])


def test_a_missing_header_is_refused() -> None:
    assert not admits(keyed("first"), {})


def test_a_browser_sends_its_key_as_a_subprotocol() -> None:
    door = keyed("first")

    assert admits(door, {}, ["realtime", "openai-insecure-api-key.first"])
    assert not admits(door, {}, ["realtime", "openai-insecure-api-key.other"])
    assert not admits(door, {}, ["realtime", "first"])
    assert not admits(door, {}, ["openai-insecure-api-key."])


def test_each_key_has_a_name_that_tells_nothing_of_it() -> None:
    door = keyed("first", "second")

    assert door.authenticate({"authorization": "Bearer second"}).key_id == "key-2"
    assert keyed().authenticate({"authorization": "Bearer second"}).key_id == "anybody"


def test_a_client_secret_opens_the_session_that_it_was_made_for() -> None:
    secrets = ClientSecrets(b"key of the deployment")
    bound = BoundSession("realtime", "openai", "key-2", {"instructions": "Sing."})
    secret, _ = secrets.make(bound, 60)

    for door in (keyed("first", "second"), keyed()):
        for given in (
            door.authenticate({"authorization": f"Bearer {secret}"}),
            door.authenticate({}, ["realtime", f"openai-insecure-api-key.{secret}"]),
        ):
            assert (given.key_id, given.bound) == ("key-2", bound)


@pytest.mark.parametrize("keys", [(), ("first",)])
def test_a_client_secret_of_somebody_else_is_refused_even_where_everybody_is_let_in(
    keys: tuple[str, ...],
) -> None:
    secret, _ = ClientSecrets(b"another").make(BoundSession("realtime", "parley", "key-1"), 60)

    with pytest.raises(KeyRefusedError, match="not one of this server"):
        keyed(*keys).authenticate({"authorization": f"Bearer {secret}"})


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
    door = Authenticator((), ClientSecrets(b""), ["https://Voice.example.com/", "null"])

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
