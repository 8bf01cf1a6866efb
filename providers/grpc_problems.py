"""Failures as services behind a gRPC gateway report them: with gRPC's numbers in place of HTTP's."""

from collections.abc import Mapping
from typing import Any

from providers.errors import ProviderError
from providers.problems import Redactor, problem_from_object

__all__ = ["grpc_error"]

# The HTTP status of each code, as google/rpc/code.proto gives it; 499 would be our own cancelling.
_STATUS: Mapping[int, int] = {
    1: 500,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}


def grpc_error(status: Any, redactor: Redactor, provider: str) -> ProviderError:
    """The error behind `{"code": 8, "message": "...", "details": [...]}`, whatever of it is there."""
    code = status.get("code") if isinstance(status, Mapping) else None
    known = _STATUS.get(code) if isinstance(code, int) else None
    return problem_from_object({"error": status}, redactor, status=known).to_error(provider)
