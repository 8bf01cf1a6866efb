"""Identifiers in the shape that the wire uses: a prefix, an underscore and 21 base-62 characters."""

import secrets
import string
from collections.abc import Callable

__all__ = ["NewId", "new_id"]

_ALPHABET = string.digits + string.ascii_letters
_LENGTH = 21  # as on the wire; with the longest prefix ("event_") well below the 32 that clients may send

NewId = Callable[[str], str]


def new_id(prefix: str) -> str:
    """A fresh id such as `item_7Gp...`; unguessable, so it may stand in URLs."""
    # One draw of random bytes is several times cheaper than 21 calls of secrets.choice, and the modulo's
    # bias (256 is not a multiple of 62) costs under half a bit over the whole id.
    return prefix + "_" + "".join([_ALPHABET[byte % 62] for byte in secrets.token_bytes(_LENGTH)])
