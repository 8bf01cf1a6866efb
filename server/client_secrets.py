"""Client secrets: short-lived keys that carry a session's configuration to a browser or an app.

A secret is its own record: the configuration, encrypted and signed with a key that all workers of one
deployment share, so that any of them can read a secret that another one made and nothing has to be stored.
"""

import base64
import hashlib
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from pipeline.config import SessionType
from server.protocol.profiles import ProfileName

__all__ = [
    "PREFIX",
    "BoundSession",
    "ClientSecrets",
    "SecretRefusedError",
    "SecretTooLongError",
    "deployment_key",
]

PREFIX = "ek_"  # clients in browsers refuse to send anything else
# WebSocket servers, ours included, take header lines of 8 KiB, and browsers put the secret into one.
MAX_CHARS = 7000
_MAX_BYTES = 1024 * 1024  # of an unpacked secret, which only we can have packed


class SecretRefusedError(Exception):
    """What was presented is not a secret of this deployment, or no longer one; says why."""


class SecretTooLongError(Exception):
    """The configuration does not fit into a key."""


@dataclass(frozen=True, slots=True)
class BoundSession:
    """What a client secret opens: sessions that start with this configuration."""

    type: SessionType
    profile: ProfileName
    key_id: str  # of the API key that made it, whose quotas it uses
    session: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as `session.update` has it


class ClientSecrets:
    """Makes and reads client secrets. `clock` gives unix seconds."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"client secrets\0" + key).digest()))
        self._clock = clock

    def make(self, bound: BoundSession, seconds: int) -> tuple[str, int]:
        """A secret and the unix second at which it expires; raises `SecretTooLongError`."""
        expires_at = int(self._clock()) + seconds
        content = [expires_at, bound.type, bound.profile, bound.key_id, bound.session]
        packed = zlib.compress(orjson.dumps(content), 9)
        # Padding is no character of a WebSocket subprotocol, which is where browsers send the secret.
        secret = PREFIX + self._fernet.encrypt(packed).decode().rstrip("=")
        if len(secret) > MAX_CHARS:
            raise SecretTooLongError(
                "The session's configuration is too large for a client secret. Shorten its instructions and "
                "tools, or send them with session.update once the client is connected."
            )
        return secret, expires_at

    def read(self, secret: str) -> BoundSession:
        """What the secret opens; raises `SecretRefusedError`."""
        token = secret.removeprefix(PREFIX)
        try:
            packed = self._fernet.decrypt(token + "=" * (-len(token) % 4))
        except (InvalidToken, ValueError):  # ValueError: characters outside of ASCII
            raise SecretRefusedError("The client secret is not one of this server.") from None
        content = zlib.decompressobj().decompress(packed, _MAX_BYTES)
        expires_at, type, profile, key_id, session = orjson.loads(content)
        if self._clock() >= expires_at:
            raise SecretRefusedError("The client secret has expired; make another one.")
        return BoundSession(type, profile, key_id, session)


def deployment_key(secret: SecretStr | None, api_keys: Iterable[SecretStr]) -> bytes:
    """What the workers of one deployment have in common and nobody else knows.

    It is the configured secret, else the API keys together, else made up, and then secrets end with the
    process that made them.
    """
    if secret is not None:
        return secret.get_secret_value().encode()
    keys = sorted(key.get_secret_value() for key in api_keys)
    return "\0".join(keys).encode() if keys else secrets.token_bytes(32)
