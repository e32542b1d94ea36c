"""Brings a database to the schema that this server knows, once, whoever else tries at the time."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import Any, NamedTuple

from server.traces.errors import MigrationError

SCHEMA = "concordance"
"""Everything of ours is in here; a connection finds it by its search path."""

OLDEST = 14
"""The oldest major version of Postgres that understands the migrations."""


class Migration(NamedTuple):
    """digest: sha256 of the file, by which a change to a released one is noticed."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The files `NNNN_name.sql`, in order. Raises `MigrationError` where a number is missing."""
    folder = resources.files("server.traces.migrations")
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        named = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if named is not None:
            found.append(Migration(int(named[1]), named[2], file.read_text("utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations must be numbered 1, 2, 3, …; these are {numbers}")
    return found


async def migrate(connection: Any) -> int:
    """Run what is missing, in one transaction. Returns how many ran. Raises `MigrationError`."""
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise MigrationError(f"Postgres {version.major} is too old; {OLDEST} or newer is needed")
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext('concordance.migrate'))")
        await connection.execute(f"create schema if not exists {SCHEMA}")
        await connection.execute(
            "create table if not exists migrations (number integer primary key, name text not null,"
            " digest text not null, applied_at timestamptz not null default now())"
        )
        applied = await connection.fetch("select number, name, digest from migrations")
        missing = _missing(migrations(), {row["number"]: row for row in applied})
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migrations (number, name, digest) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.digest,
            )
    return len(missing)


def _missing(known: list[Migration], applied: dict[int, Any]) -> list[Migration]:
    if len(applied) > len(known):
        raise MigrationError(
            f"the database is at migration {max(applied)}, this server knows {len(known)}:"
            " a newer server was here, so use one that is as new"
        )
    for migration in known[: len(applied)]:
        row = applied.get(migration.number)
        if row is None or row["digest"] != migration.digest:
            raise MigrationError(
                f"migration {migration.number} ({migration.name}) is not the one that this"
                " database was made with; a released migration is never changed"
            )
    return known[len(applied) :]
