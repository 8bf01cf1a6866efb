"""`/router/v1/routers`: routers made, listed, changed and removed by clients, as Inworld's service has it.

A change is done when it is answered; it is told as a long-running operation nevertheless, which clients of
that service look for, and may ask for again at `/lro/v1alpha/<operation>`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from server.auth import Identity
from server.errors import ApiError
from server.requests import identify, read_object
from server.router_book import RouterBook
from server.router_store import RouterStoreError

__all__ = ["router"]


def _book(request: Request, identity: Annotated[Identity, Depends(identify)]) -> RouterBook:
    """The routers of this server, for who has an API key, where there are any."""
    if identity.bound is not None:
        raise ApiError(403, "A client secret cannot manage routers; use an API key.", code="invalid_api_key")
    if not request.app.state.ready:
        raise ApiError(503, "The models are still loading.", code="not_ready", headers={"Retry-After": "1"})
    book = request.app.state.router_book
    assert isinstance(book, RouterBook)
    return book


router = APIRouter()

_Json = dict[str, Any]
_Book = Annotated[RouterBook, Depends(_book)]
_PageSize = Annotated[int | None, Query(ge=0)]
_Text = Annotated[str | None, Query(max_length=2000)]


@router.post("/router/v1/routers")
async def create_router(request: Request, book: _Book) -> _Json:
    """An operation whose `response` is the new router."""
    body = _unwrapped(await read_object(request))
    with _StoreFailure():
        return await book.create(body)


@router.get("/router/v1/routers")
async def list_routers(
    book: _Book,
    page_size: _PageSize = None,
    page_token: _Text = None,
    page_size_camel: Annotated[int | None, Query(ge=0, alias="pageSize")] = None,
    page_token_camel: Annotated[str | None, Query(max_length=2000, alias="pageToken")] = None,
) -> _Json:
    """`{routers, nextPageToken}`, by id; the token is empty at the end."""
    size = page_size or page_size_camel or 50
    routers, token = book.page(size, page_token or page_token_camel or "")
    return {"routers": routers, "nextPageToken": token}


@router.get("/router/v1/routers/{router_id}")
async def get_router(router_id: str, book: _Book) -> _Json:
    """One router."""
    return book.get(router_id)


@router.patch("/router/v1/routers/{router_id}")
async def update_router(
    request: Request,
    router_id: str,
    book: _Book,
    update_mask: _Text = None,
    update_mask_camel: Annotated[str | None, Query(max_length=2000, alias="updateMask")] = None,
) -> _Json:
    """An operation whose `response` is the changed router."""
    body = _unwrapped(await read_object(request))
    mask = body.pop("update_mask", None) or body.pop("updateMask", None)
    if mask is not None and not isinstance(mask, str):
        raise ApiError(
            400, "update_mask: names with commas between them.", code="invalid_type", param="update_mask"
        )
    with _StoreFailure():
        return await book.update(router_id, body, update_mask or update_mask_camel or mask)


@router.delete("/router/v1/routers/{router_id}")
async def delete_router(router_id: str, book: _Book) -> _Json:
    """An operation whose `response` is empty."""
    with _StoreFailure():
        return await book.delete(router_id)


@router.get("/lro/v1alpha/{operation:path}")
async def get_operation(operation: str, book: _Book) -> _Json:
    """`{name, metadata, done, response}` of a change that was made since the server started."""
    return book.operation(operation)


class _StoreFailure:
    """What clients are told when a change cannot be kept: nothing has changed then."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, RouterStoreError):
            raise ApiError(503, "The router could not be stored.", code="storage_failed") from error


def _unwrapped(body: _Json) -> _Json:
    """The resource; some clients put it into an object of its own."""
    inner = body.get("router")
    if not isinstance(inner, dict):
        return body
    mask = {key: value for key, value in body.items() if key in ("update_mask", "updateMask")}
    return {**inner, **mask}
