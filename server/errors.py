"""Errors of the HTTP API, in the shape that OpenAI's clients know."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

__all__ = ["ApiError", "error_body", "install_error_handlers"]


class ApiError(HTTPException):
    """An answer other than success: status, message, and the code and parameter that a program looks at."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers=dict(headers or {}))
        self.code = code
        self.param = param


def error_body(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """`{"error": {message, type, code, param}}`."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def install_error_handlers(app: FastAPI) -> None:
    """Make every HTTP error of `app`, also the framework's own, look alike."""

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        message = str(error.detail)
        if error.status_code == 404 and not isinstance(error, ApiError):
            message = f"There is nothing at {request.method} {request.url.path}."
        code, param = getattr(error, "code", None), getattr(error, "param", None)
        body = error_body(error.status_code, message, code, param)
        return JSONResponse(body, error.status_code, dict(error.headers or {}))

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        return JSONResponse(error_body(400, str(first["msg"]), "invalid_value", param), 400)

    async def on_crash(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(error_body(500, "The server had an error; its log has the details."), 500)

    app.add_exception_handler(StarletteHTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_crash)
