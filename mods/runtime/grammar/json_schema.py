"""A JSON schema made ready for llguidance: checked, cleaned, and joined with others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import unquote, urljoin

from llguidance import LLMatcher

from mods.runtime.grammar.limits import MAX_DEPTH
from mods.runtime.grammar.llguidance_errors import validation_error
from mods.runtime.grammar.options import Options
from mods.runtime.grammar.schema_gaps import without_gaps
from mods.runtime.grammar.schema_keywords import (
    DEFINITIONS,
    INSTEAD,
    Schema,
    check_dialect,
    check_keywords,
    each_schema,
    forbids_nothing,
    subschemas,
)
from mods.sdk.errors import ConstraintError

_SECONDS_OF_SEARCH = 0.2
"""Spent on compiling parts alone, to find the one at fault."""


def parse(text: str) -> Schema:
    """The schema. Raises `ConstraintError` for what is no JSON, no schema, or nested too deep."""
    try:
        schema = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        at = getattr(error, "pos", None)
        raise ConstraintError(
            f"the schema is not JSON: {error}",
            position=None if at is None else f"character {at}",
        ) from None
    if not isinstance(schema, (dict, bool)):
        raise ConstraintError(f"a JSON schema is an object, true or false, got {schema!r:.80}")
    if _deeper_than(schema, MAX_DEPTH):
        raise _too_deep()
    return schema


def prepared(schema: Schema, options: Options) -> tuple[Schema, list[str]]:
    """The schema as it is enforced, and warnings. Raises `ConstraintError`."""
    if isinstance(schema, bool):
        if not schema:
            raise ConstraintError("the schema false allows no value", position="#")
        return schema, []
    check_dialect(schema)
    warnings = _Reader(schema).read()
    own = deepcopy(schema)
    each_schema(own, _drop_what_says_nothing)
    return closed(own) if options.disable_additional_properties else own, warnings


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy in which objects hold only the properties that are named, where it says nothing."""
    own = deepcopy(schema)
    each_schema(own, _close)
    return own


def grammar_text(schema: Schema, options: Options) -> str:
    """llguidance's grammar of a prepared schema, spaces as vLLM's guidance backend has them.

    Gaps are closed where llguidance can read what closes them.
    """
    plain = _grammar_text(schema, options)
    if not isinstance(schema, dict):
        return plain
    exact = _grammar_text(without_gaps(schema), options)
    return exact if exact == plain or validation_error(exact) is None else plain


def _grammar_text(schema: Schema, options: Options) -> str:
    text: str = LLMatcher.grammar_from_json_schema(
        json.dumps(schema, ensure_ascii=False),
        defaults={"whitespace_flexible": not options.disable_any_whitespace},
    )
    return text


def inline(schema: Schema, options: Options) -> str:
    """The same as part of a Lark grammar."""
    if schema is True:
        schema = {}
    grammar = json.loads(grammar_text(schema, options))
    return "%json " + json.dumps(grammar["grammars"][0]["json_schema"])


def joined(texts: Sequence[str], keyword: str) -> str | None:
    """One schema of several under `allOf` or `anyOf`.

    None where names of their parts could clash, or llguidance cannot make one of them.
    """
    schemas = [schema if isinstance(schema, dict) else {} for schema in map(parse, texts)]
    if any(_names_in(schema) for schema in schemas):
        return None
    directions = [schema.pop("x-guidance", None) for schema in schemas]
    if any(one != directions[0] for one in directions):
        return None
    for number, schema in enumerate(schemas):
        schema.pop("$schema", None)
        each_schema(schema, _moved(f"#/{keyword}/{number}"))
    whole: dict[str, Any] = {keyword: schemas}
    if directions[0] is not None:
        whole["x-guidance"] = directions[0]
    if validation_error(_grammar_text(whole, Options())) is not None:
        return None
    return json.dumps(whole, ensure_ascii=False)


def blamed(schema: Schema, fails: Callable[[Schema], bool]) -> str:
    """Where the innermost schema is that fails on its own."""
    if not isinstance(schema, dict):
        return "#"
    shared = {key: schema[key] for key in (*DEFINITIONS, "$schema") if key in schema}
    place, here, since = "#", schema, time.monotonic()
    while True:
        for path, inner in subschemas(here):
            if time.monotonic() - since > _SECONDS_OF_SEARCH:
                return place
            if isinstance(inner, dict) and fails({**inner, **shared}):
                place, here = _pointer(place, path), inner
                break
        else:
            return place


class _Reader:
    """Reads what can be reached from a schema's root, each part once."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._seen: set[int] = set()
        self._warnings: list[str] = []
        self._waiting: list[tuple[str, Any]] = [("#", root)]
        self._names = _names_in(root)

    def read(self) -> list[str]:
        while self._waiting:
            place, schema = self._waiting.pop()
            if isinstance(schema, dict) and id(schema) not in self._seen:
                self._seen.add(id(schema))
                self._read_one(place, schema)
        return self._warnings

    def _read_one(self, place: str, schema: dict[str, Any]) -> None:
        self._warnings += check_keywords(schema, place)
        for path, inner in subschemas(schema):
            if path[0] not in DEFINITIONS and path[0] not in INSTEAD:
                self._waiting.append((_pointer(place, path), inner))
        reference = schema.get("$ref")
        if isinstance(reference, str):
            self._follow(reference, f"{place}/$ref")

    def _follow(self, reference: str, place: str) -> None:
        """Go on at what a reference names, if it is in the same schema."""
        base, _, fragment = reference.partition("#")
        if not base and (fragment == "" or fragment.startswith("/")):
            self._waiting.append((reference, self._at(fragment, place)))
        elif not base:
            target = self._names.get(reference)
            if target is None:
                raise ConstraintError(f"$ref {reference!r:.80} names no $anchor", position=place)
            self._waiting.append((reference, target))
        else:
            target = self._names.get(urljoin(str(self._root.get("$id", "")), base))
            if target is None:
                raise ConstraintError(
                    f"$ref {reference!r:.120} is not in the schema, and nothing is fetched: put it"
                    " under $defs",
                    position=place,
                )
            self._waiting.append((reference, target))

    def _at(self, fragment: str, place: str) -> Any:
        here: Any = self._root
        for step in fragment.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                here = here[int(key)] if isinstance(here, list) else here[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ConstraintError(
                    f"$ref '#{fragment:.80}' leads nowhere", position=place
                ) from None
        return here


def _names_in(root: dict[str, Any]) -> dict[str, Any]:
    """Schemas by `#anchor` and by absolute `$id`."""
    base = str(root.get("$id", ""))
    names: dict[str, Any] = {base: root} if base else {}
    waiting: list[Any] = [root]
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        if isinstance(schema.get("$anchor"), str):
            names["#" + schema["$anchor"]] = schema
        for key in ("$id", "id"):
            if isinstance(schema.get(key), str):
                names[urljoin(base, schema[key]).rstrip("#")] = schema
        waiting += [inner for _, inner in subschemas(schema)]
    return names


def _drop_what_says_nothing(schema: dict[str, Any]) -> None:
    for key in [key for key, value in schema.items() if forbids_nothing(key, value)]:
        del schema[key]


def _close(schema: dict[str, Any]) -> None:
    if "additionalProperties" not in schema and (
        isinstance(schema.get("properties"), dict)
        or isinstance(schema.get("patternProperties"), dict)
    ):
        schema["additionalProperties"] = False


def _moved(to: str) -> Callable[[dict[str, Any]], None]:
    def change(schema: dict[str, Any]) -> None:
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            schema["$ref"] = to + reference[1:]

    return change


def _pointer(place: str, path: Sequence[str | int]) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "/".join([place, *steps])


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _too_deep() -> ConstraintError:
    return ConstraintError(f"the schema is nested too deep: {MAX_DEPTH} levels at most")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
