"""`GET /v1/realtime`: the WebSocket endpoint."""

import logging

import orjson
from fastapi import APIRouter, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect

from pipeline.ids import new_id
from server.admission import Admission, RefusedError, admit
from server.auth import Authenticator
from server.errors import ApiError
from server.hub import hub_of
from server.metrics import Metrics
from server.protocol.decoding import Decoder
from server.protocol.encoding import Encoder, error_json
from server.settings import Settings
from server.traces import Traces
from server.transports.websocket import WebSocketPeer

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
        await _serve(websocket, admission, settings)
    except WebSocketDisconnect:
        log.debug("a client left during the handshake")


async def _serve(websocket: WebSocket, admission: Admission, settings: Settings) -> None:
    limits, profile, config = settings.server.limits, admission.profile, admission.config
    dialect = admission.dialect
    hub = hub_of(websocket.app)
    quota = hub.quotas.of(admission.identity.key_id)
    metrics: Metrics = websocket.app.state.metrics
    traces: Traces = websocket.app.state.traces
    with hub, quota, metrics.session(dialect.name, profile.name, config.type):
        async with hub.new_session(config, profile, quota) as session:
            session.watch(metrics)
            log.info(
                "session %s begins: %s, %s, %s, %s",
                session.id,
                config.type,
                config.model,
                profile.name,
                dialect.name,
            )
            peer = WebSocketPeer(
                websocket,
                Encoder(session.id, hub.expiry(), profile, dialect),
                Decoder(
                    max_append_bytes=limits.max_append_bytes,
                    max_item_bytes=limits.max_item_bytes,
                    profile=profile,
                    dialect=dialect,
                    session_type=config.type,
                    on_ignored=lambda _: metrics.ignored_member(),
                ),
                max_outbox_bytes=limits.max_outbox_bytes,
                events_per_second=limits.events_per_second,
                lifetime=limits.session_seconds,
                idle=limits.idle_seconds,
            )
            with traces.watching(session):
                ending = await peer.serve(session)
        metrics.session_ended(ending)
    log.info("session %s ends", session.id)


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
