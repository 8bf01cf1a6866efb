"""One connection that was let in: its place among the others, and its session from beginning to end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI, WebSocket

from server.admission import Admission
from server.hub import hub_of
from server.metrics import Metrics
from server.protocol.decoding import Decoder
from server.protocol.encoding import Encoder
from server.settings import Settings
from server.traces import Traces
from server.transports.websocket import WebSocketPeer

__all__ = ["place", "serve_session"]

log = logging.getLogger(__name__)


@contextmanager
def place(app: FastAPI, admission: Admission) -> Iterator[None]:
    """Count a connection while it lasts. Between the admission and this nothing may be awaited."""
    hub = hub_of(app)
    metrics: Metrics = app.state.metrics
    kinds = admission.dialect.name, admission.profile.name, admission.config.type
    with hub, hub.quotas.of(admission.identity.key_id), metrics.session(*kinds):
        yield


async def serve_session(
    websocket: WebSocket, admission: Admission, *, ping_every: float | None = None
) -> None:
    """Talk to a client that has its place, over an accepted socket, until it leaves or is made to.

    `ping_every` is in seconds; None: it is sent no pings.
    """
    app = websocket.app
    settings: Settings = app.state.settings
    metrics: Metrics = app.state.metrics
    traces: Traces = app.state.traces
    hub, limits = hub_of(app), settings.server.limits
    config, profile, dialect = admission.config, admission.profile, admission.dialect
    quota = hub.quotas.of(admission.identity.key_id)
    async with hub.new_session(config, profile, quota) as session:
        session.watch(metrics)
        named = f", key {admission.key}" if admission.key else ""
        log.info(
            "session %s begins: %s, %s, %s, %s%s",
            session.id,
            config.type,
            config.model,
            profile.name,
            dialect.name,
            named,
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
            ping_every=ping_every,
        )
        with traces.watching(session):
            ending = await peer.serve(session)
    metrics.session_ended(ending)
    log.info("session %s ends", session.id)
