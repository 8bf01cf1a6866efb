"""`GET /v1/realtime`: the WebSocket endpoint, and who is let in."""

import logging

import orjson
from fastapi import APIRouter, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect

from pipeline.errors import InvalidRequest
from pipeline.ids import new_id
from providers.errors import UnknownModelError
from server.auth import Authenticator
from server.errors import ApiError
from server.hub import hub_of
from server.protocol.decoding import Decoder
from server.protocol.encoding import Encoder, error_json
from server.settings import Settings
from server.transports.websocket import WebSocketPeer

__all__ = ["router"]

log = logging.getLogger(__name__)

router = APIRouter()

_PROTOCOL = "realtime"  # the one subprotocol that we ever select: another would echo the client's key
_BAD_KEY, _BAD_REQUEST, _TRY_LATER = 3000, 4000, 1013  # close codes, as on the wire


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket) -> None:
    """One session per connection. Refusals come after the handshake, where browsers can read them."""
    authenticator: Authenticator = websocket.app.state.authenticator
    settings: Settings = websocket.app.state.settings
    if not authenticator.origin_allowed(websocket.headers.get("origin")):
        await websocket.send_denial_response(Response("This page may not use this server.", 403))
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=_PROTOCOL if _PROTOCOL in offered else None)
    try:
        if not authenticator.authenticate(websocket.headers, offered):
            error = InvalidRequest("Incorrect or missing API key.", code="invalid_api_key")
            await _turn_away(websocket, error, _BAD_KEY)
            return
        hub = hub_of(websocket.app)
        if hub.is_full:
            error = InvalidRequest(
                "The server has no room for another session.", code="session_limit_reached"
            )
            await _turn_away(websocket, error, _TRY_LATER, kind="server_error")
            return
        try:
            model = hub.resolve_model(websocket.query_params.get("model", ""))
        except UnknownModelError as unknown:
            error = InvalidRequest(str(unknown), code="model_not_found", param="model")
            await _turn_away(websocket, error, _BAD_REQUEST)
            return
        limits = settings.server.limits
        with hub:
            async with hub.new_session(model) as session:
                log.info("session %s begins with %s", session.id, model)
                peer = WebSocketPeer(
                    websocket,
                    Encoder(session.id, hub.expiry()),
                    Decoder(max_append_bytes=limits.max_append_bytes, max_item_bytes=limits.max_item_bytes),
                    max_outbox_bytes=limits.max_outbox_bytes,
                    events_per_second=limits.events_per_second,
                    lifetime=limits.session_seconds,
                )
                await peer.serve(session)
        log.info("session %s ends", session.id)
    except WebSocketDisconnect:
        log.debug("a client left during the handshake")


@router.get("/v1/realtime")
async def realtime_without_upgrade() -> None:
    """What a person sees who opens the address in a browser, or a client that sends plain HTTP."""
    raise ApiError(
        426,
        "This address is a WebSocket: connect with ws:// instead of http://, for example through the "
        "realtime.connect() of an OpenAI SDK.",
        code="upgrade_required",
        headers={"Upgrade": "websocket"},
    )


async def _turn_away(
    websocket: WebSocket, error: InvalidRequest, code: int, *, kind: str = "invalid_request_error"
) -> None:
    event = {"type": "error", "event_id": new_id("event"), "error": error_json(error, None, kind)}
    await websocket.send_text(orjson.dumps(event).decode())
    await websocket.close(code, f"{kind}.{error.code}")
