"""Values that llguidance lets through a schema that forbids them, shut out in its own words.

Two are known in 1.7.6. A key that a schema does not name may be spelled with escapes, and so be a
named one after all: `{"\\u0061": 1}` passes a schema in which `a` is a string. And the format
`date` knows 29 February in every year. Both go away when the same is said as a pattern.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from mods.runtime.grammar.schema_keywords import every_schema

_MOST_LETTERS = 4000
"""Of the names of one object's properties, above which they are not written as a pattern."""

_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_REAL_DAY = f"^(?:[0-9]{{4}}-(?:0[13-9]|1[0-2]|02-(?:[01]|2[0-8]))|{_LEAP_YEAR}-02-29)"


def without_gaps(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that says the same and leaves nothing open: the same one if it is without gaps."""
    if not any(_leaves_keys_open(one) or _names_days(one) for one in every_schema(schema)):
        return schema
    own = deepcopy(schema)
    for one in every_schema(own):
        if _leaves_keys_open(one):
            _spell_out_keys(one)
        if _names_days(one):
            _real_days(one)
    return own


def _leaves_keys_open(schema: dict[str, Any]) -> bool:
    named = schema.get("properties")
    if not named or not isinstance(named, dict):
        return False
    if schema.get("additionalProperties", True) is False or "patternProperties" in schema:
        return False
    return sum(map(len, named)) <= _MOST_LETTERS


def _names_days(schema: dict[str, Any]) -> bool:
    return schema.get("format") in ("date", "date-time")


def _spell_out_keys(schema: dict[str, Any]) -> None:
    """Let the other keys match a pattern: those are compared as text, without escapes."""
    named, others = schema["properties"], schema.get("additionalProperties", True)
    pattern = "" if others is True or others == {} else f"^(?:{none_of(list(named))})$"
    schema["patternProperties"] = {pattern: others}
    schema["additionalProperties"] = False


def _real_days(schema: dict[str, Any]) -> None:
    if "pattern" not in schema:
        schema["pattern"] = _REAL_DAY
    elif isinstance(schema.get("allOf", []), list):
        schema["allOf"] = [*schema.get("allOf", []), {"pattern": _REAL_DAY}]


def none_of(names: list[str]) -> str:
    """A regular expression for every text but these."""
    ways = [] if "" in names else [""]
    tails: dict[str, list[str]] = {}
    for name in filter(None, names):
        tails.setdefault(name[0], []).append(name[1:])
    ways += [f"{_one(letter)}(?:{none_of(rest)})" for letter, rest in tails.items()]
    others = f"[^{''.join(map(_one, tails))}]" if tails else "(?s:.)"
    return "|".join([*ways, f"{others}(?s:.)*"])


def _one(letter: str) -> str:
    return letter if re.fullmatch("[a-zA-Z0-9]", letter) else f"\\x{{{ord(letter):x}}}"
