"""The routers of a server as clients manage them: their own, and those of the settings, which are fixed."""

import asyncio
import copy
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from providers.routing.definition import DefinitionError, RouterDefinition, parse_definition
from providers.routing.routers import Routers
from server.errors import ApiError
from server.protocol.validation import check_depth
from server.router_store import RouterStore, StoredRouter

__all__ = ["RouterBook"]

MAX_ROUTERS = 1000
MAX_BYTES = 64 * 1024  # of one definition
MAX_OPERATIONS = 1000  # that can still be asked for; the oldest are forgotten
MAX_PAGE = 1000

# The resource mixes two conventions; its outermost members are kept in one spelling.
_OUTER = {"display_name": "displayName", "default_route": "defaultRoute"}
_READ_ONLY = ("createTime", "updateTime", "create_time", "update_time")

log = logging.getLogger(__name__)

_Json = dict[str, Any]


class RouterBook:
    """Errors are `ApiError`s, ready for a client. One task at a time changes anything."""

    def __init__(self, routers: Routers, fixed: Mapping[str, _Json], store: RouterStore) -> None:
        self._routers = routers
        self._fixed = {name: dict(data) for name, data in fixed.items()}
        self._store = store
        self._stored: dict[str, StoredRouter] = {}
        self._operations: OrderedDict[str, _Json] = OrderedDict()
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Read everything. Raises `DefinitionError` for the settings, `RouterStoreError` for the file."""
        for name, data in self._fixed.items():
            self._routers.put(await asyncio.to_thread(parse_definition, data, name=name))
        for stored in await self._store.load():
            if stored.id in self._fixed:
                log.warning("router '%s' is in the settings too; the stored one is not used", stored.id)
                continue
            try:
                definition = await asyncio.to_thread(parse_definition, stored.data, name=stored.id)
            except DefinitionError as error:
                log.warning("router '%s' cannot be used and is left out: %s", stored.id, error)
                continue
            self._routers.put(definition)
            self._stored[stored.id] = stored

    async def aclose(self) -> None:
        """Close the file."""
        await self._store.aclose()

    def get(self, router_id: str) -> _Json:
        """The resource of one router."""
        if router_id in self._fixed:
            return _resource(router_id, self._fixed[router_id])
        if router_id in self._stored:
            return _stored_resource(self._stored[router_id])
        raise ApiError(404, f"There is no router '{router_id[:100]}'.", code="router_not_found", param="name")

    def page(self, size: int, after: str) -> tuple[list[_Json], str]:
        """Routers by id, at most `size` of those behind `after`, and where to go on: empty at the end."""
        size = min(size, MAX_PAGE)
        ids = sorted(name for name in (*self._fixed, *self._stored) if name > after)
        listed = [self.get(name) for name in ids[:size]]
        return listed, ids[size - 1] if len(ids) > size else ""

    def operation(self, name: str) -> _Json:
        """What became of a change."""
        try:
            return self._operations[name]
        except KeyError:
            raise ApiError(
                404, f"There is no operation '{name[:100]}'.", code="operation_not_found"
            ) from None

    async def create(self, data: _Json) -> _Json:
        """The finished operation of making a router."""
        data = _outer(data)
        async with self._lock:
            if len(self._stored) >= MAX_ROUTERS:
                raise ApiError(400, f"There are {MAX_ROUTERS} routers already.", code="router_limit_reached")
            name = data.get("name") or self._new_id(data.get("displayName"))
            if not isinstance(name, str):
                raise ApiError(400, "name: must be text.", code="invalid_value", param="name")
            router_id = name.removeprefix("routers/")
            if router_id in self._fixed or router_id in self._stored:
                message = f"There is already a router '{router_id[:100]}'."
                raise ApiError(409, message, code="router_exists", param="name")
            definition = await _checked(data, router_id)
            now = _now()
            return await self._keep("create", definition, StoredRouter(router_id, data, now, now))

    async def update(self, router_id: str, changes: _Json, mask: str | None) -> _Json:
        """The finished operation of changing what `mask` names, or without it what `changes` has."""
        async with self._lock:
            old = self._own(router_id)
            paths = [path.strip() for path in (mask or "").split(",") if path.strip()]
            data = _changed(old.data, _outer(changes), paths)
            definition = await _checked(data, router_id)
            return await self._keep("update", definition, StoredRouter(router_id, data, old.created, _now()))

    async def delete(self, router_id: str) -> _Json:
        """The finished operation of removing a router."""
        async with self._lock:
            self._own(router_id)
            await self._store.delete(router_id)
            del self._stored[router_id]
            self._routers.remove(router_id)
            return self._done("delete", router_id, {})

    def _own(self, router_id: str) -> StoredRouter:
        if router_id in self._fixed:
            raise ApiError(
                409,
                f"The router '{router_id}' is in the server's settings and can only be changed there.",
                code="router_is_fixed",
                param="name",
            )
        self.get(router_id)
        return self._stored[router_id]

    async def _keep(self, verb: str, definition: RouterDefinition, stored: StoredRouter) -> _Json:
        await self._store.put(stored)
        self._stored[stored.id] = stored
        await asyncio.to_thread(self._routers.put, definition)
        return self._done(verb, stored.id, _stored_resource(stored))

    def _done(self, verb: str, router_id: str, response: _Json) -> _Json:
        name = f"operations/{secrets.token_hex(12)}"
        metadata = {"verb": verb, "target": f"routers/{router_id}"}
        operation = {"name": name, "metadata": metadata, "done": True, "response": response}
        self._operations[name] = operation
        if len(self._operations) > MAX_OPERATIONS:
            self._operations.popitem(last=False)
        return operation

    def _new_id(self, display_name: Any) -> str:
        """An id for a router without one, made of its display name where that can be."""
        text = display_name.lower() if isinstance(display_name, str) else ""
        wanted = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:50].strip("-")
        if wanted and wanted not in self._stored and wanted not in self._fixed:
            return wanted
        return f"{wanted or 'router'}-{secrets.token_hex(4)}"


async def _checked(data: _Json, router_id: str) -> RouterDefinition:
    if not check_depth(data):
        raise ApiError(400, "The router is nested too deeply.", code="invalid_value")
    if len(orjson.dumps(data)) > MAX_BYTES:
        raise ApiError(400, f"A router may have {MAX_BYTES} bytes.", code="router_too_large")
    try:
        return await asyncio.to_thread(parse_definition, data, name=router_id)
    except DefinitionError as error:
        raise ApiError(400, f"{error}.", code="invalid_value", param=error.field or None) from None


def _changed(old: _Json, changes: _Json, paths: list[str]) -> _Json:
    """`old` with some members taken from `changes`: those of the paths, or without any all that it has."""
    changes.pop("name", None)
    data = copy.deepcopy(old)
    if not paths:
        return {**data, **changes}
    for path in ("*",) if "*" in paths else paths:
        if path == "*":
            return {"name": data.get("name", ""), **changes}
        steps = path.split(".")
        steps[0] = _OUTER.get(steps[0], steps[0])
        if steps[0] in ("name", *_READ_ONLY) or len(steps) > 8 or not all(steps):
            raise ApiError(
                400,
                f"update_mask: '{path[:100]}' cannot be changed.",
                code="invalid_value",
                param="update_mask",
            )
        _copy_member(data, changes, steps, path)
    return data


def _copy_member(target: _Json, source: Any, steps: list[str], path: str) -> None:
    """One member from one object into another; it is removed where the source does not have it."""
    for step in steps[:-1]:
        source = _member(source, step)
        inner = _member(target, step)
        if inner is None:
            inner = target[step] = {}
        if not isinstance(inner, dict):
            raise ApiError(
                400,
                f"update_mask: '{path[:100]}' leads through a list or a value; name the whole of it.",
                code="invalid_value",
                param="update_mask",
            )
        target = inner
    last = steps[-1]
    value = _member(source, last)
    for spelling in _spellings(last):
        target.pop(spelling, None)
    if value is not None:
        target[last] = value


def _member(data: Any, name: str) -> Any:
    if not isinstance(data, dict):
        return None
    return next((data[spelling] for spelling in _spellings(name) if spelling in data), None)


def _spellings(name: str) -> tuple[str, str]:
    camel = re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)
    return snake, camel


def _outer(data: _Json) -> _Json:
    return {_OUTER.get(key, key): value for key, value in data.items() if key not in _READ_ONLY}


def _resource(router_id: str, data: _Json) -> _Json:
    return {**_outer(data), "name": f"routers/{router_id}"}


def _stored_resource(stored: StoredRouter) -> _Json:
    times = {"createTime": stored.created, "updateTime": stored.updated}
    return _resource(stored.id, stored.data) | times


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
