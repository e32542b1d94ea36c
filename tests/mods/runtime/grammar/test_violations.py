"""Texts are judged by other means than the masks: what is wrong is found, with its place."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mods.runtime.grammar.formats import FORMATS
from mods.runtime.grammar.violations import judge
from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Constraint,
    Ebnf,
    Guidance,
    InSequence,
    Lark,
    Regex,
    StructuralTag,
    choice,
    json_schema,
)
from tests.mods.runtime.grammar.conftest import Texts

OBJECT = json_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
SUMS = Ebnf('root ::= root "+" one | one\none ::= [0-9]+ | "(" root ")"')


@pytest.mark.parametrize(
    ("constraint", "text", "judges"),
    [
        (OBJECT, '{"a": 1, "b": [1e400, 1.0]}', ("jsonschema",)),
        (Regex(r"\p{Greek}+[[:alpha:]]"), "λβc", ("regex",)),
        (Regex(r"\x{41}b"), "Ab", ("llguidance",)),
        (choice(["a", "ab"]), "ab", ("comparison",)),
        (SUMS, "(1+22)+3", ("earley",)),
        (Lark('start: "a" b+\nb: /[0-9]/ ","'), "a1,2,", ("lark",)),
        (Lark('start: "a" %json {"type": "integer"}'), "a12", ("llguidance",)),
        (Guidance('{"grammars": [{"lark_grammar": "start: /a+/"}]}'), "aa", ("llguidance",)),
        (
            InSequence((Regex("[^{]*"), OBJECT, SUMS)),
            'so {"a": 1}2',
            ("regex", "jsonschema", "earley"),
        ),
        (AllOf((OBJECT, Regex(".{0,9}"))), '{"a": 1}', ("jsonschema", "regex")),
        (AnyOf((OBJECT, choice(["no"]))), "no", ("jsonschema", "comparison")),
        (Lark("start: <|user|>"), "", ()),
    ],
)
def test_a_text_that_is_right_has_no_violations(
    constraint: Constraint, text: str, judges: tuple[str, ...]
) -> None:
    verdict = judge(constraint, text)
    assert verdict.violations == ()
    assert verdict.judges == judges


@pytest.mark.parametrize(
    ("constraint", "text", "part", "position"),
    [
        (OBJECT, '{"a": 1.5}', "", "#/a"),
        (OBJECT, '{"a": 1', "", "the end"),
        (OBJECT, '{"a": NaN}', "", None),
        (json_schema({"items": {"format": "date"}}), '["2024-02-29", "2023-02-29"]', "", "#/1"),
        (json_schema({"type": "number", "multipleOf": 0.1}), "0.35", "", "#"),
        (json_schema({"properties": {"a/b": {"type": "null"}}}), '{"a/b": 1}', "", "#/a~1b"),
        (
            json_schema({"type": "array", "items": [True], "additionalItems": False}),
            "[1,2]",
            "",
            "#",
        ),
        (Regex("[0-9]{3}x"), "12a", "", "character 2"),
        (Regex("[0-9]{3}x"), "12", "", "the end"),
        (choice(["red", "green"]), "grey", "", "character 3"),
        (SUMS, "1+x", "", "character 2"),
        (SUMS, "(1", "", "the end"),
        (Lark('start: "a" "b"'), "ac", "", "character 1"),
        (Lark('start: "a" %json {"type": "integer"}'), "ab", "", "character 1"),
        (AllOf((OBJECT, Regex(".{0,5}"))), '{"a": 1}', "all_of[1]", "character 5"),
        (AnyOf((choice(["a"]), choice(["b"]))), "c", "any_of[0]", "character 0"),
        (InSequence((choice(["a"]), OBJECT)), "a[]", "sequence[1]", "the end"),
        (InSequence((choice(["a"]), OBJECT)), "a{} ", "sequence[1]", "character 3"),
        (InSequence((choice(["a"]), OBJECT)), "b{}", "sequence[0]", "character 0"),
    ],
)
def test_what_is_wrong_is_found_with_its_place(
    constraint: Constraint, text: str, part: str, position: str | None
) -> None:
    first = judge(constraint, text).violations[0]
    assert (first.part, first.position) == (part, position)
    assert first.message


def test_an_unfinished_text_says_so_unless_it_is_whole() -> None:
    unfinished = judge(OBJECT, '{"a": ', finished=False)
    assert len(unfinished.violations) == 1
    assert "ended before it was whole" in unfinished.violations[0].message
    assert judge(OBJECT, '{"a": 1}', finished=False).violations == ()


def test_sequences_are_cut_where_they_can_be() -> None:
    constraint = InSequence((choice(["a", "ab"]), choice(["bc", "c"]), json_schema({"const": 12})))
    for text in ("abc12", "abbc12", "ac12"):
        assert judge(constraint, text).violations == ()
    assert judge(constraint, "abc13").violations


def test_numbers_too_long_for_python_are_judged() -> None:
    integer = json_schema({"type": "integer"})
    assert judge(integer, "1" * 5000).violations == ()
    assert judge(integer, "1" * 5000 + ".5").violations


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", ["2024-02-29", "0000-12-31"], ["2023-02-29", "2023-00-10", "2023-1-1", "x"]),
        ("time", ["23:59:60Z", "12:00:00.5+01:30"], ["24:00:00Z", "12:00:00", "12:60:00Z"]),
        ("date-time", ["2024-02-29T00:00:00Z"], ["2024-02-29 00:00:00Z", "2024-02-29"]),
        ("duration", ["P1D", "P1W", "PT1H2S", "P1Y2M3DT4H"], ["P", "PT", "P1WT1H", "1D", "P1H"]),
        ("email", ["a@b", "a.b+c@d.e", "a@[1.2.3.4]"], ["a", "@b", "a b@c", "a@-b"]),
        ("hostname", ["a", "a.b-c.d"], ["-a", "a..b", "a_b", "a" * 64]),
        ("ipv4", ["1.2.3.4"], ["1.2.3", "256.1.1.1", "01.2.3.4"]),
        ("ipv6", ["::1", "1:2:3:4:5:6:7:8"], ["1::2::3", "::1%eth0", "12345::"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567", "{}"]),
        ("uri", ["http://a/b?c#d", "urn:x:y"], ["a", "http://a b", "//a", "http://a/%zz"]),
    ],
)
def test_formats(name: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not FORMATS[name](text)] == []
    assert [text for text in wrong if FORMATS[name](text)] == []


GENERATED: dict[str, Any] = {
    **{name: {"type": "string", "format": name} for name in FORMATS},
    "numbers": {
        "type": "array",
        "items": {"anyOf": [{"type": "number", "multipleOf": 0.25}, {"minimum": -3, "maximum": 7}]},
    },
    "strings": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-c]+$|x", "minLength": 2},
    },
    "keys": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "bc": {"type": "boolean"}},
        "additionalProperties": {"type": "integer"},
    },
}


CLOSING = ('"', '",', ",", '":', '"]', '"}', "]", "},")


@pytest.mark.parametrize("name", GENERATED)
def test_what_masks_lead_to_is_valid(name: str, texts: Texts) -> None:
    """Random texts under a schema, each judged once it is whole."""
    tight = {**GENERATED[name], "x-guidance": {"whitespace_flexible": False}}
    constraint, draw, whole = json_schema(tight), random.Random(name), 0
    vocabulary = texts.vocabulary
    row = vocabulary.row()
    for _ in range(12):
        matcher = texts.matcher(constraint)
        for step in range(600):
            matcher.fill(row)
            tokens = vocabulary.allowed(row)
            closing = [token for token in tokens if vocabulary.text([token]) in CLOSING]
            matcher.consume([draw.choice(closing if closing and step % 8 else tokens)])
            if matcher.stopped:
                break
        if matcher.stopped:
            whole += 1
            text = vocabulary.text(matcher.tokens)
            assert judge(constraint, text).violations == (), text
    assert whole


def test_structural_tags_are_judged_over_their_text() -> None:
    tag = StructuralTag(
        json.dumps(
            {
                "structures": [{"begin": "<f>", "schema": {"type": "integer"}, "end": "</f>"}],
                "triggers": ["<f>"],
            }
        )
    )
    assert judge(tag, "so <f>1</f>").violations == ()
    assert judge(tag, "so <f>x</f>").violations[0].position == "character 6"
