"""What operators and clients ask before they talk: `/health`, `/ready`, `/v1/models`."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from providers.registry import Registry
from server.errors import ApiError
from server.requests import identify

__all__ = ["router"]

# OpenAI's list gives each model a date; ours have none, and clients only want a number.
CREATED = 1735689600  # 2025-01-01

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Alive: the process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether new sessions are welcome: 503 until the models are warm, and again while shutting down."""
    if request.app.state.ready:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready"}, 503, {"Retry-After": "1"})


@router.get("/v1/models", dependencies=[Depends(identify)])
async def models(request: Request) -> dict[str, Any]:
    """Every name that a session may use, in the shape of OpenAI's list plus `kind`, as in ModelInfo."""
    entries: dict[str, dict[str, Any]] = {}
    for name, kind in _registry(request).models():
        entries.setdefault(name, _entry(name, kind))
    return {"object": "list", "data": list(entries.values())}


@router.get("/v1/models/{name:path}", dependencies=[Depends(identify)])
async def model(request: Request, name: str) -> dict[str, Any]:
    """One entry of the list."""
    for listed, kind in _registry(request).models():
        if listed == name:
            return _entry(name, kind)
    raise ApiError(404, f"The model '{name[:100]}' does not exist.", code="model_not_found", param="model")


def _registry(request: Request) -> Registry:
    if not request.app.state.ready:
        raise ApiError(503, "The models are still loading.", code="not_ready", headers={"Retry-After": "1"})
    registry: Registry = request.app.state.registry
    return registry


def _entry(name: str, kind: str) -> dict[str, Any]:
    owner = name.partition("/")[0] if "/" in name else "openparley"
    return {"id": name, "object": "model", "created": CREATED, "owned_by": owner, "kind": kind}
