"""Where shipped traces go: a Postgres, or another server's `/v1/ingest`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
import httpx

from server.traces.database import Address, Database
from server.traces.errors import AwayError, RefusedError
from server.traces.store import Store
from server.traces.trace import Trace

MAINTENANCE_SECONDS = 900.0


class Destination(Protocol):
    """Takes traces, also such as it has already."""

    async def send(self, traces: Sequence[Trace]) -> None:
        """Keep all of these for good. Raises `AwayError` to be asked again, or `RefusedError`."""

    async def tend(self) -> None:
        """Called now and then, also when nothing comes. Raises `AwayError`."""

    async def close(self) -> None: ...


class PostgresDestination:
    """A store. keep_days: whole days of traces to keep, None for all."""

    def __init__(self, address: Address, keep_days: int | None = None) -> None:
        self._address, self._keep_days = address, keep_days
        self._database: Database | None = None
        self._store: Store | None = None
        self._tended = float("-inf")

    async def send(self, traces: Sequence[Trace]) -> None:
        try:
            await (await self._open()).write(traces)
        except RefusedError:
            raise
        except (AwayError, asyncpg.PostgresError) as error:
            await self.close()
            raise AwayError(str(error)) from error

    async def tend(self) -> None:
        """Make tomorrow's partitions and drop those that are over, a few times an hour."""
        if time.monotonic() < self._tended + MAINTENANCE_SECONDS:
            return
        try:
            await (await self._open()).maintain(self._keep_days)
        except (AwayError, RefusedError, asyncpg.PostgresError) as error:
            await self.close()
            raise AwayError(str(error)) from error
        self._tended = time.monotonic()

    async def close(self) -> None:
        database, self._database, self._store = self._database, None, None
        if database is not None:
            await database.close()

    async def _open(self) -> Store:
        if self._store is None:
            self._database = await Database.open(await self._address(), connections=2)
            self._store = Store(self._database)
        return self._store


class HttpDestination:
    """Another server. A path that is left out is `/v1/ingest`; a password in the address is a key.

    So `https://:key@host` posts to `https://host/v1/ingest` with the key as a bearer token.
    """

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        path = parts.path if parts.path.strip("/") else "/v1/ingest"
        self.url = urlunsplit((parts.scheme, host, path, parts.query, ""))
        headers = {"content-type": "application/json"}
        if parts.password:
            headers["authorization"] = f"Bearer {unquote(parts.password)}"
        self._client = httpx.AsyncClient(headers=headers, timeout=30, transport=transport)

    async def send(self, traces: Sequence[Trace]) -> None:
        for trace in traces:
            await self._post(trace.record().to_json())

    async def tend(self) -> None:
        pass

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, body: bytes) -> None:
        try:
            answer = await self._client.post(self.url, content=body)
        except httpx.HTTPError as error:
            raise AwayError(f"{self.url}: {error or type(error).__name__}") from error
        if answer.is_success:
            return
        problem = f"{self.url} answered {answer.status_code}: {answer.text[:300]}"
        if answer.status_code in (400, 413, 422):
            raise RefusedError(problem)
        raise AwayError(problem)
