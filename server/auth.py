"""Who may use the server: API keys, and which web pages when there are no keys."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.client_secrets import PREFIX, BoundSession, ClientSecrets, SecretRefusedError

__all__ = ["SUBPROTOCOL_PREFIX", "Authenticator", "Identity", "KeyRefusedError", "is_loopback"]

# How a browser, which cannot set headers on a WebSocket, sends its key.
SUBPROTOCOL_PREFIX = "openai-insecure-api-key."

# How Inworld's own web samples do it: the key in base64, without the padding, which subprotocols cannot have.
CREDENTIAL_PREFIXES = ("basic_", "bearer_")


class KeyRefusedError(Exception):
    """The caller may not use this server; says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: the API key by a name that tells nothing of it, and the client secret that came with it."""

    key_id: str
    bound: BoundSession | None = None  # what the client secret opens; None for a full API key


MAX_CREDENTIALS = 4  # that one request may come with in `Authorization` and its stand-ins

ANYBODY = Identity("anybody")  # on a server without keys


class Authenticator:
    """Checks keys in constant time; holds only their hashes. Without keys everybody is let in."""

    def __init__(
        self,
        api_keys: Iterable[SecretStr],
        client_secrets: ClientSecrets,
        allowed_origins: Iterable[str] = (),
    ) -> None:
        self._digests = tuple(_digest(_plain(key.get_secret_value())) for key in api_keys)
        self._client_secrets = client_secrets
        self._allowed_origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)

    @property
    def required(self) -> bool:
        """Whether a key is needed at all."""
        return bool(self._digests)

    def authenticate(
        self,
        headers: Mapping[str, str],
        subprotocols: Sequence[str] = (),
        credentials: Sequence[str] = (),
    ) -> Identity:
        """Who the request comes from; raises `KeyRefusedError` when it may not go on.

        `headers` must find names in any case, or have lower-case ones. A key, or a client secret, is taken
        from `Authorization: Bearer KEY`, from `Authorization: Basic ...` as the key itself or as the
        password, and from the WebSocket subprotocols `openai-insecure-api-key.KEY`, `basic_KEY` and
        `bearer_KEY`. `credentials` are more values as of the header, which came in another place. A key of
        the form `id:secret` may be configured, and sent, as it is or in base64.
        """
        candidates = _candidates((headers.get("authorization", ""), *credentials), subprotocols)
        identity = None
        for candidate in candidates:
            given = _digest(candidate)
            # No early exit: the time must not tell which key was nearly right.
            for number, digest in enumerate(self._digests, 1):
                if hmac.compare_digest(given, digest):
                    identity = Identity(f"key-{number}")
        if identity is not None:
            return identity
        for candidate in candidates:
            if candidate.startswith(PREFIX):
                try:
                    bound = self._client_secrets.read(candidate)
                except SecretRefusedError as refused:
                    raise KeyRefusedError(str(refused)) from None
                return Identity(bound.key_id, bound)
        if self._digests:
            raise KeyRefusedError("Incorrect or missing API key.")
        return ANYBODY

    def origin_allowed(self, origin: str | None) -> bool:
        """Whether a request with this `Origin` header may go on; None (not a browser) may.

        A server without keys listens on loopback only, yet every web page that a person on this machine opens
        could reach it from inside their browser. So pages of other hosts are refused, `null` (any sandboxed
        page) included, unless `server.allowed_origins` lists them. With keys, the key decides.
        """
        if origin is None or self._digests:
            return True
        if origin.rstrip("/").lower() in self._allowed_origins:
            return True
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            return False
        return host is not None and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, judged by its text: names other than localhost are not."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _candidates(credentials: Sequence[str], subprotocols: Sequence[str]) -> list[str]:
    found = []
    for credential in credentials[:MAX_CREDENTIALS]:
        scheme, _, token = credential.strip().partition(" ")
        scheme, token = scheme.lower(), token.strip()
        if scheme in ("basic", "bearer") and token:
            found.append(token)
        if scheme == "basic":
            found.append(_plain(token).partition(":")[2])
    for name in subprotocols:
        if name.startswith(SUBPROTOCOL_PREFIX):
            found.append(name.removeprefix(SUBPROTOCOL_PREFIX))
        elif name.startswith(CREDENTIAL_PREFIXES):
            token = name.partition("_")[2]
            found += [token, token + "=" * (-len(token) % 4)]
    return [_plain(token) for token in found]


def _plain(token: str) -> str:
    """The `id:secret` that base64 stands for; `token` itself where it stands for something else, or is none.

    Inworld's keys are such pairs: sent as its console gives them, in base64, and often kept decoded.
    """
    try:
        text = base64.b64decode(token, validate=True).decode()
    except ValueError:
        return token
    return text if ":" in text else token


def _digest(key: str) -> bytes:
    # Equal lengths: comparing the keys themselves would tell how long they are.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
