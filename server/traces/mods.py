"""Registered mods and helper modules, kept so that they survive a restart of the server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from mods.runtime.package import Package
from server.traces.database import Database
from server.traces.queries import queries
from server.traces.rows import escaped, plain


class KeptMod(NamedTuple):
    """What was registered. Whether it still loads, only loading it can tell."""

    owner: str
    package: Package
    registered_at: datetime


class StoredMods:
    """The mods of one database, by owner (a caller)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[KeptMod]:
        """Every mod, by owner and name."""
        return [
            KeptMod(
                plain(row["owner"]),
                msgspec.json.decode(row["package"], type=Package),
                row["registered_at"],
            )
            for row in await self._database.fetch("all_mods")
        ]

    async def keep(self, owner: str, package: Package) -> None:
        """Keep a mod, in place of the owner's other one of that name if there is one."""
        packed = msgspec.json.encode(package).decode()
        await self._database.fetch("keep_mod", escaped(owner), escaped(package.name), packed)

    async def forget(self, owner: str, name: str) -> None:
        """Forget a mod, if it is there."""
        await self._database.fetch("forget_mod", escaped(owner), escaped(name))

    async def all_shared(self) -> dict[str, dict[str, str]]:
        """Helper modules by owner: relative path to source."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for row in await self._database.fetch("all_shared_modules"):
            found[plain(row["owner"])][plain(row["path"])] = plain(row["source"])
        return dict(found)

    async def keep_shared(self, owner: str, files: Mapping[str, str]) -> None:
        """Keep helper modules beside the owner's others; those of the same path are replaced."""
        async with self._database.transaction() as connection:
            for path, source in files.items():
                await connection.execute(
                    queries()["keep_shared_module"], escaped(owner), escaped(path), escaped(source)
                )
