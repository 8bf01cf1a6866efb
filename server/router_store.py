"""Keeps routers that were made over REST in a SQLite file; all of its work is done in one thread."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

__all__ = ["RouterStore", "RouterStoreError", "StoredRouter"]

VERSION = 1  # of the tables, as `PRAGMA user_version`
BUSY_SECONDS = 5.0  # for another process that writes

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class RouterStoreError(Exception):
    """The file cannot be read or written; says why."""


@dataclass(frozen=True, slots=True)
class StoredRouter:
    """One router as its author wrote it. Times are RFC 3339 in UTC."""

    id: str
    data: dict[str, Any]
    created: str
    updated: str


class RouterStore:
    """All methods raise `RouterStoreError`. Without a path nothing outlives the object."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router-store")

    async def load(self) -> list[StoredRouter]:
        """Everything that is stored, by id; creates the file where there is none. To be called first."""
        return await self._in_thread(self._load)

    async def put(self, router: StoredRouter) -> None:
        """Add a router, or replace the one of that id."""

        def write() -> None:
            with self._opened() as database:
                database.execute(
                    "INSERT OR REPLACE INTO routers (id, data, created, updated) VALUES (?, ?, ?, ?)",
                    (router.id, orjson.dumps(router.data).decode(), router.created, router.updated),
                )

        await self._in_thread(write)

    async def delete(self, router_id: str) -> None:
        """Forget a router; nothing happens when there is none."""

        def write() -> None:
            with self._opened() as database:
                database.execute("DELETE FROM routers WHERE id = ?", (router_id,))

        await self._in_thread(write)

    async def aclose(self) -> None:
        """Close the file once everything is written."""

        def close() -> None:
            if self._database is not None:
                self._database.close()
                self._database = None

        await self._in_thread(close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        try:
            # What was begun is finished even when its caller is gone: a write is never left half done.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            raise RouterStoreError(f"routers cannot be kept in {self._path or 'memory'}: {error}") from error

    def _load(self) -> list[StoredRouter]:
        with self._opened() as database:
            rows = database.execute("SELECT id, data, created, updated FROM routers ORDER BY id").fetchall()
        found = []
        for router_id, data, created, updated in rows:
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                log.warning("router '%s' is not readable in %s and is left out", router_id, self._path)
                continue
            found.append(StoredRouter(router_id, value, created, updated))
        return found

    def _opened(self) -> sqlite3.Connection:
        """The database; as a context it is a transaction."""
        if self._database is None:
            database = sqlite3.connect(self._path or ":memory:", timeout=BUSY_SECONDS)
            try:
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version > VERSION:
                    raise sqlite3.DatabaseError(
                        f"it is of version {version}, and this server knows {VERSION}"
                    )
                database.execute("PRAGMA journal_mode = WAL")
                with database:
                    database.execute(
                        "CREATE TABLE IF NOT EXISTS routers (id TEXT PRIMARY KEY, data TEXT NOT NULL,"
                        " created TEXT NOT NULL, updated TEXT NOT NULL) WITHOUT ROWID"
                    )
                    database.execute(f"PRAGMA user_version = {VERSION}")
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database
