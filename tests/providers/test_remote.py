"""What providers of remote services share: options and their order, checks of address and key, engines."""

from typing import Any

import pytest
from pydantic import Field

from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.provider import ProviderSettings
from providers.remote import HttpOptions, RemoteOptions, RemoteProvider, long_words, over_http

BASE = {"base_url": "http://127.0.0.1:1/v1"}


class LabOptions(HttpOptions):
    colour: str = "blue"
    gap_timeout: float = Field(3.0, gt=0, description="Seconds between two flashes.")
    final_timeout: float = 1.0


class Engine:
    """One with connections."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    async def aclose(self) -> None:
        self.log.append(self.name)


class Plain:
    """One without."""


class LabProvider(RemoteProvider[LabOptions]):
    max_engines = 3

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, LabOptions)
        self.http = self._client(
            {"X-Lab": "1", **self._key_header("Authorization", "Token ")}, secrets=["another secret"]
        )
        self.closed: list[str] = []
        self._own(Engine(self.closed, "client"))
        self._own(Engine(self.closed, "pool"))

    def engine(self, model: str) -> Engine:
        return self._engine(Engine, model, lambda: Engine(self.closed, model))

    def plain(self, model: str) -> Plain:
        return self._engine(Plain, model, Plain)

    def headers(self, headers: dict[str, str]) -> HttpClient:
        return self._client(headers)


def lab(key: str | None = None, **options: Any) -> LabProvider:
    return LabProvider(ProviderSettings("lab", {**BASE, **options}, key))


def test_what_a_kind_adds_is_listed_between_its_address_and_its_deadlines() -> None:
    assert list(LabOptions.model_fields) == [
        "base_url",
        "colour",
        "connect_timeout",
        "first_byte_timeout",
        "gap_timeout",
        "total_timeout",
        "final_timeout",
        "proxy_from_env",
    ]
    assert LabOptions.model_fields["gap_timeout"].description == "Seconds between two flashes."
    assert RemoteOptions.model_fields["gap_timeout"].description == "Seconds between two pieces of an answer."


def test_deadlines_come_from_the_options_that_a_kind_has() -> None:
    assert lab(connect_timeout=1, first_byte_timeout=2, total_timeout=4).http.timeouts == Timeouts(1, 2, 3, 4)
    assert RemoteOptions(gap_timeout=7).timeouts() == Timeouts(gap=7)


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        (None, "base_url is missing"),
        ("", "base_url is missing"),
        ("127.0.0.1:9/v1", "http://"),
        ("ftp://host", "http://"),
        ("http:///v1", "name a host"),
        ("http://127.0.0.1:99999", "Port"),
        ("http://[::1", "IPv6"),
        ("http://me:secret@host", "credentials"),
        ("http://host?key=secret", "query"),
        ("http://host#secret", "query"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(base_url: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"^provider 'lab': .*{message}") as caught:
        lab(base_url=base_url)

    assert "base_url" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\nb", "ключ", "a\0b"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="provider 'lab': the API key has characters") as caught:
        lab(key)

    assert key not in str(caught.value)


@pytest.mark.parametrize("headers", [{"x": "a\nb"}, {"x\n": "a"}, {"é": "a"}])
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="provider 'lab': header "):
        lab().headers(headers)


def test_the_key_goes_into_its_header_and_out_of_what_is_told() -> None:
    with_key, without = lab(" secret-key \n"), lab()

    assert with_key.http._headers == {"X-Lab": "1", "Authorization": "Token secret-key"}
    assert without.http._headers == {"X-Lab": "1"}
    assert with_key.http.redactor.clean("no secret-key, nor another secret") == "no [key], nor [key]"


def test_long_words_of_headers_are_taken_for_secrets() -> None:
    assert long_words({"A": "Token abcdefgh", "B": "1 true"}) == ["abcdefgh"]


@pytest.mark.parametrize(
    ("documented", "dialled"),
    [
        ("wss://host/x", "https://host/x"),
        ("ws://host:1", "http://host:1"),
        ("https://ws.host", "https://ws.host"),
        ("wshost", "wshost"),
    ],
)
def test_addresses_of_websockets_are_dialled_over_http(documented: str, dialled: str) -> None:
    assert over_http(documented) == dialled


def test_engines_are_made_once_for_each_kind_and_name() -> None:
    provider = lab()

    assert provider.engine("a") is provider.engine("a")
    assert provider.engine("a") is not provider.engine("b")
    assert isinstance(provider.plain("a"), Plain)
    for name in ("", " "):
        with pytest.raises(UnknownModelError, match="lab"):
            provider.engine(name)


async def test_everything_is_closed_in_its_order_also_engines_that_gave_way() -> None:
    provider = lab()
    provider.plain("no connections")
    for number in range(4):
        provider.engine(str(number))

    await provider.aclose()

    assert sorted(provider.closed[:4]) == ["0", "1", "2", "3"]
    assert provider.closed[4:] == ["pool", "client"]


async def test_engines_that_gave_way_are_not_kept_without_end() -> None:
    provider = lab()
    for number in range(100):
        provider.engine(str(number))

    await provider.aclose()

    assert len(provider._engines) == 3
    assert sorted(provider.closed[:6]) == ["94", "95", "96", "97", "98", "99"]
