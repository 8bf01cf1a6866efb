"""`GET /metrics`: what Prometheus collects."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from server.auth import Identity
from server.errors import ApiError
from server.metrics import CONTENT_TYPE, Metrics
from server.requests import identify

__all__ = ["router"]

router = APIRouter()


@router.get("/metrics")
async def metrics(request: Request, identity: Annotated[Identity, Depends(identify)]) -> Response:
    """All metrics of this process, for who has an API key, where there are any."""
    if identity.bound is not None:
        raise ApiError(403, "A client secret cannot read metrics; use an API key.", code="invalid_api_key")
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), media_type=CONTENT_TYPE)
