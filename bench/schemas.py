"""JSON schemas to constrain answers with: no two alike, with keys as long as real ones.

A schema that comes again is compiled already, so a comparison takes each only once. Long keys are
what a grammar forces: after a key's first letters the rest is certain. Every value is bounded, so
that an answer ends under random weights too.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

OWNERS = ("customer", "supplier", "warehouse", "delivery", "invoice", "contract", "employee")
PLACES = ("primary", "secondary", "shipping", "billing", "registered", "temporary", "previous")
THINGS = ("address", "account", "contact", "identification", "reference", "schedule", "agreement")
PARTS = ("number", "status", "category", "description", "priority", "confirmation", "quantity")
KEYS = [f"{a}_{b}_{c}_{d}" for a, b, c, d in itertools.product(OWNERS, PLACES, THINGS, PARTS)]
"""2,401 of them, 30 to 48 characters long."""
WORDS = ("pending", "approved", "rejected", "archived", "unknown", "urgent", "routine", "blocked")

PROPERTIES = 6
LONGEST_WORD = 8


def schemas(seed: int, properties: int = PROPERTIES) -> Iterator[dict[str, Any]]:
    """Objects with so many required properties, and no others. Without end, each one new."""
    drawn = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    while True:
        keys = tuple(drawn.sample(KEYS, properties))
        if keys in seen:
            continue
        seen.add(keys)
        yield {
            "type": "object",
            "properties": {key: drawn.choice(VALUES)(drawn) for key in keys},
            "required": list(keys),
            "additionalProperties": False,
        }


def _word(drawn: random.Random) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^[a-z]{{1,{drawn.randint(3, LONGEST_WORD)}}}$"}


def _choice(drawn: random.Random) -> dict[str, Any]:
    return {"type": "string", "enum": drawn.sample(WORDS, drawn.randint(2, 4))}


def _number(drawn: random.Random) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": drawn.choice((9, 99, 9999))}


def _flag(_: random.Random) -> dict[str, Any]:
    return {"type": "boolean"}


def _pair(drawn: random.Random) -> dict[str, Any]:
    """Two values of one kind."""
    return {"type": "array", "items": _number(drawn), "minItems": 2, "maxItems": 2}


VALUES: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    _word,
    _choice,
    _number,
    _flag,
    _pair,
)
