"""A certificate authority for tests, and a server certificate of its own making, as PEM files."""

from dataclasses import dataclass
from pathlib import Path

import trustme

from server.settings import ServerSettings

__all__ = ["Certificates", "make_certificates"]


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files that a server and its clients need."""

    cert: Path  # the server's, with its chain
    key: Path
    authority: Path  # what a client has to trust

    @property
    def server(self) -> ServerSettings:
        """Settings of a server that shows this certificate."""
        return ServerSettings(tls_cert=self.cert, tls_key=self.key)


def make_certificates(folder: Path, *names: str) -> Certificates:
    """Make an authority and a certificate for `names` (default: 127.0.0.1 and localhost) in `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
    made = Certificates(folder / "cert.pem", folder / "key.pem", folder / "authority.pem")
    made.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(made.key)
    authority.cert_pem.write_to_path(made.authority)
    return made
