"""Client secrets as values: what they carry, how long, and that nobody else can make or read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from server.client_secrets import (
    MAX_CHARS,
    BoundSession,
    ClientSecrets,
    SecretRefusedError,
    SecretTooLongError,
    deployment_key,
)
from tests.chance import examples

BOUND = BoundSession("realtime", "openai", "key-1", {"type": "realtime", "instructions": "Sing. \N{SNOWMAN}"})


class Clock:
    """Unix seconds that stand still unless a test moves them."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_secret_is_read_by_any_worker_of_the_same_deployment() -> None:
    secret, expires_at = ClientSecrets(b"shared", Clock()).make(BOUND, 600)

    assert secret.startswith("ek_")
    assert expires_at == 1_700_000_600
    assert ClientSecrets(b"shared", Clock()).read(secret) == BOUND


def test_a_secret_tells_its_holder_nothing_of_what_it_carries() -> None:
    clock = Clock()
    secrets = ClientSecrets(b"shared", clock)
    one, _ = secrets.make(BOUND, 600)
    two, _ = secrets.make(BOUND, 600)

    assert one != two
    assert "Sing" not in repr(BOUND)  # which is what a log would show


def test_a_secret_of_another_deployment_is_refused() -> None:
    secret, _ = ClientSecrets(b"theirs", Clock()).make(BOUND, 600)

    with pytest.raises(SecretRefusedError, match="not one of this server"):
        ClientSecrets(b"ours", Clock()).read(secret)


def test_a_secret_ends_with_its_second() -> None:
    clock = Clock()
    secrets = ClientSecrets(b"shared", clock)
    secret, expires_at = secrets.make(BOUND, 10)

    clock.now = expires_at - 0.001
    assert secrets.read(secret) == BOUND
    clock.now = expires_at
    with pytest.raises(SecretRefusedError, match="expired"):
        secrets.read(secret)


def test_every_change_of_a_character_is_noticed() -> None:
    secrets = ClientSecrets(b"shared", Clock())
    secret, _ = secrets.make(BOUND, 600)

    # The last characters of base64 may carry bits that nobody reads.
    for index in range(3, len(secret) - 4):
        forged = secret[:index] + ("A" if secret[index] != "A" else "B") + secret[index + 1 :]
        with pytest.raises(SecretRefusedError):
            secrets.read(forged)


@examples(200)
@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SecretRefusedError):
        ClientSecrets(b"shared").read("ek_" + text)


def test_a_secret_fits_where_a_browser_puts_it() -> None:
    secrets = ClientSecrets(b"shared")
    fitting, _ = secrets.make(
        BoundSession("realtime", "parley", "key-1", {"instructions": "la " * 20_000}), 60
    )

    assert len(fitting) <= MAX_CHARS
    # The characters of an HTTP token, of which subprotocols are made.
    assert set(fitting) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    noise = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(6_000))
    with pytest.raises(SecretTooLongError, match=r"session\.update"):
        secrets.make(BoundSession("realtime", "parley", "key-1", {"instructions": noise}), 60)


def test_the_key_of_a_deployment_is_its_secret_or_its_api_keys() -> None:
    one, two = SecretStr("sk-one"), SecretStr("sk-two")

    assert deployment_key(SecretStr("sixteen letters."), [one]) == b"sixteen letters."
    assert deployment_key(None, [one, two]) == deployment_key(None, [two, one])
    assert deployment_key(None, [one]) != deployment_key(None, [two])
    assert deployment_key(None, []) != deployment_key(None, [])
