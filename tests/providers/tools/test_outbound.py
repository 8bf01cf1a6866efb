"""Which addresses are reached for clients: public ones and those of the settings, and no others."""

from collections.abc import Mapping, Sequence

import pytest

from providers.tools.contracts import ToolFailedError
from providers.tools.outbound import AllowList, OutboundGuard, Resolver, parse_endpoint, resolve

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1"],
    "private": ["10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12:3456::1", "::ffff:10.0.0.1", "fec0::1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"],
    "carrier": ["100.64.0.1", "100.127.255.255"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": [
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
    ],
    "tunnels": ["2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.88.99.1", "64:ff9b:1::1"],
}
ALL_FORBIDDEN = [pytest.param(each, id=f"{kind} {each}") for kind, all in FORBIDDEN.items() for each in all]


def answering(answers: Mapping[str, Sequence[str]]) -> Resolver:
    """A resolver that knows these names."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        if host not in answers:
            raise OSError("no such name")
        return answers[host]

    return look_up


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_reached_with_tls_only(address: str) -> None:
    guard = OutboundGuard()

    assert await guard.admit(address, 443, encrypted=True) == (address,)
    with pytest.raises(ToolFailedError, match="without TLS"):
        await guard.admit(address, 80, encrypted=False)


@pytest.mark.parametrize("address", ALL_FORBIDDEN)
async def test_other_addresses_are_not_reached(address: str) -> None:
    for guard, host in (
        (OutboundGuard(), address),
        (OutboundGuard(resolver=answering({"innocent.example": [address]})), "innocent.example"),
    ):
        with pytest.raises(ToolFailedError, match=r"is not a public address.*tools\.allowed_hosts") as caught:
            await guard.admit(host, 443, encrypted=True)
        assert (caught.value.kind, caught.value.code) == ("http_error", 0)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "0x7f000001", "2130706433", "127.1", "0177.0.0.1"]
)
async def test_other_ways_to_write_loopback_are_not_reached(host: str) -> None:
    guard = OutboundGuard(resolver=resolve)

    with pytest.raises(ToolFailedError):  # systems differ in which of these they know as addresses
        await guard.admit(host, 443, encrypted=True)


async def test_of_several_addresses_the_public_ones_are_used() -> None:
    look_up = answering({"mixed.example": ["10.0.0.1", "8.8.8.8", "::1", "8.8.8.8", "1.1.1.1"]})

    admitted = await OutboundGuard(resolver=look_up).admit("mixed.example", 443, encrypted=True)

    assert admitted == ("8.8.8.8", "1.1.1.1")


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("tools.internal", "tools.internal", 8080),
        ("Tools.Internal.", "tools.internal", 8080),
        ("tools.internal:8080", "TOOLS.INTERNAL", 8080),
        ("10.1.2.3", "10.1.2.3", 9),
        ("10.1.0.0/16", "10.1.2.3", 9),
        ("10.1.0.0/16", "tools.internal", 9),  # by what it means
        ("10.1.2.3:9", "10.1.2.3", 9),
        ("::1", "::1", 9),
        ("[::1]:9", "::1", 9),
        ("fd00::/8", "fd12::1", 9),
        ("127.0.0.1", "::ffff:127.0.0.1", 9),
    ],
)
async def test_what_the_settings_allow_is_reached_without_tls(entry: str, host: str, port: int) -> None:
    guard = OutboundGuard(AllowList.parse([entry]), answering({"tools.internal": ["10.1.2.3"]}))

    assert await guard.admit(host, port, encrypted=False)


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("tools.internal:8080", "tools.internal", 8081),
        ("tools.internal", "other.internal", 8080),
        ("internal", "tools.internal", 8080),
        ("10.2.0.0/16", "tools.internal", 8080),
        ("127.0.0.1", "localhost", 8080),  # which the resolver here takes for another
        ("::1", "127.0.0.1", 8080),
    ],
)
async def test_nothing_else_is_reached(entry: str, host: str, port: int) -> None:
    known = {"tools.internal": ["10.1.2.3"], "other.internal": ["10.1.2.3"], "localhost": ["127.0.0.2"]}
    guard = OutboundGuard(AllowList.parse([entry]), answering(known))

    for encrypted in (False, True):
        with pytest.raises(ToolFailedError):
            await guard.admit(host, port, encrypted=encrypted)


@pytest.mark.parametrize(
    "entry",
    ["", "http://x", "x/y", "*.example.com", "user@x", "10.1.2.3/8", "x:99999", "a b", "x:y", "10.0.0.0/40"],
)
def test_entries_that_make_no_sense_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host, host:port or network"):
        AllowList.parse(["localhost", entry])


async def test_unknown_names_are_told() -> None:
    for host in ("nowhere.example", "a" * 70 + ".example", "\N{SNOWMAN}" * 200):
        with pytest.raises(ToolFailedError, match="no address is known"):
            await OutboundGuard(resolver=answering({})).admit(host, 443, encrypted=True)


async def test_names_that_no_system_looks_up_are_told() -> None:
    with pytest.raises(ToolFailedError, match="no address is known"):
        await OutboundGuard().admit("a" * 70 + ".example", 443, encrypted=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://Example.com/mcp?key=secret", "example.com"),
        ("https://ann:secret@example.com:8443/mcp", "example.com:8443"),
        ("http://[::1]:9000/mcp", "[::1]:9000"),
        ("http://example.com:80", "example.com"),
    ],
)
def test_endpoints_show_no_credentials(url: str, shown: str) -> None:
    assert str(parse_endpoint(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "example.com",
            "file:///etc/passwd",
            "ftp://example.com",
            "ws://example.com",
            "gopher://x:70/_",
        ),
        *("https://", "https:///mcp", "https://:443/", "https://x:99999/", "https://[::1/", "https://a b/"),
        *("https://x/\r\nHost: y", "unix:/run/docker.sock", "https://example.com/" + "x" * 3000),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ToolFailedError, match="server_url"):
        parse_endpoint(url)
