"""Registered mods outlive the server: what was kept is there after all connections are gone."""

from __future__ import annotations

from mods.runtime.package import Package
from server.traces.database import Database
from server.traces.mods import StoredMods

SOURCE = '''from mods.sdk import mod

@mod
def calm(event, actions):
    """Says nothing, "quietly" \\x00 and über."""
'''


async def test_mods_and_helper_modules_survive(url: str) -> None:
    database = await Database.open(url)
    kept = StoredMods(database)
    calm = Package.from_source(SOURCE)
    other = Package.from_source(SOURCE, name="other", description="a\x00b")
    await kept.keep("ann", calm)
    await kept.keep("bob", other)
    await kept.keep_shared("ann", {"a.py": "X = 1\n", "b.py": "Y = 2\n"})
    await kept.keep_shared("ann", {"a.py": "X = 3\n"})
    await database.close()
    database = await Database.open(url)
    kept = StoredMods(database)
    assert [(mod.owner, mod.package) for mod in await kept.all()] == [("ann", calm), ("bob", other)]
    assert await kept.all_shared() == {"ann": {"a.py": "X = 3\n", "b.py": "Y = 2\n"}}
    await database.close()


async def test_a_mod_is_replaced_and_forgotten(database: Database) -> None:
    kept = StoredMods(database)
    await kept.keep("ann", Package.from_source(SOURCE))
    newer = Package.from_source(SOURCE, description="newer")
    await kept.keep("ann", newer)
    assert [mod.package for mod in await kept.all()] == [newer]
    await kept.forget("bob", "calm")
    assert len(await kept.all()) == 1
    await kept.forget("ann", "calm")
    assert await kept.all() == []
