"""Whether a text keeps a constraint, judged after the fact and by other means than the masks.

JSON schemas are judged by jsonschema, regular expressions by `regex`, EBNF by an Earley parser,
Lark by `lark` where it knows all that the grammar uses. What remains has no other judge than
llguidance itself, over the text's bytes; and where special tokens are named, nobody judges.
"""

from __future__ import annotations

import msgspec
import regex

from mods.runtime.grammar import json_judge, lark
from mods.runtime.grammar.composite import part_name
from mods.runtime.grammar.earley import Recognizer
from mods.runtime.grammar.json_schema import parse, prepared
from mods.runtime.grammar.lark_judge import LarkJudge
from mods.runtime.grammar.options import Options
from mods.runtime.grammar.structural_tag import to_constraint
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
)


class Violation(msgspec.Struct, frozen=True):
    """Something that a text should not be. position: a JSON pointer, or "character 7"."""

    message: str
    part: str = ""
    position: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """violations: none for a text that is whole and right. judges: who looked; none if nobody."""

    violations: tuple[Violation, ...] = ()
    judges: tuple[str, ...] = ()


def judge(
    constraint: Constraint, text: str, *, finished: bool = True, options: Options | None = None
) -> Verdict:
    """The verdict on a text. finished: False if the output was cut off, by its length for one."""
    court = _Court(options or Options())
    found = court.violations(constraint, text, "")
    if not finished and found:
        found = [Violation(f"the output ended before it was whole: {found[0].message}")]
    return Verdict(tuple(found), tuple(dict.fromkeys(court.judges)))


class _Court:
    """Judges parts, and remembers who did."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.judges: list[str] = []

    def violations(self, constraint: Constraint, text: str, part: str) -> list[Violation]:
        match constraint:
            case Json():
                return self._json(constraint, text, part)
            case AnyOf():
                ways = [
                    self.violations(one, text, part_name(constraint, number, part))
                    for number, one in enumerate(constraint.parts)
                ]
                return [] if not all(ways) else [way[0] for way in ways]
            case AllOf():
                return [
                    violation
                    for number, one in enumerate(constraint.parts)
                    for violation in self.violations(one, text, part_name(constraint, number, part))
                ]
            case InSequence():
                return self._sequence(constraint, text, part)
        ends, reached = self.ends(constraint, text, 0, whole=True)
        if ends is None or len(text) in ends:
            return []
        kind = constraint.__struct_config__.tag
        return [Violation(f"the text is none of this {kind}", part, _at(reached, text))]

    def ends(
        self, constraint: Constraint, text: str, start: int, whole: bool
    ) -> tuple[set[int] | None, int]:
        """Where texts of the constraint end that begin at `start`, and how far any fits.

        whole: only the text's own end is of interest. None: nobody can judge.
        """
        match constraint:
            case Choice():
                self.judges.append("comparison")
                found = {start + len(o) for o in constraint.options if text.startswith(o, start)}
                return found, max(start + _shared(o, text, start) for o in constraint.options)
            case Regex():
                return self._regex(constraint, text, start, whole)
            case Ebnf():
                return self._ebnf(constraint, text, start)
            case Json():
                return self._json_ends(constraint, text, start)
            case Lark() | Guidance() | StructuralTag():
                return self._grammar(constraint, text, start, whole)
            case AnyOf() | AllOf():
                return self._of_parts(constraint, text, start, whole)
            case InSequence():
                return self._in_order(constraint, text, start, whole)
        raise AssertionError(f"unknown constraint {type(constraint).__name__}")

    def _json(self, constraint: Json, text: str, part: str) -> list[Violation]:
        self.judges.append("jsonschema")
        try:
            value = json_judge.read(text)
        except ValueError as error:
            at = getattr(error, "pos", None)
            return [Violation(f"the text is not JSON: {error}", part, _at(at, text))]
        return [
            Violation(message, part, pointer)
            for pointer, message in json_judge.faults_of(self._schema(constraint), value)
        ]

    def _json_ends(self, constraint: Json, text: str, start: int) -> tuple[set[int] | None, int]:
        self.judges.append("jsonschema")
        try:
            value, end = json_judge.read_at(text, start)
        except ValueError as error:
            return set(), int(getattr(error, "pos", start))
        if json_judge.faults_of(self._schema(constraint), value):
            return set(), end
        return {end}, end

    def _schema(self, constraint: Json) -> str:
        """As it is enforced, with what the server's options add."""
        schema, _ = prepared(parse(constraint.schema), self._options)
        return msgspec.json.encode(schema).decode()

    def _regex(
        self, constraint: Regex, text: str, start: int, whole: bool
    ) -> tuple[set[int] | None, int]:
        try:
            pattern = regex.compile(constraint.pattern)
        except regex.error:
            return self._grammar(Lark(_as_lark(constraint)), text, start, whole)
        self.judges.append("regex")
        wanted = [len(text)] if whole else range(start, len(text) + 1)
        found = {
            end for end in wanted if pattern.fullmatch(text, start, end, timeout=_REGEX_SECONDS)
        }
        return found, max(found, default=0) or _fitting(pattern, text, start)

    def _ebnf(self, constraint: Ebnf, text: str, start: int) -> tuple[set[int] | None, int]:
        try:
            recognizer = Recognizer(constraint.grammar)
        except ValueError:
            return None, start
        self.judges.append("earley")
        return recognizer.ends(text, start)

    def _grammar(
        self, constraint: Lark | Guidance | StructuralTag, text: str, start: int, whole: bool
    ) -> tuple[set[int] | None, int]:
        if isinstance(constraint, StructuralTag):
            constraint = to_constraint(constraint.tag, self._options)
        if lark.Reading(constraint.grammar).specials:
            return None, start
        found = LarkJudge(constraint.grammar)
        ends, reached = found.ends(text, start, whole)
        self.judges.append(found.name)
        return ends, reached

    def _of_parts(
        self, constraint: AnyOf | AllOf, text: str, start: int, whole: bool
    ) -> tuple[set[int] | None, int]:
        results = [self.ends(part, text, start, whole) for part in constraint.parts]
        known = [ends for ends, _ in results if ends is not None]
        if len(known) < len(results):
            return None, start
        join = set.intersection if isinstance(constraint, AllOf) else set.union
        furthest = max if isinstance(constraint, AnyOf) else min
        return join(*known), furthest(reached for _, reached in results)

    def _in_order(
        self, constraint: InSequence, text: str, start: int, whole: bool
    ) -> tuple[set[int] | None, int]:
        places, reached = {start}, start
        for number, part in enumerate(constraint.parts):
            last = whole and number == len(constraint.parts) - 1
            following: set[int] = set()
            for place in sorted(places):
                ends, far = self.ends(part, text, place, last)
                if ends is None:
                    return None, start
                following |= ends
                reached = max(reached, far)
            places = following
        return places, reached

    def _sequence(self, constraint: InSequence, text: str, part: str) -> list[Violation]:
        """Which part it is at which a sequence comes to nothing."""
        places, reached = {0}, 0
        for number, one in enumerate(constraint.parts):
            last = number == len(constraint.parts) - 1
            following: set[int] = set()
            for place in sorted(places):
                ends, far = self.ends(one, text, place, whole=last)
                if ends is None:
                    return []
                following |= ends
                reached = max(reached, far)
            name = part_name(constraint, number, part)
            if not following:
                return [Violation("no text of this part follows here", name, _at(reached, text))]
            if last and len(text) not in following:
                return [
                    Violation("the text goes on after its end", name, _at(max(following), text))
                ]
            places = following
        return []


_REGEX_SECONDS = 1.0


def _as_lark(constraint: Regex) -> str:
    return f"start: {lark.regex(constraint.pattern)}\n"


def _fitting(pattern: regex.Pattern[str], text: str, start: int) -> int:
    """How far the text could have been the beginning of a match."""
    low, high = start, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        partly = pattern.fullmatch(text, start, middle, partial=True, timeout=_REGEX_SECONDS)
        low, high = (middle, high) if partly else (low, middle - 1)
    return low


def _shared(option: str, text: str, start: int) -> int:
    """How many characters they have in common from here on."""
    pairs = zip(option, text[start : start + len(option)], strict=False)
    return next(
        (n for n, (a, b) in enumerate(pairs) if a != b), min(len(option), len(text) - start)
    )


def _at(position: int | None, text: str) -> str | None:
    if position is None:
        return None
    return "the end" if position >= len(text) else f"character {position}"
