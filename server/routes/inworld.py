"""`GET /api/v1/realtime/session`: the WebSocket endpoint as Inworld's service has it.

The session behind it is the same as at `/v1/realtime`. The ways to be let in differ, refusals are HTTP
answers before the upgrade, and clients are sent pings.
"""

import logging
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from server.admission import RefusedError, admit_inworld
from server.auth import CREDENTIAL_PREFIXES, Authenticator
from server.connection import place, serve_session
from server.errors import ApiError, error_body
from server.hub import hub_of
from server.metrics import Metrics
from server.protocol import pings

__all__ = ["router"]

log = logging.getLogger(__name__)

router = APIRouter()

PATH = "/api/v1/realtime/session"

_PROTOCOL = "realtime"


@router.websocket(PATH)
async def session(websocket: WebSocket) -> None:
    """One session per connection."""
    authenticator: Authenticator = websocket.app.state.authenticator
    metrics: Metrics = websocket.app.state.metrics
    if not authenticator.origin_allowed(websocket.headers.get("origin")):
        await _refuse(websocket, 403, "This page may not use this server.", "origin_not_allowed")
        return
    offered = websocket.scope.get("subprotocols", [])
    try:
        admission = admit_inworld(
            websocket.query_params.multi_items(),
            websocket.headers,
            offered,
            authenticator=authenticator,
            hub=hub_of(websocket.app),
        )
    except RefusedError as refused:
        metrics.admission_refused(refused.error.code or "none")
        error = refused.error
        await _refuse(websocket, refused.status, error.message, error.code, error.param, refused.kind)
        return
    with place(websocket.app, admission):
        try:
            await websocket.accept(subprotocol=_selected(offered))
            await serve_session(websocket, admission, ping_every=pings.PING_EVERY_S)
        except WebSocketDisconnect:
            log.debug("a client left during the handshake")


@router.get(PATH)
async def session_without_upgrade() -> None:
    """What a person sees who opens the address in a browser, or a client that sends plain HTTP."""
    raise ApiError(
        426,
        "This address is a WebSocket: connect with ws:// instead of http://, or wss:// instead of https://.",
        code="upgrade_required",
        headers={"Upgrade": "websocket"},
    )


def _selected(offered: Sequence[str]) -> str | None:
    """The subprotocol to answer with. One that is a key is only selected where there is no other.

    Clients in Node.js that offer some give up when none is selected, and Inworld's samples offer just this.
    """
    if _PROTOCOL in offered:
        return _PROTOCOL
    return next((name for name in offered if name.startswith(CREDENTIAL_PREFIXES)), None)


async def _refuse(
    websocket: WebSocket,
    status: int,
    message: str,
    code: str | None,
    param: str | None = None,
    kind: str | None = None,
) -> None:
    """Answer the handshake with an error instead of an upgrade."""
    body = error_body(status, message, code, param)
    if kind is not None:
        body["error"]["type"] = kind
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="openparley", Bearer'
    elif status in (429, 503):
        headers["Retry-After"] = "1"
    await websocket.send_denial_response(JSONResponse(body, status, headers))
