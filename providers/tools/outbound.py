"""Which addresses the server connects to on behalf of its clients, and which it never does.

A client names the addresses of its MCP servers, so without this it could reach whatever the server's own
network trusts: databases, administration pages, a cloud's metadata service.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from providers.tools.contracts import ToolFailedError
from providers.workers import WorkerPool

__all__ = ["AllowList", "Endpoint", "OutboundGuard", "Resolver", "parse_endpoint", "resolve"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# The addresses of a host, as text; raises OSError.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: how IPv6-only networks see the rest of the world
# Set aside by IANA, but not known as such to every Python that we run on.
_SET_ASIDE = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "100:0:0:1::/64", "3fff::/20", "5f00::/16")))
_NAME = re.compile(r"[\w.:-]+")  # of hosts in the settings; colons are those of IPv6
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOKUPS = WorkerPool(8, "lookup")
MAX_URL_CHARS = 2048
MAX_ADDRESSES = 8  # of one name that are tried


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a URL says about where to connect to."""

    scheme: str
    host: str  # lower case, without brackets and without the dot at the end
    port: int

    def __str__(self) -> str:
        """For messages: without paths, queries and credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """Raises `ToolFailedError` for what is no http or https URL; the message repeats nothing of it."""
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise ToolFailedError("the server_url is not a URL", "http_error")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ToolFailedError("the server_url is not a URL", "http_error") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ToolFailedError("the server_url must begin with https:// or http://", "http_error")
    host = _plain(parts.hostname or "")
    if not host:
        raise ToolFailedError("the server_url names no host", "http_error")
    return Endpoint(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the system does it, in threads of its own: the name server of a client's choice may never answer."""
    found = await _LOOKUPS.submit(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), 0)
    return [str(entry[4][0]) for entry in found]


class AllowList:
    """Hosts and networks that may be reached although they are not public, and without TLS."""

    def __init__(self) -> None:
        self._hosts: set[tuple[str, int | None]] = set()  # None: every port
        self._networks: list[Network] = []

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Entries are "host", "host:port", an address with or without a port, or a network with its length.

        Raises `ValueError`, whose message names the entry.
        """
        allowed = cls()
        for entry in entries:
            allowed._add(entry)
        return allowed

    def has_host(self, host: str, port: int) -> bool:
        """Whether it is allowed by its name, whatever its addresses are."""
        return not self._hosts.isdisjoint({(host, None), (host, port)})

    def has_address(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry.strip("[]")))
        except ValueError:
            pass
        else:
            return
        try:
            parts = urlsplit(f"//{entry}")
            host, port = _plain(parts.hostname or ""), parts.port
        except ValueError:
            host, port = "", None
        if not _NAME.fullmatch(host) or entry != parts.netloc or "@" in entry:
            raise ValueError(f"'{entry}' is no host, host:port or network such as 10.1.0.0/16")
        self._hosts.add((host, port))


class OutboundGuard:
    """Says to which addresses a connection may go. Shared by all sessions."""

    def __init__(self, allowed: AllowList | None = None, resolver: Resolver = resolve) -> None:
        self._allowed = allowed or AllowList()
        self._resolver = resolver

    async def admit(self, host: str, port: int, *, encrypted: bool) -> tuple[str, ...]:
        """The addresses to connect to, which must be used as they are; raises `ToolFailedError`.

        The name is looked up here and nowhere else: a second lookup could bring another answer.
        """
        host = _plain(host)
        by_name = self._allowed.has_host(host, port)
        addresses = await self._addresses(host, port)
        admitted = [
            text
            for text, address in addresses
            if by_name or self._allowed.has_address(address) or (encrypted and is_public(address))
        ]
        if not admitted:
            raise ToolFailedError(self._refusal(host, addresses), "http_error")
        return tuple(dict.fromkeys(admitted))[:MAX_ADDRESSES]

    async def _addresses(self, host: str, port: int) -> list[tuple[str, Address]]:
        try:
            found = [host] if _parse(host) is not None else await self._resolver(host, port)
        except (OSError, UnicodeError):  # the latter for labels that no name may have
            raise ToolFailedError(f"no address is known for {_shown(host)}", "http_error") from None
        parsed = [(text, address) for text in found if (address := _parse(text)) is not None]
        if not parsed:
            raise ToolFailedError(f"no address is known for {_shown(host)}", "http_error")
        return parsed

    def _refusal(self, host: str, addresses: Sequence[tuple[str, Address]]) -> str:
        shown = _shown(host)
        if all(is_public(address) for _, address in addresses):
            return (
                f"{shown} may not be reached without TLS: use https, or have it added to tools.allowed_hosts"
            )
        return (
            f"{shown} is not a public address, so it may not be reached unless the server's settings"
            " allow it (tools.allowed_hosts)"
        )


def is_public(address: Address) -> bool:
    """Whether it belongs to the internet at large, and to a single host."""
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_loopback
        and not address.is_link_local
        and not (isinstance(address, ipaddress.IPv6Address) and _is_tunnel(address))
        and not any(address in network for network in _SET_ASIDE)
    )


def _is_tunnel(address: ipaddress.IPv6Address) -> bool:
    """Whether an IPv4 address hides in it, of which a relay decides what it means."""
    return address.sixtofour is not None or address.teredo is not None or address.is_site_local


def _parse(text: str) -> Address | None:
    """The address that is meant: that within it, where an IPv6 address only carries one of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _plain(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")


def _shown(host: str) -> str:
    return host if len(host) <= 100 and host.isprintable() else "this host"
