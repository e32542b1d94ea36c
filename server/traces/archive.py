"""The stored traces as the server reads them: connected when first asked for, and again after."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import asyncpg

from server.traces.annotations import Annotations
from server.traces.database import Address, Database
from server.traces.errors import AwayError, TraceError
from server.traces.keys import StoredKeys
from server.traces.mods import StoredMods
from server.traces.search import Search
from server.traces.store import Store
from server.traces.tallies import Statistics

RETRY_SECONDS = 2.0
"""For so long a failure to connect is remembered, and told at once to whoever asks."""


class Shelves(NamedTuple):
    """What one database's traces are read and changed by."""

    store: Store
    search: Search
    annotations: Annotations
    statistics: Statistics
    mods: StoredMods
    keys: StoredKeys


class Archive:
    """What is read and annotated: one Postgres, connected to when somebody first asks."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._database: Database | None = None
        self._shelves: Shelves | None = None
        self._lock = asyncio.Lock()
        self._failed: tuple[float, str] | None = None

    @property
    def state(self) -> str:
        """`ok`, `not connected yet`, or why not, as of the last `check`."""
        if self._failed is not None:
            return self._failed[1]
        return "not connected yet" if self._shelves is None else "ok"

    async def shelves(self) -> Shelves:
        """Raises `AwayError`, also for a database that this server cannot work with."""
        if self._shelves is not None:
            return self._shelves
        async with self._lock:
            if self._shelves is None:
                self._shelves = await self._open()
        return self._shelves

    async def check(self) -> None:
        """Notice whether a database that is in use is still there; one that can be started by
        asking for its address is started again. Raises `AwayError`.

        Who reads keeps its connections: they find a Postgres that is back by themselves.
        """
        database = self._database
        if database is None:
            return
        async with self._lock:
            try:
                await self._revive(database)
            except (TraceError, asyncpg.PostgresError) as error:
                self._fail(error)
                raise AwayError(str(error)) from error
            self._failed = None

    async def close(self) -> None:
        if self._database is not None:
            await self._database.close()
        self._database = self._shelves = None

    async def _open(self) -> Shelves:
        if self._failed is not None and time.monotonic() < self._failed[0] + RETRY_SECONDS:
            raise AwayError(self._failed[1])
        try:
            self._database = await Database.open(await self._address(), connections=6)
        except TraceError as error:
            self._fail(error)
            raise AwayError(str(error)) from error
        self._failed = None
        store = Store(self._database)
        return Shelves(
            store,
            Search(self._database),
            Annotations(self._database, store),
            Statistics(self._database),
            StoredMods(self._database),
            StoredKeys(self._database),
        )

    async def _revive(self, database: Database) -> None:
        try:
            await database.row("alive")
        except AwayError as error:
            self._fail(error)
            await self._address()
            await database.row("alive")

    def _fail(self, error: Exception) -> None:
        self._failed = (time.monotonic(), str(error))
