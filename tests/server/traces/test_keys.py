"""Keys are shared by the servers of one Postgres: what one of them knows, all know soon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.keys.book import KeyBook
from server.keys.file import KeyFile
from server.keys.key import new_key
from server.keys.start import book_for
from server.settings import Settings
from server.traces.archive import Archive
from server.traces.database import Database, fixed
from server.traces.keys import StoredKeys


@pytest.fixture
async def archive(url: str) -> AsyncIterator[Archive]:
    archive = Archive(fixed(url))
    yield archive
    await archive.close()


async def test_keys_are_kept_and_a_revoked_one_never_comes_back(database: Database) -> None:
    stored = StoredKeys(database)
    ann, _ = new_key("ann", ["infer", "admin"])
    bob, _ = new_key("bob")
    await stored.keep([ann, bob])
    assert sorted(await stored.all(), key=lambda key: key.user) == [ann, bob]
    gone = ann.revoked()
    await stored.keep([gone, gone.revoked()])
    await stored.keep([ann])
    assert {key.id: key for key in await stored.all()} == {ann.id: gone, bob.id: bob}


async def test_servers_learn_of_each_other_s_keys(archive: Archive, tmp_path: Path) -> None:
    one, other = (KeyBook(KeyFile(tmp_path / name)) for name in ("one", "other"))
    key, secret = await one.create("ann", ["infer"])
    await one.share(archive)
    await other.share(archive)
    assert other.check(secret) == one.check(secret)
    # What another server told outlives the Postgres.
    assert KeyBook(KeyFile(tmp_path / "other")).check(secret) is not None
    KeyFile(tmp_path / "other").add([key.revoked()])
    other.refresh()
    await other.share(archive)
    await one.share(archive)
    assert one.check(secret) is None
    assert KeyBook(KeyFile(tmp_path / "one")).check(secret) is None


def test_a_fresh_machine_starts_with_the_keys_of_its_postgres(
    url: str, tmp_path: Path, bare_environment: Path
) -> None:
    import asyncio

    async def make() -> None:
        database = await Database.open(url)
        await StoredKeys(database).keep([new_key("ann")[0]])
        await database.close()

    asyncio.run(make())
    settings = Settings.load(home=tmp_path / "home", host="0.0.0.0", database_url=url)
    assert book_for(settings, [], network=True).usable
