"""Every row of the table, by families. A new family is a file here and a word in `FAMILIES`."""

from __future__ import annotations

from bench.row import Row
from bench.rows import backtracks, forced, load_generator, mods, reference, stock

FAMILIES = (stock, load_generator, mods, forced, backtracks, reference)
"""Modules with `ROWS`, in the order of the table."""

ROWS: tuple[Row, ...] = tuple(row for family in FAMILIES for row in family.ROWS)
