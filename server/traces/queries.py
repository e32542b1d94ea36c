"""SQL by name. A file holds queries under headers; a comment below a header is about the query.

-- name_of_the_query --
-- What it is for.
select …
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_HEADER = re.compile(r"^-- (\w+) --\n", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """The queries of a file's text. Raises `ValueError` for a name that comes twice."""
    _, *parts = _HEADER.split(text)
    names = parts[::2]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"queries of the same name: {', '.join(sorted(twice))}")
    return {name: body.strip() for name, body in zip(names, parts[1::2], strict=True)}


@cache
def queries() -> dict[str, str]:
    """The queries of `queries.sql`."""
    return parse((resources.files("server.traces") / "queries.sql").read_text("utf-8"))
