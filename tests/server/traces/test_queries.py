"""Named SQL: every query is used, parses, and has its own name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import server.traces
from server.traces.database import Database
from server.traces.queries import parse, queries
from server.traces.search import SORTS, list_query

FOLDER = Path(server.traces.__file__).parent


def test_headers_name_what_follows() -> None:
    assert parse("-- a --\n-- said\nselect 1\n\n-- b --\nselect 2\n") == {
        "a": "-- said\nselect 1",
        "b": "select 2",
    }


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a"):
        parse("-- a --\nselect 1\n-- a --\nselect 2\n")


def test_every_query_is_used_and_every_used_one_is_there() -> None:
    code = "\n".join(path.read_text() for path in FOLDER.glob("*.py"))
    used = set(re.findall(r'"(\w+)"', code))
    assert set(queries()) <= used


async def test_postgres_understands_every_query(database: Database) -> None:
    texts = {name: text for name, text in queries().items() if name != "list_traces"}
    texts.update({sort: list_query(sort) for sort in SORTS})
    async with database.connection() as connection:
        for text in texts.values():
            await connection.prepare(text)
