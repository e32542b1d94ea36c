"""A real Postgres, one for all these tests, with a database of its own for each."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from server.postgres.embedded import EmbeddedPostgres
from server.traces.database import Database
from server.traces.store import Store

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def open_home() -> Iterator[Path]:
    """A data folder with a short name, which other accounts may enter (pytest's own may not)."""
    home = Path(tempfile.mkdtemp(prefix="concordance-test-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder for one test, which other accounts may enter."""
    with tempfile.TemporaryDirectory(prefix="concordance-test-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield home


@pytest.fixture(scope="session")
def postgres(open_home: Path) -> Iterator[str]:
    """The address of a Postgres that runs."""
    server = EmbeddedPostgres(open_home)
    server.start()
    asyncio.run(_hurry(server.url))
    yield server.url
    server.stop()


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def _hurry(url: str) -> None:
    """Without waiting for the disk: no test pulls the plug of the machine."""
    await run(url, "alter system set fsync = off")
    await run(url, "select pg_reload_conf()")


async def _make_template(url: str) -> None:
    await run(url, "create database template_of_traces")
    database = await Database.open(address(url, "template_of_traces"), connections=1)
    await Store(database).maintain()
    await database.close()


def address(url: str, database: str) -> str:
    return url.replace("/postgres?", f"/{database}?")


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a database that is migrated already."""
    asyncio.run(_make_template(postgres))
    return "template_of_traces"


@pytest.fixture
async def url(postgres: str, template: str) -> AsyncIterator[str]:
    """The address of an empty database that is migrated."""
    name = f"test_{next(_numbers)}"
    await run(postgres, f"create database {name} template {template}")
    yield address(postgres, name)
    await run(postgres, f"drop database {name} with (force)")


@pytest.fixture
def looped(postgres: str, template: str) -> Iterator[tuple[asyncio.Runner, Store]]:
    """One database and one loop for hundreds of records: hypothesis makes them outside of any."""
    name = f"test_{next(_numbers)}"
    with asyncio.Runner() as runner:
        runner.run(run(postgres, f"create database {name} template {template}"))
        database = runner.run(Database.open(address(postgres, name), connections=1))
        try:
            yield runner, Store(database)
        finally:
            runner.run(database.close())
            runner.run(run(postgres, f"drop database {name} with (force)"))


@pytest.fixture
async def bare_url(postgres: str) -> AsyncIterator[str]:
    """The address of an empty database."""
    name = f"test_{next(_numbers)}"
    await run(postgres, f"create database {name}")
    yield address(postgres, name)
    await run(postgres, f"drop database {name} with (force)")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)
