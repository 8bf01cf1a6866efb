"""What HTTP routes share: who calls, and the JSON that they send, within bounds."""

from typing import Any

import orjson
from fastapi import Request

from server.auth import Authenticator, Identity, KeyRefusedError
from server.errors import ApiError

__all__ = ["identify", "read_object"]

_MAX_BODY = 1024 * 1024  # bytes


def identify(request: Request) -> Identity:
    """Who calls: somebody with a key, where there are keys, from a page that is allowed. A dependency."""
    authenticator: Authenticator = request.app.state.authenticator
    if not authenticator.origin_allowed(request.headers.get("origin")):
        raise ApiError(
            403,
            "Web pages of other hosts may not use a server without API keys; add the page's origin to"
            " server.allowed_origins, or set keys.",
            code="origin_not_allowed",
        )
    try:
        return authenticator.authenticate(request.headers)
    except KeyRefusedError as refused:
        raise ApiError(
            401,
            f"{refused} Send one of this server's keys as 'Authorization: Bearer KEY'.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        ) from None


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body, empty where there is no body."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise ApiError(413, f"The body is larger than {_MAX_BODY} bytes.", code="request_too_large")
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise ApiError(400, "The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_type")
    return value
