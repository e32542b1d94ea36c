"""Each kind of constraint, alone and in composites; what cannot be kept is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.runtime.grammar.compile import Options, compile_constraint
from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Choice,
    Constraint,
    Guidance,
    InSequence,
    Lark,
    Regex,
    choice,
    digest,
    json_schema,
)
from mods.sdk.errors import ConstraintError
from tests.mods.runtime.grammar.conftest import END, Texts, demo_vocabulary

OBJECT = json_schema({"type": "object"})


def test_choices_that_begin_each_other_stay_apart(texts: Texts) -> None:
    colours = choice(["red", "reddish", "re", "", 'a "quoted"\nline', "café"])
    for text in ("red", "reddish", "re", "", 'a "quoted"\nline', "café"):
        assert texts.allow(colours, text), text
    for text in ("r", "redd", "caf", "reddishred"):
        assert not texts.allow(colours, text), text


def test_a_regex_is_matched_as_a_whole(texts: Texts) -> None:
    for pattern, right, wrong in (
        (r"^\d{2}/[a-z]+$", "12/ab", "12/ab "),
        (r"a\/b|c", "a/b", "a"),
        ("a\nb", "a\nb", "ab"),
        (r"(?i)yes|no", "YES", "ye"),
        (r"[^\n]*\.", "so. it.", "so"),
        (r'"[^"]*"', '"a"', '"a'),
    ):
        assert texts.allow(Regex(pattern), right), pattern
        assert not texts.allow(Regex(pattern), wrong), pattern


@pytest.mark.parametrize("pattern", ["a(b", "[z-a]", "a**\\", "(?<=a)b", r"(a)\1", r"\ba", "a\\"])
def test_a_regex_that_cannot_be_kept_is_refused(pattern: str) -> None:
    with pytest.raises(ConstraintError):
        compile_constraint(Regex(pattern))


@settings(max_examples=150, deadline=None)
@given(st.text(r'\/"a|[]' + "\n", max_size=5), st.text(r'\/"a|[]' + "\n", max_size=4))
def test_no_regex_gets_out_of_its_delimiters(pattern: str, text: str) -> None:
    try:
        expected = re.compile(pattern).fullmatch(text) is not None
    except re.error:
        return
    except FutureWarning:
        return
    try:
        alone = Texts(demo_vocabulary()).allow(Regex(pattern), text)
        joined = Texts(demo_vocabulary()).allow(
            InSequence((Regex(pattern), choice(["!"]))), text + "!"
        )
    except ConstraintError:
        return
    assert alone == expected
    assert joined == expected


def test_lark_that_names_an_unknown_rule_says_where() -> None:
    with pytest.raises(ConstraintError) as raised:
        compile_constraint(Lark('start: "a" b\nb: missing'))
    assert raised.value.position == "line 2, column 4"
    assert "missing" in raised.value.reason


@pytest.mark.parametrize("option", ["temperature=0.5", 'stop="x"'])
def test_options_of_rules_that_would_be_passed_over_are_refused(option: str) -> None:
    with pytest.raises(ConstraintError, match=r"line 2.*is not kept"):
        compile_constraint(Lark(f'start: a\na[{option}]: /[a-z]+/\nSTRING: "[stop=1]"'))
    compile_constraint(Lark('start: a\na: "[stop=1]" /[\\[]temperature=/'))


def test_schemas_inside_lark_are_checked_as_elsewhere() -> None:
    for schema, position in (
        ({"items": {"contains": {}}}, "#/items/contains"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "#/x-guidance/lenient"),
    ):
        with pytest.raises(ConstraintError) as raised:
            compile_constraint(Lark(f'start: "a" %json {json.dumps(schema)} "b"'))
        assert raised.value.position == position


def test_llguidances_own_format(texts: Texts) -> None:
    own = Guidance(json.dumps({"grammars": [{"lark_grammar": 'start: "a" "b"'}]}))
    assert texts.allow(own, "ab")
    for text in ("{", "[]", '{"grammars": []}', '{"grammars": [1]}'):
        with pytest.raises(ConstraintError):
            compile_constraint(Guidance(text))
    inner = {"grammars": [{"json_schema": {"items": {"contains": {}}}}]}
    with pytest.raises(ConstraintError, match="contains"):
        compile_constraint(Guidance(json.dumps(inner)))


COMPOSITES: dict[str, tuple[Constraint, list[str], list[str]]] = {
    "regular parts after each other": (
        InSequence((Regex("a*"), choice(["ab", "a"]), Regex("b?c"))),
        ["abc", "aabc", "ac", "abbc"],
        ["c", "bc", "abb"],
    ),
    "text before an object": (
        InSequence((Regex("[^{]*"), OBJECT, choice(["", "!"]))),
        ['Well: {"a": 1}', "{}!", "x{}"],
        ["Well", "{}x"],
    ),
    "grammars after each other": (
        InSequence((Lark('start: "a" "b"?'), Lark('start: "1" | "2" start'))),
        ["a1", "ab221"],
        ["1", "a2"],
    ),
    "expressions at once": (
        AllOf((Regex("[a-z]+"), Regex(".*x.*"), choice(["axe", "bee", "box"]))),
        ["axe", "box"],
        ["bee", "x"],
    ),
    "a schema and an expression at once": (
        AllOf((OBJECT, Regex(".{0,9}"))),
        ["{}", '{"a": 1}'],
        ['{"abc": 123}', "[]"],
    ),
    "either of different kinds": (
        AnyOf((json_schema({"required": ["a"], "type": "object"}), Regex(r'\{"a"; x\}'))),
        ['{"a": 1}', '{"a"; x}'],
        ['{"b": 1}', '{"a"; y}'],
    ),
    "a choice inside a sequence": (
        InSequence((choice(["= "]), AnyOf((json_schema({"type": "integer"}), Lark('start: "x"'))))),
        ["= 12", "= x"],
        ["= y", "12"],
    ),
    "a choice between intersections": (
        AnyOf((AllOf((OBJECT, Regex(".{0,7}"))), choice(["none", "{no"]))),
        ['{"a":1}', "none", "{no"],
        ['{"ab":12}', "{n"],
    ),
    "an intersection with a choice in it": (
        AllOf((AnyOf((OBJECT, Lark('start: "<" /[a-z]+/ ">"'))), Regex(".*b.*"))),
        ['{"b": 1}', "<abc>"],
        ['{"a": 1}', "<a>"],
    ),
    "nested sequences": (
        InSequence((InSequence((choice(["a"]), InSequence((choice(["b"]),)))), choice(["c"]))),
        ["abc"],
        ["ab", "ac"],
    ),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_allows_exactly_its_texts(name: str, texts: Texts) -> None:
    constraint, right, wrong = COMPOSITES[name]
    for text in right:
        assert texts.allow(constraint, text), text
    for text in wrong:
        assert not texts.allow(constraint, text), text


REGULAR = st.recursive(
    st.one_of(
        st.sampled_from(["a*", "[ab]+", "b?", "(ab)+", ".", "a{2,3}"]).map(Regex),
        st.lists(st.text("ab", max_size=3), min_size=1, max_size=3).map(
            lambda options: Choice(tuple(dict.fromkeys(options)))
        ),
    ),
    lambda parts: st.tuples(
        st.sampled_from([InSequence, AnyOf, AllOf]), st.lists(parts, min_size=1, max_size=3)
    ).map(lambda drawn: drawn[0](tuple(drawn[1]))),
    max_leaves=5,
)


def _matches(constraint: Any, text: str) -> bool:
    """What a regular composite means, by definition."""
    match constraint:
        case Regex():
            return re.fullmatch(constraint.pattern, text) is not None
        case Choice():
            return text in constraint.options
        case AnyOf():
            return any(_matches(part, text) for part in constraint.parts)
        case AllOf():
            return all(_matches(part, text) for part in constraint.parts)
    first, rest = constraint.parts[0], constraint.parts[1:]
    if not rest:
        return _matches(first, text)
    return any(
        _matches(first, text[:cut]) and _matches(InSequence(rest), text[cut:])
        for cut in range(len(text) + 1)
    )


@settings(max_examples=150, deadline=None)
@given(REGULAR, st.text("abc", max_size=5))
def test_regular_composites_mean_what_they_say(constraint: Constraint, text: str) -> None:
    assert Texts(demo_vocabulary()).allow(constraint, text) == _matches(constraint, text)


@pytest.mark.parametrize(
    ("constraint", "part", "reason"),
    [
        (InSequence((choice(["a"]), Regex("b("))), "sequence[1]", "regex"),
        (
            AnyOf((OBJECT, AllOf((Regex("a"), json_schema({"not": {}}))))),
            "any_of[1].all_of[1]",
            "not",
        ),
        (InSequence((Regex("[^x]*"), OBJECT)), "sequence[0]", "its end cannot be told"),
        (InSequence((json_schema({"type": "integer"}), OBJECT, Regex("a"))), "", ""),
        (
            InSequence((json_schema({"type": "integer"}), Regex("[0-9]"), OBJECT)),
            "sequence[0]",
            "its end cannot be told",
        ),
        (
            InSequence((choice(["a"]), AllOf((OBJECT, Regex(".*"))))),
            "sequence[1]",
            "different kinds",
        ),
        (AnyOf(()), "", "at least one part"),
        (Choice(()), "", "at least one option"),
        (Choice(("x" * 10_000,)), "", "8192 bytes at most"),
        (AnyOf((Choice(("a",)),) * 300), "", "256 parts at most"),
    ],
)
def test_what_is_wrong_in_a_composite_is_told_with_its_part(
    constraint: Constraint, part: str, reason: str
) -> None:
    if not reason:
        compile_constraint(constraint)
        return
    with pytest.raises(ConstraintError) as raised:
        compile_constraint(constraint)
    assert raised.value.part == part
    assert reason in str(raised.value)


def test_parts_that_cannot_be_told_apart_by_name_are_refused() -> None:
    own = Guidance(json.dumps({"grammars": [{"name": "g", "lark_grammar": 'start: "a"'}]}))
    with pytest.raises(ConstraintError, match="two grammars are called 'g'"):
        compile_constraint(InSequence((own, own)))


def test_equal_constraints_have_equal_digests_and_options_change_them() -> None:
    first, second = (compile_constraint(choice(["a", "b"])) for _ in range(2))
    assert first.digest == second.digest == digest(choice(["a", "b"]))
    assert first.digest != compile_constraint(choice(["b", "a"])).digest
    tight = compile_constraint(choice(["a", "b"]), Options(disable_any_whitespace=True))
    assert tight.digest != first.digest


def test_an_empty_text_can_be_the_only_one(texts: Texts) -> None:
    matcher = texts.matcher(choice([""]))
    assert matcher.complete
    assert matcher.consume([END]) == 1
