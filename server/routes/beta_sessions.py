"""`POST /v1/realtime/sessions` and `/transcription_sessions`: client secrets as the beta API makes them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pipeline.errors import InvalidRequest
from server.auth import Identity
from server.errors import ApiError
from server.protocol.beta.sessions import beta_session, ga_session, ga_transcription_session
from server.protocol.beta.writing import rename_paths
from server.protocol.validation import WireModel, check_depth, validate
from server.requests import identify, read_object
from server.routes.client_secrets import Lifetime, make_secret

__all__ = ["router"]

router = APIRouter()

_Json = dict[str, Any]
_Caller = Annotated[Identity, Depends(identify)]


class _Lifetime(Lifetime):
    seconds: int = Field(60, ge=10, le=7200)


class _ClientSecret(WireModel):
    expires_after: _Lifetime | None = None  # as /sessions names it
    expires_at: _Lifetime | None = None  # as /transcription_sessions does


class _Body(WireModel):
    """Beside this a body has the members of a flat session."""

    client_secret: _ClientSecret | None = None


@router.post("/v1/realtime/sessions")
async def create_session(request: Request, identity: _Caller) -> _Json:
    """The effective session, flat, whose `client_secret` is `{value, expires_at}`."""
    body = await read_object(request)
    return _answer(request, identity, body, ga_session(body) | {"type": "realtime"})


@router.post("/v1/realtime/transcription_sessions")
async def create_transcription_session(request: Request, identity: _Caller) -> _Json:
    """Likewise, of a transcription session."""
    body = await read_object(request)
    return _answer(request, identity, body, ga_transcription_session(body))


def _answer(request: Request, identity: Identity, body: _Json, session: _Json) -> _Json:
    try:
        if not check_depth(body):
            raise InvalidRequest("The body is nested too deeply.", code="invalid_value")
        secret = validate(_Body, body).client_secret or _ClientSecret()
        lifetime = secret.expires_after or secret.expires_at or _Lifetime()
        value, expires_at, effective = make_secret(request, identity, session, lifetime.seconds)
    except InvalidRequest as error:
        # The body is the session, so paths begin inside of it.
        message = rename_paths(error.message).replace("'session.", "'")
        param = error.param and rename_paths(error.param).removeprefix("session.")
        raise ApiError(400, message, code=error.code, param=param) from None
    return beta_session(effective) | {"client_secret": {"value": value, "expires_at": expires_at}}
