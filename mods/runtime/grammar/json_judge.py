"""Whether a JSON text is valid under a schema, judged by jsonschema.

Numbers are read exactly, patterns are searched for with a time limit, and nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

import regex
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema._types import is_integer as is_plain_integer
from referencing import Registry

from mods.runtime.grammar.formats import FORMATS
from mods.runtime.grammar.schema_keywords import every_schema

MOST_FAULTS = 20
"""Told of one text."""

_LONGEST_INTEGER = 4000
"""Digits that Python reads as an integer without being told to."""

_PATTERN_SECONDS = 1.0

_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")

Fault = tuple[str, str]
"""Where, as a JSON pointer, and what."""


def read(text: str) -> Any:
    """The value, with exact numbers. Raises ValueError for what is no JSON."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None


def read_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins here, and where it ends. Raises ValueError."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None


def faults_of(schema: str, value: Any) -> list[Fault]:
    """What is wrong with a value, the first twenty."""
    errors = _validator(schema).iter_errors(value)
    return [(_pointer(error), _told(error)) for error in islice(errors, MOST_FAULTS)]


@lru_cache(64)
def _validator(schema: str) -> Any:
    return _Validator(_in_new_words(read(schema)), registry=Registry())


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value!r:.80} does not match {pattern!r:.80}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, inner in patterns.items():
        for key in [key for key in value if _found(pattern, key)]:
            yield from validator.descend(value[key], inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, inner: Any, value: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    patterns = schema.get("patternProperties", {})
    for key in value:
        if key in schema.get("properties", {}) or any(_found(one, key) for one in patterns):
            continue
        if inner is False:
            yield ValidationError(f"the key {key!r:.80} is not allowed")
        else:
            yield from validator.descend(value[key], inner, path=key)


def _format(validator: Any, name: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    check = FORMATS.get(name)
    if isinstance(value, str) and check is not None and not check(value):
        yield ValidationError(f"{value!r:.80} is no {name}")


def _multiple_of(
    validator: Any, divisor: Any, value: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        quotient = Decimal(value) / Decimal(divisor)
        if quotient != quotient.to_integral_value():
            yield ValidationError(f"{value} is no multiple of {divisor}")


def _is_integer(checker: Any, value: Any) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return bool(is_plain_integer(checker, value))


def _found(pattern: str, text: str) -> bool:
    """Rust's patterns are close to these; a lone `$` is only the end in both."""
    return regex.search(pattern, text, timeout=_PATTERN_SECONDS) is not None


def _in_new_words(schema: Any) -> Any:
    """Older spellings that llguidance reads in any draft, as draft 2020-12 spells them."""
    own = deepcopy(schema)
    for one in every_schema(own):
        _in_new_words_here(one)
    return own


def _in_new_words_here(schema: dict[str, Any]) -> None:
    schema.pop("$schema", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and bound in schema:
            schema[exclusive] = schema.pop(bound)
        elif isinstance(schema.get(exclusive), bool):
            del schema[exclusive]


def _pointer(error: ValidationError) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in error.absolute_path)
    return "/".join(["#", *steps])


def _told(error: ValidationError) -> str:
    return _DECIMAL.sub(r"\1", str(error.message))[:300]


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else Decimal(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(
    parse_float=Decimal, parse_int=_integer, parse_constant=_refuse_constant
)
_Validator = validators.extend(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "format": _format,
        "multipleOf": _multiple_of,
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)
