"""TLS: the certificate that the server shows to its clients."""

import ssl
from pathlib import Path

from server.settings import ServerSettings
from server.startup import StartupError

__all__ = ["server_context"]

# What OpenSSL calls a certificate and a key that are both fine and do not belong together.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


def server_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the configured certificate; None where the server speaks plain HTTP.

    Reads both files. Raises `StartupError` when they cannot be read, are no PEM, or are not a pair.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return None
    _require_readable("server.tls_cert", certificate)
    _require_readable("server.tls_key", key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # OpenSSL would ask for a passphrase on the terminal, where a service waits for ever.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None)
        if reason in _MISMATCHES:
            raise StartupError(
                f"server.tls_key: {key} is not the key of the certificate {certificate}"
            ) from None
        raise StartupError(
            f"server.tls_cert and server.tls_key: {certificate} and {key} cannot be used"
            f"{f' ({reason})' if reason else ''}. Both are PEM files: the certificate with the chain behind"
            " it, and its private key without a passphrase."
        ) from None
    return context


def _require_readable(setting: str, path: Path) -> None:
    """OpenSSL does not say which of its files it could not read."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise StartupError(f"{setting}: {path} cannot be read: {error.strerror}") from None
