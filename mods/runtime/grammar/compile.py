"""From a constraint to its grammar. What cannot be held to is refused here, by name and place."""

from __future__ import annotations

import json

from llguidance import LLMatcher

from mods.runtime.grammar import ebnf, json_schema, lark, structural_tag
from mods.runtime.grammar.composite import Way, clauses, expression, is_regular, part_name
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.limits import check_choice, check_size
from mods.runtime.grammar.llguidance_errors import located, validation_error
from mods.runtime.grammar.options import Options, digest_with
from mods.runtime.grammar.sequence import sequence_text
from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Choice,
    Constraint,
    Ebnf,
    Guidance,
    InSequence,
    Json,
    Lark,
    Regex,
    StructuralTag,
    parts_of,
)
from mods.sdk.errors import ConstraintError

__all__ = ["Grammar", "Options", "compile_constraint"]


def compile_constraint(
    constraint: Constraint, options: Options | None = None, *, surely_read: bool = False
) -> Grammar:
    """The constraint's grammar. Raises `ConstraintError`.

    What needs a vocabulary is not known yet: special tokens, and whether any text is possible.
    surely_read: llguidance is known to read what comes out, and is not made to do so here.
    """
    options = options or Options()
    check_size(constraint)
    reader = _Reader(options)
    ready = reader.read(constraint, "")
    groups: list[tuple[int, ...]] = []
    ways: list[Way] = []
    for clause in clauses(ready):
        groups.append(tuple(range(len(ways), len(ways) + len(clause))))
        ways += clause
    texts = tuple(_text(way, options) for way in ways)
    if not reader.specials and not surely_read:  # They are known only with a vocabulary.
        for way, text in zip(ways, texts, strict=True):
            _check_text(way, text, options)
    return Grammar(
        digest=digest_with(constraint, options),
        parts=texts,
        names=tuple(way.name for way in ways),
        groups=tuple(groups),
        plain=reader.negates and not reader.specials,
        warnings=tuple(reader.warnings),
    )


class _Reader:
    """Checks every leaf, and turns it into what llguidance knows."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.warnings: list[str] = []
        self.specials: list[str] = []
        self.negates = False

    def read(self, constraint: Constraint, name: str) -> Constraint:
        """The same constraint of Json, Regex, Choice, Lark and Guidance leaves."""
        parts = parts_of(constraint)
        if isinstance(constraint, (InSequence, AnyOf, AllOf)):
            if not parts:
                raise ConstraintError("a composite needs at least one part", part=name)
            return type(constraint)(
                tuple(
                    self.read(part, part_name(constraint, number, name))
                    for number, part in enumerate(parts)
                )
            )
        try:
            return self._leaf(constraint, inside=bool(name))
        except ConstraintError as error:
            raise (error.within(name) if name else error) from None

    def _leaf(self, constraint: Constraint, inside: bool) -> Constraint:
        match constraint:
            case Json():
                schema, warnings = json_schema.prepared(
                    json_schema.parse(constraint.schema), self._options
                )
                self.warnings += warnings
                return Json(json.dumps(schema, ensure_ascii=False))
            case Regex():
                terminal = expression(constraint)
                reason = validation_error(f"start: {terminal}") if inside else None
                if reason is not None:
                    raise ConstraintError(located(reason)[1])
                return constraint
            case Choice():
                check_choice(constraint)
                return constraint
            case Lark():
                return self._lark(constraint)
            case Ebnf():
                return self._lark(Lark(ebnf.to_lark(constraint.grammar)))
            case Guidance():
                return self._guidance(constraint)
            case StructuralTag():
                made = structural_tag.to_constraint(constraint.tag, self._options)
                return self._guidance(made)
        raise AssertionError(f"unknown constraint {type(constraint).__name__}")

    def _lark(self, constraint: Lark) -> Lark:
        reading = lark.Reading(constraint.grammar)
        self.specials += reading.specials
        self.negates = self.negates or reading.negates
        for schema in reading.schemas:
            if isinstance(schema, (dict, bool)):
                json_schema.prepared(schema, Options())
        return constraint

    def _guidance(self, constraint: Guidance) -> Guidance:
        """Grammars inside are checked as they would be alone."""
        content = _guidance_content(constraint.grammar)

        for one in content["grammars"]:
            if isinstance(one.get("lark_grammar"), str):
                self._lark(Lark(str(one["lark_grammar"])))
            inner = one.get("json_schema")
            if isinstance(inner, dict):
                json_schema.prepared(inner, Options())
        return constraint


def _guidance_content(text: str) -> dict[str, list[dict[str, object]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConstraintError(f"the grammar is not JSON: {error}") from None
    grammars = content.get("grammars") if isinstance(content, dict) else None
    if not isinstance(grammars, list) or not all(isinstance(one, dict) for one in grammars):
        raise ConstraintError(
            'expected {"grammars": [{"lark_grammar": "…"} or {"json_schema": {…}}, …]}'
        )
    if not grammars:
        raise ConstraintError("grammars is empty: it needs at least one")
    return {"grammars": grammars}


def _text(way: Way, options: Options) -> str:
    """The grammar text of one way; a single constraint's as vLLM's guidance backend has it."""
    constraint = way.constraint
    if isinstance(constraint, InSequence) and not is_regular(constraint):
        try:
            return sequence_text(constraint, options)
        except ConstraintError as error:
            raise (error.within(way.name) if way.name else error) from None
    match constraint:
        case Json():
            return json_schema.grammar_text(json_schema.parse(constraint.schema), options)
        case Regex():
            text: str = LLMatcher.grammar_from_regex(constraint.pattern)
            return text
        case Lark() | Guidance():
            return constraint.grammar
    return f"start: T\nT: {expression(constraint)}\n"


def _check_text(way: Way, text: str, options: Options) -> None:
    """Have llguidance read it, without a vocabulary. Raises `ConstraintError`."""
    reason = validation_error(text)
    if reason is None:
        return
    position, reason = located(reason)
    if not isinstance(way.constraint, Lark):
        position = None
    if isinstance(way.constraint, Json):
        position = json_schema.blamed(
            json_schema.parse(way.constraint.schema),
            lambda schema: validation_error(json_schema.grammar_text(schema, options)) is not None,
        )
    raise ConstraintError(reason, part=way.name, position=position)
