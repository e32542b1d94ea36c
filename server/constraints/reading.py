"""From what clients send, in OpenAI's words or in vLLM's, to constraints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mods.sdk.constraints import (
    Choice,
    Constraint,
    Ebnf,
    Guidance,
    Json,
    Lark,
    Regex,
    StructuralTag,
)
from mods.sdk.errors import ConstraintError

ANY_OBJECT = Json('{"type":"object"}')

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_OPTIONS = ("disable_any_whitespace", "disable_additional_properties", "whitespace_pattern")
_RULE_OF_EBNF = re.compile(r"^\s*<?[\w.-]+>?\s*::=", re.M)


def read_response_format(given: Mapping[str, Any] | None) -> Constraint | None:
    """From `response_format`, or the Responses API's `text.format`. None for plain text.

    Raises `ConstraintError`.
    """
    kind = (given or {}).get("type", "text")
    if given is None or kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind == "json_schema":
        inner = given.get("json_schema", given)
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        return ANY_OBJECT if schema is None else as_json(schema)
    if kind == "structural_tag":
        return StructuralTag(json.dumps(dict(given)))
    raise ConstraintError(
        f"response_format {kind!r:.60} is not known; there are text, json_object, json_schema and"
        " structural_tag"
    )


@dataclass(frozen=True)
class Carried:
    """A constraint in the place of vLLM's `StructuredOutputsParams`, which has no word for some."""

    constraint: Constraint


def read_structured_outputs(given: Any) -> Constraint:
    """From vLLM's `structured_outputs`, as its class or as a mapping. Raises `ConstraintError`."""
    if isinstance(given, Carried):
        return given.constraint
    named = {key: _value(given, key) for key in _KINDS}
    chosen = [key for key, value in named.items() if value is not None and value is not False]
    if len(chosen) != 1:
        raise ConstraintError(
            f"structured_outputs takes exactly one of {', '.join(_KINDS)};"
            f" got {', '.join(chosen) or 'none'}"
        )
    kind, value = chosen[0], named[chosen[0]]
    options = {key: _value(given, key) for key in _OPTIONS}
    match kind:
        case "json":
            return _with_options(as_json(value), options)
        case "json_object":
            return _with_options(ANY_OBJECT, options)
        case "choice":
            return as_choice(value)
        case "structural_tag":
            return StructuralTag(value if isinstance(value, str) else json.dumps(value))
    if not isinstance(value, str):
        raise ConstraintError(f"{kind} must be text, got {value!r:.80}")
    return Regex(value) if kind == "regex" else as_grammar(value)


def as_json(schema: Any) -> Json:
    """From a schema as a value or as JSON text. Raises `ConstraintError`."""
    if isinstance(schema, str):
        return Json(schema)
    if not isinstance(schema, (dict, bool)):
        raise ConstraintError(f"a JSON schema is an object, true or false, got {schema!r:.80}")
    try:
        return Json(json.dumps(schema, separators=(",", ":"), ensure_ascii=False))
    except (RecursionError, ValueError) as error:
        raise ConstraintError(f"the schema cannot be read: {error}") from None


def as_choice(options: Any) -> Choice:
    """From a list of texts. Raises `ConstraintError`."""
    if not isinstance(options, (list, tuple)) or not options:
        raise ConstraintError(f"choice needs a list of at least one text, got {options!r:.80}")
    for option in options:
        if not isinstance(option, str):
            raise ConstraintError(f"choice takes texts, got {option!r:.80}")
    return Choice(tuple(dict.fromkeys(options)))


def as_grammar(text: str) -> Lark | Ebnf | Guidance:
    """By what it looks like: rules with `::=`, llguidance's own JSON, else Lark."""
    if _RULE_OF_EBNF.search(text):
        return Ebnf(text)
    return Guidance(text) if text.lstrip().startswith('{"grammars"') else Lark(text)


def _value(given: Any, key: str) -> Any:
    return given.get(key) if isinstance(given, Mapping) else getattr(given, key, None)


def _with_options(constraint: Json, options: dict[str, Any]) -> Json:
    """What vLLM lets a request say about JSON, said in the schema."""
    if not any(options.values()):
        return constraint
    from mods.runtime.grammar.json_schema import closed, parse

    schema = parse(constraint.schema)
    if not isinstance(schema, dict):
        schema = {} if schema else {"enum": []}
    if options["disable_additional_properties"]:
        schema = closed(schema)
    directions = dict(schema.get("x-guidance") or {})
    if options["disable_any_whitespace"]:
        directions["whitespace_flexible"] = False
    if options["whitespace_pattern"]:
        directions["whitespace_pattern"] = options["whitespace_pattern"]
    return as_json({**schema, "x-guidance": directions} if directions else schema)
