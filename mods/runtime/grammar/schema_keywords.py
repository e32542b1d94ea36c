"""JSON schema's keywords: which of them hold, which are only remarks, and which are refused.

llguidance reads draft 2020-12 and the older spellings. It names standard keywords that it lacks,
without saying where, and passes over what it has never heard of. Here every keyword that would
change which values are valid, and that a mask would not enforce, is refused by name and place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from mods.runtime.grammar.limits import MAX_COUNT
from mods.sdk.errors import ConstraintError

Schema = dict[str, Any] | bool

ENFORCED = frozenset(
    {
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "const",
        "enum",
        "type",
        "items",
        "additionalItems",
        "prefixItems",
        "minItems",
        "maxItems",
        "properties",
        "additionalProperties",
        "patternProperties",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    }
)

REMARKS = frozenset(
    {
        "$anchor",
        "$defs",
        "definitions",
        "$schema",
        "$id",
        "id",
        "$comment",
        "$vocabulary",
        "$dynamicAnchor",
        "$recursiveAnchor",
        "title",
        "description",
        "default",
        "readOnly",
        "writeOnly",
        "examples",
        "example",
        "deprecated",
        "contentMediaType",
        "contentEncoding",
        "contentSchema",
        "discriminator",
        "externalDocs",
        "xml",
        "strict",
        "x-guidance",
    }
)

INSTEAD = {
    "contains": None,
    "minContains": None,
    "maxContains": None,
    "uniqueItems": None,
    "propertyNames": "use patternProperties with additionalProperties false",
    "dependentRequired": None,
    "dependentSchemas": None,
    "dependencies": None,
    "unevaluatedItems": "use items false",
    "unevaluatedProperties": "use additionalProperties false",
    "if": "use anyOf",
    "then": "use anyOf",
    "else": "use anyOf",
    "not": None,
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "nullable": 'use "type": ["…", "null"]',
    "extends": "use allOf",
    "disallow": None,
    "divisibleBy": "use multipleOf",
}
"""Keywords that cannot be held to, with what says the same."""

_MEANINGLESS: dict[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "nullable": (False,),
    "propertyNames": (True, {}),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "dependencies": ({},),
    "unevaluatedItems": (True, {}),
    "unevaluatedProperties": (True, {}),
    "not": (False,),
}
"""Values with which a keyword forbids nothing."""

_UNREAD = ("$dynamicAnchor", "$recursiveAnchor", "$vocabulary")
"""Remarks that llguidance will not see: what they are for is refused."""

_SOMETIMES = frozenset((*_MEANINGLESS, *_UNREAD))

FORMATS = frozenset(
    {
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
    }
)

DRAFTS = ("draft-04", "draft-06", "draft-07", "2019-09", "2020-12")

_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "additionalProperties",
    "additionalItems",
    "items",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
)
_HOLDING = frozenset((*_BY_NAME, *_LISTED, *_SINGLE))
DEFINITIONS = ("$defs", "definitions")


def subschemas(schema: dict[str, Any]) -> list[tuple[tuple[str | int, ...], Any]]:
    """Each schema directly inside, with its path from here."""
    found: list[tuple[tuple[str | int, ...], Any]] = []
    for key in [key for key in schema if key in _HOLDING]:
        inner = schema[key]
        if key in _BY_NAME:
            if isinstance(inner, dict):
                found += [((key, name), one) for name, one in inner.items()]
        elif isinstance(inner, list):
            found += [((key, number), one) for number, one in enumerate(inner)]
        elif key in _SINGLE and isinstance(inner, (dict, bool)):
            found.append(((key,), inner))
    return found


def every_schema(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every schema inside that is an object. What comes may be changed."""
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            waiting += [inner for _, inner in subschemas(here)]
            yield here


def silent_keywords(schema: dict[str, Any]) -> list[str]:
    """The keywords that are refused elsewhere, and may be left out here: they say nothing."""
    return [key for key in schema if key in _SOMETIMES and forbids_nothing(key, schema[key])]


def forbids_nothing(key: str, value: Any) -> bool:
    """Whether a keyword that is refused may be left out, since it says nothing here."""
    return key in _UNREAD or any(
        value is known or (value == {} and known == {}) for known in _MEANINGLESS.get(key, ())
    )


def check_keywords(schema: dict[str, Any], place: str) -> list[str]:
    """Warnings about one schema, without what is inside. Raises `ConstraintError`."""
    warnings = []
    for key, value in schema.items():
        if key in ENFORCED or key in REMARKS or key.startswith("x-"):
            continue
        if key in INSTEAD:
            _refuse(key, value, place)
            continue
        close = difflib.get_close_matches(key, ENFORCED, n=1, cutoff=0.84)
        if close:
            raise ConstraintError(
                f"there is no keyword {key!r}; did you mean {close[0]!r}?", position=place
            )
        warnings.append(f"{place}: {key!r} is no keyword of JSON schema and changes nothing")
    _check_format(schema, place)
    _check_counts(schema, place)
    return warnings


def check_dialect(schema: dict[str, Any]) -> None:
    """Raises `ConstraintError` for a draft, or directions to llguidance, that change the rules."""
    named = schema.get("$schema")
    if named is not None and not (isinstance(named, str) and any(d in named for d in DRAFTS)):
        raise ConstraintError(
            f"$schema {named!r:.80} is no draft that is known; there are {', '.join(DRAFTS)}",
            position="#/$schema",
        )
    directions = schema.get("x-guidance")
    for name in ("lenient", "coerce_one_of"):
        if isinstance(directions, dict) and directions.get(name):
            raise ConstraintError(
                f"{name} lets values through that the schema forbids; leave it out",
                position=f"#/x-guidance/{name}",
            )


def _refuse(key: str, value: Any, place: str) -> None:
    if forbids_nothing(key, value):
        return
    instead = INSTEAD[key]
    raise ConstraintError(
        f"the keyword {key!r} cannot be enforced while generating"
        + (f": {instead}" if instead else ""),
        position=f"{place}/{key}",
    )


def _check_format(schema: dict[str, Any], place: str) -> None:
    name = schema.get("format")
    types = schema.get("type", "string")
    if not isinstance(name, str) or name in FORMATS:
        return
    if types == "string" or (isinstance(types, list) and "string" in types):
        raise ConstraintError(
            f"the format {name!r:.60} cannot be enforced; those that can are"
            f" {', '.join(sorted(FORMATS))}",
            position=f"{place}/format",
        )


def _check_counts(schema: dict[str, Any], place: str) -> None:
    for key in ("minItems", "maxItems", "minProperties", "maxProperties"):
        count = schema.get(key, 0)
        if isinstance(count, (int, float)) and count > MAX_COUNT:
            raise ConstraintError(
                f"{key} may be {MAX_COUNT} at most, got {count}", position=f"{place}/{key}"
            )
    _check_repeatable(schema, place)


def _check_repeatable(schema: dict[str, Any], place: str) -> None:
    """Keys that a schema does not name may repeat, so more of them than one cannot be counted."""
    least = schema.get("minProperties", 0)
    required = schema.get("required")
    named = len(set(map(str, required))) if isinstance(required, list) else 0
    if isinstance(least, (int, float)) and least > named + 1:
        raise ConstraintError(
            f"minProperties {least} with {named} required properties cannot be enforced, since"
            " other keys may repeat: name the properties in required",
            position=f"{place}/minProperties",
        )
