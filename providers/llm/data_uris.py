"""Images inside of data: URIs, for services that want their bytes and not their address."""

import base64
import urllib.parse

__all__ = ["read_data_uri"]

_SAME_TYPE = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}


def read_data_uri(url: str) -> tuple[str, str] | None:
    """The media type and the base64 text of a data: URI; None for any other address."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    if "base64" in parameters:
        text = urllib.parse.unquote(data) if "%" in data else data
    else:
        text = base64.b64encode(urllib.parse.unquote_to_bytes(data)).decode()
    return _SAME_TYPE.get(media_type, media_type) or "image/png", text
