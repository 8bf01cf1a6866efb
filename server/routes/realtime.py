"""`GET /v1/realtime`: the WebSocket endpoint."""

import logging

import orjson
from fastapi import APIRouter, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect

from pipeline.ids import new_id
from server.admission import RefusedError, admit
from server.auth import Authenticator
from server.connection import place, serve_session
from server.errors import ApiError
from server.hub import hub_of
from server.metrics import Metrics
from server.protocol.encoding import error_json
from server.settings import Settings

__all__ = ["router"]

log = logging.getLogger(__name__)

router = APIRouter()

_PROTOCOL = "realtime"  # the one subprotocol that we ever select: another would echo the client's key


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """One session per connection. Refusals come after the handshake, where browsers can read them."""
    authenticator: Authenticator = websocket.app.state.authenticator
    settings: Settings = websocket.app.state.settings
    if not authenticator.origin_allowed(websocket.headers.get("origin")):
        await websocket.send_denial_response(Response("This page may not use this server.", 403))
        return
    if "call_id" in websocket.query_params:  # there are no calls to join, and the wire says so before 101
        await websocket.send_denial_response(Response(status_code=404))
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=_PROTOCOL if _PROTOCOL in offered else None)
    try:
        try:
            admission = admit(
                websocket.query_params,
                websocket.headers,
                offered,
                authenticator=authenticator,
                hub=hub_of(websocket.app),
                default_profile=settings.server.profile,
            )
        except RefusedError as refused:
            counted: Metrics = websocket.app.state.metrics
            counted.admission_refused(refused.error.code or "none")
            await _turn_away(websocket, refused)
            return
        with place(websocket.app, admission):
            await serve_session(websocket, admission)
    except WebSocketDisconnect:
        log.debug("a client left during the handshake")


@router.get("/v1/realtime")
async def realtime_without_upgrade() -> None:
    """What a person sees who opens the address in a browser, or a client that sends plain HTTP."""
    raise ApiError(
        426,
        "This address is a WebSocket: connect with ws:// instead of http://, or wss:// instead of https://, "
        "for example through the realtime.connect() of an OpenAI SDK.",
        code="upgrade_required",
        headers={"Upgrade": "websocket"},
    )


async def _turn_away(websocket: WebSocket, refused: RefusedError) -> None:
    error = error_json(refused.error, None, refused.kind)
    event = {"type": "error", "event_id": new_id("event"), "error": error}
    await websocket.send_text(orjson.dumps(event).decode())
    await websocket.close(refused.close_code, f"{refused.kind}.{refused.error.code}")
