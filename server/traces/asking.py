"""The query of a list of traces: filters and order, read and checked by name."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

from server.traces.routing import FilterError
from server.traces.search import SORTS, Filters

STATUSES = ("done", "failed", "aborted")
FILTERS = (*(each.name for each in fields(Filters) if each.name != "favourite_of"), "favourite")
"""The names of all filters. `favourite=true` keeps the caller's own."""

_TYPES: dict[str, Any] = {
    name: next(kind for kind in get_args(hint) if kind is not types.NoneType)
    for name, hint in get_type_hints(Filters).items()
}


def filters_of(query: Mapping[str, str], caller: str, reader: str | None = None) -> Filters:
    """reader: whose traces may be listed; None for everybody's.

    Raises `FilterError`; names that are no filters are passed over.
    """
    given: dict[str, Any] = {
        name: _value(name, query[name]) for name in FILTERS if name in query and name in _TYPES
    }
    if given.get("status", STATUSES[0]) not in STATUSES:
        raise FilterError("status", f"status must be one of {', '.join(STATUSES)}")
    if _flag(query.get("favourite", "false")):
        given["favourite_of"] = caller
    given["caller"] = seen_by(reader, given.get("caller"))
    return Filters(**given)


def seen_by(reader: str | None, wanted: str | None) -> str | None:
    """Whose traces to look at: those wanted, as far as the reader may see them.

    Raises `FilterError` for another's.
    """
    if reader is not None and wanted not in (None, reader):
        raise FilterError("caller", "only an administrator sees other callers' traces")
    return wanted if reader is None else reader


def sort_of(query: Mapping[str, str]) -> str:
    """The name of the order. Raises `FilterError`."""
    sort = query.get("sort", "newest")
    if sort not in SORTS:
        raise FilterError("sort", f"sort must be one of {', '.join(SORTS)}, got {sort!r:.80}")
    return sort


def count_of(name: str, query: Mapping[str, str], default: int, most: int) -> int:
    """A whole number from 1 on. Raises `FilterError`."""
    count = _number(name, query.get(name, str(default)), int)
    if not 1 <= count <= most:
        raise FilterError(name, f"{name} must be from 1 to {most}, got {count}")
    return int(count)


def moment_of(name: str, text: str) -> datetime:
    """In UTC. text: ISO 8601; without a zone it is UTC. Raises `FilterError`."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError(
            name, f"{name} must be a time such as 2026-03-01T12:00:00Z, got {text!r:.80}"
        ) from None


def _value(name: str, text: str) -> Any:
    kind = _TYPES[name]
    if kind is datetime:
        return moment_of(name, text)
    return text if kind is str else _number(name, text, kind)


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not abs(number) < 2**31:
        raise FilterError(name, f"{name} must be a number, got {text!r:.80}")
    return number


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise FilterError("favourite", f"favourite must be true or false, got {text!r:.80}")
    return text.lower() in ("true", "1")
