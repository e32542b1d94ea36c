"""A JSON schema made ready for llguidance: checked, cleaned, and joined with others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
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
    every_schema,
    silent_keywords,
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
    if any(silent_keywords(one) for one in every_schema(schema)):
        schema = _without_silent_keywords(schema)
    return closed(schema) if options.disable_additional_properties else schema, warnings


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy in which objects hold only the properties that are named, where it says nothing."""
    own = deepcopy(schema)
    for one in every_schema(own):
        if "additionalProperties" not in one and (
            isinstance(one.get("properties"), dict)
            or isinstance(one.get("patternProperties"), dict)
        ):
            one["additionalProperties"] = False
    return own


def _without_silent_keywords(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy that llguidance reads too."""
    own = deepcopy(schema)
    for one in every_schema(own):
        for key in silent_keywords(one):
            del one[key]
    return own


def grammar_text(schema: Schema, options: Options) -> str:
    """llguidance's grammar of a prepared schema, spaces as vLLM's guidance backend has them.

    Gaps are closed where llguidance can read what closes them.
    """
    exact = without_gaps(schema) if isinstance(schema, dict) else schema
    text = _grammar_text(exact, options)
    if exact is schema or validation_error(text) is None:
        return text
    return _grammar_text(schema, options)


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
        for one in every_schema(schema):
            reference = one.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                one["$ref"] = f"#/{keyword}/{number}{reference[1:]}"
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

    @cached_property
    def _names(self) -> dict[str, Any]:
        return _names_in(self._root)

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
    for schema in every_schema(root):
        if isinstance(schema.get("$anchor"), str):
            names["#" + schema["$anchor"]] = schema
        for key in ("$id", "id"):
            if isinstance(schema.get(key), str):
                names[urljoin(base, schema[key]).rstrip("#")] = schema
    return names


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
