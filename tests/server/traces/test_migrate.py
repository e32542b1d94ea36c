"""Migrations: from nothing, again, by two at once, and never from something unknown."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from server.traces import migrate as migrate_module
from server.traces.database import Database
from server.traces.errors import MigrationError
from server.traces.migrate import Migration, migrations
from tests.server.traces.conftest import run


async def migrated(url: str) -> list[int]:
    database = await Database.open(url, connections=2)
    async with database.connection() as connection:
        rows = await connection.fetch("select number from migrations order by number")
    await database.close()
    return [row["number"] for row in rows]


ALL = [migration.number for migration in migrations()]


async def test_an_empty_database_is_brought_up_and_then_left_alone(bare_url: str) -> None:
    assert await migrated(bare_url) == ALL
    assert await migrated(bare_url) == ALL


async def test_many_at_once_migrate_once(bare_url: str) -> None:
    assert await asyncio.gather(*(migrated(bare_url) for _ in range(5))) == [ALL] * 5


async def test_everything_lies_in_a_schema_of_its_own(bare_url: str) -> None:
    await migrated(bare_url)
    connection = await asyncpg.connect(bare_url)
    outside = await connection.fetch(
        "select relname from pg_class join pg_namespace n on n.oid = relnamespace"
        " where nspname = 'public'"
    )
    await connection.close()
    assert outside == []


async def test_a_migration_that_fails_leaves_nothing(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [*migrations(), Migration(len(ALL) + 1, "broken", "create table half (); select 1/0")]
    monkeypatch.setattr(migrate_module, "migrations", lambda: broken)
    with pytest.raises(Exception, match="division by zero"):
        await Database.open(bare_url)
    monkeypatch.undo()
    assert await migrated(bare_url) == ALL


async def test_a_database_of_a_newer_server_is_refused(url: str) -> None:
    await run(url, "insert into concordance.migrations values (99, 'future', 'x', now())")
    with pytest.raises(MigrationError, match=r"at migration 99, this server knows \d+: a newer"):
        await Database.open(url)


async def test_a_changed_migration_is_noticed(url: str) -> None:
    await run(url, "update concordance.migrations set digest = 'other' where number = 1")
    with pytest.raises(MigrationError, match=r"migration 1 .*never changed"):
        await Database.open(url)


def test_numbers_have_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    class Folder:
        def iterdir(self) -> list[Any]:
            file = type("F", (), {"name": "0002_x.sql", "read_text": lambda self, encoding: ""})
            return [file()]

    monkeypatch.setattr(migrate_module.resources, "files", lambda package: Folder())
    with pytest.raises(MigrationError, match="numbered"):
        migrations()
