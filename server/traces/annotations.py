"""What people add to stored traces: tags, favourites, and notes anchored to a step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from server.traces.database import Database
from server.traces.errors import UnknownTraceError
from server.traces.rows import escaped, plain
from server.traces.store import Store


class Note(Struct):
    """step: the round that it is about, None for the whole trace."""

    id: int
    request_id: str
    step: int | None
    caller: str
    text: str
    created_at: datetime


class Annotations:
    """Everything here raises `UnknownTraceError` where `caller` may not see the trace.

    caller: whose trace it must be; None for anybody's.
    """

    def __init__(self, database: Database, store: Store) -> None:
        self._database, self._store = database, store

    async def tag(
        self, request_id: str, tags: list[str], *, remove: bool = False, caller: str | None = None
    ) -> list[str]:
        """Add tags, or remove them. Returns those that are there now, sorted."""
        key = await self._store.locate(request_id, caller)
        name = "remove_tags" if remove else "add_tags"
        row = await self._database.row(name, *key, list(map(escaped, tags)))
        if row is None:
            raise UnknownTraceError(f"there is no trace {request_id!r:.200}")
        return [plain(tag) for tag in row["tags"]]

    async def favour(
        self, request_id: str, reader: str, *, remove: bool = False, caller: str | None = None
    ) -> None:
        """Make a trace one of the reader's favourites, or no longer. Twice is as good as once."""
        key = await self._store.locate(request_id, caller)
        name = "remove_favourite" if remove else "add_favourite"
        await self._database.fetch(name, *key, escaped(reader))

    async def note(
        self, request_id: str, author: str, text: str, *, step: int | None = None,
        caller: str | None = None,
    ) -> Note:  # fmt: skip
        """Write a note."""
        _, key = await self._store.locate(request_id, caller)
        row = await self._database.row("add_note", key, step, escaped(author), escaped(text))
        assert row is not None
        return _note(row)

    async def notes(self, request_id: str, *, caller: str | None = None) -> list[Note]:
        """A trace's notes, the oldest first."""
        _, key = await self._store.locate(request_id, caller)
        return [_note(row) for row in await self._database.fetch("read_notes", key)]

    async def delete_note(
        self, request_id: str, number: int, *, author: str | None = None, caller: str | None = None
    ) -> bool:
        """Delete a note, of this author if one is named. Returns whether there was such a note."""
        _, key = await self._store.locate(request_id, caller)
        author = author if author is None else escaped(author)
        return await self._database.row("delete_note", key, number, author) is not None


def _note(row: Any) -> Note:
    cells: dict[str, Any] = dict(row)
    for name in ("request_id", "caller", "text"):
        cells[name] = plain(cells[name])
    return Note(**cells)
