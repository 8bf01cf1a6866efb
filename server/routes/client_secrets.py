"""`POST /v1/realtime/client_secrets`: short-lived keys for browsers and apps."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pipeline.config import SessionType
from pipeline.errors import InvalidRequest
from pipeline.ids import new_id
from server.admission import choose_profile, patch_of
from server.auth import Identity
from server.client_secrets import BoundSession, ClientSecrets, SecretTooLongError
from server.errors import ApiError
from server.hub import hub_of
from server.protocol.objects import session_json
from server.protocol.validation import WireModel, check_depth, validate
from server.requests import identify, read_object
from server.settings import Settings

__all__ = ["Lifetime", "make_secret", "router"]

router = APIRouter()

_DEFAULT_SECONDS = 600


class Lifetime(WireModel):
    """Of a secret, from when it was made."""

    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(_DEFAULT_SECONDS, ge=10, le=7200)


class _Body(WireModel):
    expires_after: Lifetime | None = None
    session: dict[str, Any] | None = None


@router.post("/v1/realtime/client_secrets")
async def create_client_secret(
    request: Request, identity: Annotated[Identity, Depends(identify)]
) -> dict[str, Any]:
    """A secret, bound to the session of the body: `{value, expires_at, session}`."""
    data = await read_object(request)
    try:
        if not check_depth(data):
            raise InvalidRequest("The body is nested too deeply.", code="invalid_value")
        body = validate(_Body, data)
        lifetime = body.expires_after or Lifetime()
        value, expires_at, session = make_secret(request, identity, body.session or {}, lifetime.seconds)
    except InvalidRequest as error:
        raise ApiError(400, error.message, code=error.code, param=error.param) from None
    return {"value": value, "expires_at": expires_at, "session": session}


def make_secret(
    request: Request, identity: Identity, session: dict[str, Any], seconds: int
) -> tuple[str, int, dict[str, Any]]:
    """A secret for that GA session, when it expires, and the effective session; raises `InvalidRequest`."""
    if identity.bound is not None:
        raise ApiError(
            403, "A client secret cannot make another one; use an API key.", code="invalid_api_key"
        )
    if not request.app.state.ready:
        raise ApiError(503, "The models are still loading.", code="not_ready", headers={"Retry-After": "1"})
    settings: Settings = request.app.state.settings
    secrets: ClientSecrets = request.app.state.client_secrets
    profile = choose_profile(request.query_params.get("profile"), settings.server.profile)
    session_type: SessionType = "transcription" if session.get("type") == "transcription" else "realtime"
    patch = patch_of(session, session_type, profile)
    config = hub_of(request.app).configure(session_type, profile, patch)
    try:
        value, expires_at = secrets.make(
            BoundSession(session_type, profile.name, identity.key_id, session), seconds
        )
    except SecretTooLongError as error:
        raise InvalidRequest(str(error), code="session_too_large", param="session") from None
    # No session exists yet, so there is none that could expire: as in the published example.
    return value, expires_at, session_json(new_id("sess"), config, 0, profile)
