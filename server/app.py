"""Puts the application together: settings, engines, routes, and what happens when it starts and ends."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipeline.detection import SpeechDetector
from pipeline.judging import TurnJudge
from providers.registry import Registry
from providers.router import RouterProvider
from providers.routing.routers import Routers
from server.auth import Authenticator
from server.client_secrets import ClientSecrets, deployment_key
from server.errors import install_error_handlers
from server.hub import Hub
from server.metrics import Metrics
from server.quotas import Quotas
from server.router_book import RouterBook
from server.router_store import RouterStore, RouterStoreError
from server.routes import beta_sessions, client_secrets, inworld, realtime, routers, status, voices
from server.routes import metrics as metrics_route
from server.settings import Settings
from server.startup import ROUTERS, Prepared, StartupError, log_choices, prepare
from server.traces import Traces
from server.version import VERSION
from server.voices import VoiceLists

__all__ = ["create_app"]


def create_app(settings: Settings, prepared: Prepared | None = None) -> FastAPI:
    """The ASGI application. `app.state` has settings, registry, authenticator and ready.

    Without `prepared` the lifespan loads and warms the engines itself, and raises `StartupError` when it
    cannot. In either case the application closes the registry and the toolbox when it ends.
    """

    metrics = Metrics()
    quotas = Quotas(settings.server.quotas, on_refused=metrics.quota_refused)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ready = prepared
        if ready is None:
            ready = await prepare(settings, os.environ)
            log_choices(ready)
        app.state.registry = ready.registry
        try:
            with Traces(settings.log, metrics.span_dropped) as traces:
                async with (
                    _routers(settings, ready.registry) as book,
                    SpeechDetector(ready.registry.vad()) as detector,
                ):
                    with TurnJudge(ready.registry.turn()) as judge:
                        app.state.router_book = book
                        app.state.traces = traces
                        app.state.voices = VoiceLists(ready.registry)
                        app.state.hub = Hub(settings, ready.registry, detector, quotas, judge, ready.toolbox)
                        app.state.ready = True
                        yield
        finally:
            app.state.ready = False
            await ready.toolbox.aclose()
            await ready.registry.aclose()

    app = FastAPI(
        title="OpenParley",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    keys = settings.server.api_keys
    app.state.client_secrets = ClientSecrets(deployment_key(settings.server.secret, keys))
    app.state.authenticator = Authenticator(keys, app.state.client_secrets, settings.server.allowed_origins)
    app.state.ready = False
    install_error_handlers(app)
    app.include_router(status.router)
    app.include_router(metrics_route.router)
    app.include_router(realtime.router)
    app.include_router(inworld.router)
    app.include_router(client_secrets.router)
    app.include_router(beta_sessions.router)
    app.include_router(routers.router)
    app.include_router(voices.router)
    return app


@asynccontextmanager
async def _routers(settings: Settings, registry: Registry) -> AsyncIterator[RouterBook]:
    """The routers as clients manage them. Raises `StartupError` for a file that cannot be used."""
    provider = registry.providers.get(ROUTERS)
    known = provider.routers if isinstance(provider, RouterProvider) else Routers()
    book = RouterBook(known, settings.routers, RouterStore(settings.router_db))
    try:
        await book.open()
        yield book
    except RouterStoreError as error:
        raise StartupError(f"router_db: {error}") from error
    finally:
        await book.aclose()
