"""One Postgres: its connections, our queries by name, and its errors in our words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from server.traces.errors import AwayError, MigrationError, RefusedError
from server.traces.migrate import SCHEMA, migrate
from server.traces.queries import queries

Address = Callable[[], Awaitable[str]]
"""Where a Postgres is, asked for before each time of connecting, so that it may be started first.
Raises `AwayError` while there is none."""

_AWAY = ("08", "25006", "40", "53", "55P03", "57", "58")
"""SQLSTATEs, or how they begin, that will pass: connections, deadlocks, room, shutdowns, disks."""
_REFUSED = ("22", "23", "54")
"""Those that are about what was sent: data, constraints, limits."""

_SESSION = {
    "search_path": f"{SCHEMA}, public",
    "application_name": "concordance",
    # Filters that are not given leave the plan, and the others are planned by their values.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # A page in the order of latencies reads rows from all over: what they cost one by one, not what
    # they would cost if each page of the table were read once and kept.
    "effective_cache_size": "16MB",
}


def fixed(url: str) -> Address:
    """The address of a Postgres that stays where it is."""

    async def address() -> str:
        return url

    return address


class Database:
    """Connections to one Postgres. Methods raise `AwayError` and `RefusedError`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, connections: int = 8, patience: float = 60) -> Database:
        """Connect, and migrate. url: `postgresql://…`, with `sslmode=` and the like for TLS.

        patience: seconds that one statement may take. Raises `AwayError` and `MigrationError`.
        """
        with _in_our_words():
            pool = await asyncpg.create_pool(
                url,
                min_size=0,  # asyncpg restores a floor by itself, and complains while it cannot
                max_size=connections,
                timeout=10,
                command_timeout=patience,
                server_settings=_SESSION,
            )
        database = cls(pool)
        try:
            async with database.connection() as connection:
                await migrate(connection)
        except asyncpg.PostgresError as error:
            await database.close()
            raise MigrationError(f"the database cannot be migrated: {error}") from error
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Close every connection, whether or not Postgres still answers."""
        self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        with _in_our_words():
            async with self._pool.acquire(timeout=10) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection in a transaction, which is undone if the block raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, name: str, *values: Any) -> Sequence[Any]:
        """The rows of a named query."""
        async with self.connection() as connection:
            rows: Sequence[Any] = await connection.fetch(queries()[name], *values)
            return rows

    async def row(self, name: str, *values: Any) -> Any | None:
        """The first row of a named query."""
        rows = await self.fetch(name, *values)
        return rows[0] if rows else None


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Postgres's errors that are not our mistakes, as ours."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state.startswith(_AWAY):
            raise AwayError(f"Postgres: {error}") from error
        if state.startswith(_REFUSED):
            raise RefusedError(f"Postgres: {error}") from error
        raise
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):
            raise RefusedError(f"Postgres: {error}") from error
        raise AwayError(f"Postgres: {error}") from error
    except (OSError, TimeoutError, asyncpg.InternalClientError) as error:
        # The last is asyncpg's, of a connection that broke while it was busy.
        raise AwayError(f"Postgres: {error or type(error).__name__}") from error
