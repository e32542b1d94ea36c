"""The `constraints` of `POST /generate` and its like: their shapes, and how they are read.

Composites are read part by part, so that what is wrong is told with the part that it is in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from typing_extensions import TypeAliasType

from mods.runtime.grammar.limits import MAX_DEPTH
from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Choice,
    Constraint,
    Ebnf,
    Guidance,
    InSequence,
    Lark,
    Regex,
    StructuralTag,
)
from mods.sdk.errors import ConstraintError
from server.constraints.reading import ANY_OBJECT, as_choice, as_grammar, as_json


class JsonSpec(BaseModel):
    """A JSON value that a schema accepts; any object without one."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["json"]
    json_schema: dict[str, Any] | bool | str | None = Field(
        None, alias="schema", description="The schema, or its JSON text."
    )

    def constraint(self) -> Constraint:
        return ANY_OBJECT if self.json_schema is None else as_json(self.json_schema)


class GrammarSpec(BaseModel):
    """A text of a grammar."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["grammar"]
    grammar: str
    syntax: Literal["auto", "lark", "ebnf", "gbnf", "llguidance"] = Field(
        "auto", description="`auto` takes rules with `::=` for EBNF or GBNF, others for Lark."
    )

    def constraint(self) -> Constraint:
        kinds: dict[str, Callable[[str], Constraint]] = {
            "auto": as_grammar,
            "lark": Lark,
            "ebnf": Ebnf,
            "gbnf": Ebnf,
            "llguidance": Guidance,
        }
        return kinds[self.syntax](self.grammar)


class RegexSpec(BaseModel):
    """A text that a regular expression matches as a whole, in the syntax of Rust's `regex`."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["regex"]
    pattern: str

    def constraint(self) -> Constraint:
        return Regex(self.pattern)


class ChoiceSpec(BaseModel):
    """One of these texts."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["choice"]
    choices: list[str]

    def constraint(self) -> Constraint:
        return as_choice(self.choices)


class StructuralTagSpec(BaseModel):
    """Free text with constrained stretches, as vLLM's `structural_tag` says it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["structural_tag"]
    structural_tag: dict[str, Any]

    def constraint(self) -> Constraint:
        return StructuralTag(json.dumps(self.structural_tag))


class CompositeSpec(BaseModel):
    """Several together: exactly one of `sequence`, `any_of` and `all_of`. They may nest."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["composite"] = "composite"
    sequence: list[ConstraintSpec] | None = Field(None, description="One part after the other.")
    any_of: list[ConstraintSpec] | None = Field(None, description="A text of at least one part.")
    all_of: list[ConstraintSpec] | None = Field(None, description="A text of every part at once.")


_SPECS: dict[str, Any] = {
    "json": JsonSpec,
    "grammar": GrammarSpec,
    "regex": RegexSpec,
    "choice": ChoiceSpec,
    "structural_tag": StructuralTagSpec,
}
_COMPOSITES: dict[str, type[InSequence] | type[AnyOf] | type[AllOf]] = {
    "sequence": InSequence,
    "any_of": AnyOf,
    "all_of": AllOf,
}


def read_constraints(given: Any, part: str = "", depth: int = 0) -> Constraint:
    """From a spec as it was sent: an object, a list (a sequence) or a text (exactly that).

    Raises `ConstraintError`, with the part it is about.
    """
    if depth > MAX_DEPTH:
        raise ConstraintError(f"composites nest {MAX_DEPTH} levels deep at most", part=part)
    if isinstance(given, str):
        return Choice((given,))
    if isinstance(given, list):
        return _composite("sequence", given, part, depth)
    if not isinstance(given, dict):
        raise ConstraintError(
            f"a constraint is an object, a list or a text, got {given!r:.60}", part=part
        )
    named = [key for key in _COMPOSITES if given.get(key) is not None]
    kind = given.get("type", "composite" if named else None)
    if kind == "composite":
        return _checked_composite(given, named, part, depth)
    if kind not in _SPECS:
        raise ConstraintError(
            f"the type {kind!r:.60} is not known; there are {', '.join(_SPECS)} and composite",
            part=part,
        )
    try:
        constraint: Constraint = _SPECS[kind].model_validate(given).constraint()
    except ValidationError as error:
        raise _told(error, part) from None
    except ConstraintError as error:
        raise (error.within(part) if part else error) from None
    return constraint


def _checked_composite(
    given: dict[str, Any], named: list[str], part: str, depth: int
) -> Constraint:
    unknown = [key for key in given if key not in ("type", *_COMPOSITES)]
    if unknown:
        raise ConstraintError(f"a composite has no field {unknown[0]!r:.60}", part=part)
    if len(named) != 1:
        raise ConstraintError(
            f"a composite has exactly one of {', '.join(_COMPOSITES)}, got"
            f" {', '.join(named) or 'none'}",
            part=part,
        )
    return _composite(named[0], given[named[0]], part, depth)


def _composite(kind: str, parts: Any, outer: str, depth: int) -> Constraint:
    if not isinstance(parts, list) or not parts:
        raise ConstraintError(
            f"{kind} is a list of at least one part, got {parts!r:.60}", part=outer
        )
    names = [f"{outer}.{kind}[{n}]" if outer else f"{kind}[{n}]" for n in range(len(parts))]
    return _COMPOSITES[kind](
        tuple(
            read_constraints(one, name, depth + 1) for one, name in zip(parts, names, strict=True)
        )
    )


def _told(error: ValidationError, part: str) -> ConstraintError:
    """The first thing that is wrong with a spec, in words."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(step) for step in first["loc"]) or "the constraint"
    if first["type"] == "extra_forbidden":
        return ConstraintError(f"there is no field {field!r:.60}", part=part)
    if first["type"] == "missing":
        return ConstraintError(f"the field {field!r} is missing", part=part)
    return ConstraintError(f"{field}: {first['msg']}, got {first['input']!r:.60}", part=part)


ConstraintSpec = TypeAliasType(
    "ConstraintSpec",
    "JsonSpec | GrammarSpec | RegexSpec | ChoiceSpec | StructuralTagSpec | CompositeSpec"
    " | list[ConstraintSpec] | str",
)
"""A list is a sequence; a text stands for exactly itself."""

Constraints = Annotated[
    Any, PlainValidator(read_constraints, json_schema_input_type=ConstraintSpec)
]
"""A field of a request that is read into a `Constraint`."""
