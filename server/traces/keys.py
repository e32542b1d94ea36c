"""Keys in Postgres, so that servers that share one share their keys."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from server.keys.key import Key
from server.traces.database import Database


class StoredKeys:
    """The keys of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Key]:
        """Every key, revoked ones too."""
        return [
            msgspec.convert({**row, "user": row["owner"]}, Key)
            for row in map(dict, await self._database.fetch("all_keys"))
        ]

    async def keep(self, keys: Iterable[Key]) -> None:
        """Add those that are not there, and revoke those that are revoked here."""
        for key in keys:
            await self._database.fetch(
                "keep_key", key.id, key.user, list(key.scopes), key.digest, key.created_at,
                key.revoked_at,
            )  # fmt: skip
