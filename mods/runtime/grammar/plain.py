"""Constraints that cannot hurt whoever compiles them: small, and of plain words only.

Most schemas that people send are such. They need no trial in a process of their own, which costs
several times what compiling them does. Whatever is not surely plain is tried out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mods.sdk.constraints import Choice, Constraint, Json

MAX_BYTES = 8 * 1024
"""Of a schema's text."""

MAX_DEPTH = 8
MAX_PROPERTIES = 32
"""Of one object; with `additionalProperties` every other name must be told from all of them."""

MAX_SCHEMAS = 160
MAX_COUNT = 64
"""Of items, characters and options."""

MAX_NUMBER = 10**9

_WORDS = {
    *("type", "title", "description", "default", "examples", "$schema", "x-guidance"),
    *("properties", "required", "additionalProperties", "items", "enum", "const", "pattern"),
    *("minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength"),
}
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_COUNTS = (("minItems", "maxItems"), ("minLength", "maxLength"))
_PATTERN = re.compile(
    r"\^(?:\[[A-Za-z0-9 _-]{1,16}\](?:\{[0-9]{1,2}(?:,[0-9]{1,2})?\}|[+*?])?){1,4}\$"
)
_GUIDANCE = {"whitespace_flexible": bool}


def is_plain(constraint: Constraint) -> bool:
    """Whether it may be compiled at once, by anybody: in a millisecond or two, and to some text."""
    if isinstance(constraint, Choice):
        return 0 < len(constraint.options) <= MAX_COUNT and all(map(_is_short, constraint.options))
    if not isinstance(constraint, Json) or len(constraint.schema) > MAX_BYTES:
        return False
    if "\\u" in constraint.schema or not _is_writable(constraint.schema):
        return False
    try:
        schema = json.loads(constraint.schema)
    except (ValueError, RecursionError):
        return False
    left = [MAX_SCHEMAS]
    return _plain(schema, 0, left)


def _is_short(text: str) -> bool:
    """Whether it is a short text, and one that can be written."""
    return 0 < len(text) <= 4 * MAX_COUNT and _is_writable(text)


def _is_writable(text: str) -> bool:
    """Whether it has no half characters, which no token spells."""
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def _plain(schema: Any, depth: int, left: list[int]) -> bool:
    left[0] -= 1
    if schema is True:
        return True
    if (
        not isinstance(schema, dict)
        or depth > MAX_DEPTH
        or left[0] < 0
        or not schema.keys() <= _WORDS
    ):
        return False
    return (
        isinstance(schema.get("type", "object"), str)
        and schema.get("type", "object") in _TYPES
        and _plain_values(schema)
        and _plain_bounds(schema)
        and _plain_parts(schema, depth, left)
    )


def _plain_values(schema: Mapping[str, Any]) -> bool:
    """`enum` and `const` of a few short scalars of the type that is said, if one is."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is None:
        return True
    if "enum" in schema and "const" in schema:
        return False
    if set(schema) & {"pattern", "minimum", "maximum", "minLength", "maxLength", "properties"}:
        return False
    kind = {"string": str, "boolean": bool, "integer": int}.get(schema.get("type", "string"))
    return (
        isinstance(values, list)
        and 0 < len(values) <= MAX_COUNT
        and kind is not None
        and all(type(value) is kind and len(str(value)) <= 4 * MAX_COUNT for value in values)
    )


def _plain_bounds(schema: Mapping[str, Any]) -> bool:
    for low, high in _COUNTS:
        least, most = schema.get(low, 0), schema.get(high, MAX_COUNT)
        if not (type(least) is type(most) is int and 0 <= least <= most <= MAX_COUNT):
            return False
    least, most = schema.get("minimum", -MAX_NUMBER), schema.get("maximum", MAX_NUMBER)
    if not (type(least) is type(most) is int and -MAX_NUMBER <= least <= most <= MAX_NUMBER):
        return False
    pattern = schema.get("pattern")
    if pattern is not None and (
        not isinstance(pattern, str)
        or not _PATTERN.fullmatch(pattern)
        or "minLength" in schema
        or "maxLength" in schema
    ):
        return False
    return _plain_directions(schema.get("x-guidance", {}))


def _plain_directions(given: Any) -> bool:
    return isinstance(given, dict) and all(
        type(value) is _GUIDANCE.get(name) for name, value in given.items()
    )


def _plain_parts(schema: Mapping[str, Any], depth: int, left: list[int]) -> bool:
    """Objects name what they require; arrays say what they hold."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or len(properties) > MAX_PROPERTIES:
        return False
    if not isinstance(required, list) or not all(
        isinstance(name, str) and name in properties for name in required
    ):
        return False
    others = schema.get("additionalProperties", True)
    if not isinstance(others, bool):
        return False
    inner = [*properties.values(), *([schema["items"]] if "items" in schema else ())]
    return all(_plain(one, depth + 1, left) for one in inner)
