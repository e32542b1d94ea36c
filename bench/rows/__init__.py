"""Every row of the table, by families. A new family is a file here and a word in `FAMILIES`."""

from __future__ import annotations

from bench.row import Row
from bench.rows import (
    backtracks,
    constraints,
    forced,
    hot_path,
    load_generator,
    masks,
    mods,
    reference,
    stock,
    strategies,
    trace_store,
    traces,
)

FAMILIES = (
    stock,
    load_generator,
    mods,
    strategies,
    forced,
    hot_path,
    backtracks,
    masks,
    constraints,
    reference,
    traces,
    trace_store,
)
"""Modules with `ROWS`, in the order of the table."""

ROWS: tuple[Row, ...] = tuple(row for family in FAMILIES for row in family.ROWS)
