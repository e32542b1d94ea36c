"""Composites brought into one form: clauses that must all hold, each with ways to hold it.

A clause's ways are separate grammars whose masks are united; the clauses' masks are intersected.
What can be one grammar becomes one first: regular expressions and choices become one terminal, in
which concatenation, alternation and intersection are exactly what they say, and JSON schemas
become one schema. A choice of intersections is an intersection of choices, and a sequence with a
choice in it is a choice of sequences, so nothing is lost by this form.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from mods.runtime.grammar import json_schema, lark
from mods.runtime.grammar.limits import MAX_MASKS
from mods.sdk.constraints import AllOf, AnyOf, Choice, Constraint, InSequence, Json, Regex, parts_of
from mods.sdk.errors import ConstraintError


@dataclass(frozen=True)
class Way:
    """A constraint that is one grammar. name: where in the whole it stands, for messages."""

    constraint: Constraint
    name: str


Clause = list[Way]


def is_regular(constraint: Constraint) -> bool:
    """Whether it can be one terminal."""
    if isinstance(constraint, (Regex, Choice)):
        return True
    parts = parts_of(constraint)
    return bool(parts) and all(is_regular(part) for part in parts)


def expression(constraint: Constraint) -> str:
    """A terminal's expression for a regular constraint. Raises `ConstraintError`."""
    match constraint:
        case Regex():
            return lark.regex(constraint.pattern)
        case Choice():
            return "(" + " | ".join(lark.quoted(option) for option in constraint.options) + ")"
        case InSequence() | AnyOf() | AllOf():
            sign = {InSequence: " ", AnyOf: " | ", AllOf: " & "}[type(constraint)]
            return "(" + sign.join(expression(part) for part in constraint.parts) + ")"
    raise AssertionError(f"{type(constraint).__name__} is not regular")


def part_name(constraint: Constraint, number: int, outer: str = "") -> str:
    """How a composite's part is called in messages: "all_of[1]", or "sequence[0].all_of[1]"."""
    name = f"{constraint.__struct_config__.tag}[{number}]"
    return f"{outer}.{name}" if outer else name


def clauses(constraint: Constraint, name: str = "") -> list[Clause]:
    """The constraint as clauses of ways. Raises `ConstraintError` if that takes too many masks."""
    if is_regular(constraint) or not parts_of(constraint):
        return [[Way(constraint, name)]]
    inside = [
        clauses(part, part_name(constraint, number, name))
        for number, part in enumerate(parts_of(constraint))
    ]
    match constraint:
        case AllOf():
            found = _alone_together(list(itertools.chain.from_iterable(inside)))
        case AnyOf():
            _limit(_product(inside), name)
            found = [_either(picked) for picked in itertools.product(*inside)]
        case _:
            found = [_in_order(constraint, inside, name)]
    _limit(sum(map(len, found)), name)
    return found


def _either(picked: Sequence[Clause]) -> Clause:
    """One clause out of several, one of which must hold."""
    ways = list(itertools.chain.from_iterable(picked))
    return _merged(ways, AnyOf, "anyOf", " or ")


def _alone_together(found: list[Clause]) -> list[Clause]:
    """Clauses of one way each are merged where one grammar can say both."""
    alone = [clause[0] for clause in found if len(clause) == 1]
    rest = [clause for clause in found if len(clause) > 1]
    return [[way] for way in _merged(alone, AllOf, "allOf", " and ")] + rest


def _in_order(constraint: Constraint, inside: list[list[Clause]], name: str) -> Clause:
    """A sequence with choices in it, as a choice of sequences."""
    for number, found in enumerate(inside):
        if len(found) > 1:
            raise ConstraintError(
                "an all_of inside a sequence is kept if its parts are all regular expressions and"
                " choices, or all JSON schemas that can be merged; these are of different kinds",
                part=part_name(constraint, number, name),
            )
    ways = [found[0] for found in inside]
    _limit(_product(ways), name)
    return [
        Way(InSequence(tuple(way.constraint for way in picked)), name)
        for picked in itertools.product(*ways)
    ]


def _merged(ways: list[Way], kind: type[AllOf] | type[AnyOf], keyword: str, word: str) -> list[Way]:
    """The same ways with the regular ones as one and the JSON schemas as one."""
    regular = [way for way in ways if is_regular(way.constraint)]
    schemas = [way for way in ways if isinstance(way.constraint, Json)]
    rest = [way for way in ways if way not in regular and way not in schemas]
    if len(regular) > 1:
        together = kind(tuple(way.constraint for way in regular))
        regular = [Way(together, _names(regular, word))]
    if len(schemas) > 1:
        texts = [way.constraint.schema for way in schemas if isinstance(way.constraint, Json)]
        joined = json_schema.joined(texts, keyword)
        if joined is not None:
            schemas = [Way(Json(joined), _names(schemas, word))]
    return [*regular, *schemas, *rest]


def _names(ways: list[Way], word: str) -> str:
    return word.join(way.name for way in ways)


def _product(lists: Sequence[Sequence[object]]) -> int:
    count = 1
    for one in lists:
        count *= len(one)
    return count


def _limit(count: int, name: str) -> None:
    if count > MAX_MASKS:
        raise ConstraintError(
            f"{count} grammars would have to be kept in step, {MAX_MASKS} are the most: use fewer"
            " parts that are not regular expressions, choices or JSON schemas",
            part=name,
        )
