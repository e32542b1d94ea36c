"""vLLM's structural tags: free text, and stretches in it that are as their formats say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mods.runtime.grammar.compile import Options, compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.sdk.constraints import StructuralTag
from mods.sdk.errors import ConstraintError
from tests.mods.runtime.grammar.conftest import Texts

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
BODY = {"type": "json_schema", "json_schema": SCHEMA}
CALL = {"type": "tag", "begin": "<f=x>", "content": BODY, "end": "</f>"}
OTHER = {
    "type": "tag",
    "begin": "<f=y>",
    "content": {"type": "regex", "pattern": "[0-9]+"},
    "end": "",
}


def tag(content: Any) -> StructuralTag:
    return StructuralTag(json.dumps(content))


def formatted(**given: Any) -> StructuralTag:
    return tag({"type": "structural_tag", "format": given})


CASES: dict[str, tuple[StructuralTag, list[str], list[str]]] = {
    "the older form": (
        tag(
            {
                "structures": [{"begin": "<f=x>", "schema": SCHEMA, "end": "</f>"}],
                "triggers": ["<f="],
            }
        ),
        ["hi", 'hi <f=x>{"a": 1}</f> there <f=x>{"a":2}</f>', "", "a < b"],
        ['<f=x>{"b": 1}</f>', "<f=y>", '<f=x>{"a": 1}'],
    ),
    "triggered": (
        formatted(type="triggered_tags", triggers=["<f="], tags=[CALL, OTHER]),
        ["so", 'so <f=x>{"a":1}</f><f=y>12 then'],
        ["<f=z>", "<f=y>a"],
    ),
    "at least one, first": (
        formatted(type="triggered_tags", triggers=["<f="], tags=[CALL], at_least_one=True),
        ['<f=x>{"a":1}</f>', '<f=x>{"a":1}</f> and <f=x>{"a":2}</f>.'],
        ["", "and", 'and <f=x>{"a":1}</f>'],
    ),
    "exactly one": (
        formatted(
            type="triggered_tags",
            triggers=["<f="],
            tags=[CALL],
            at_least_one=True,
            stop_after_first=True,
        ),
        ['<f=x>{"a":1}</f>'],
        ["", '<f=x>{"a":1}</f> '],
    ),
    "without some words": (
        formatted(type="triggered_tags", triggers=["<f="], tags=[CALL], excludes=["no"]),
        ["yes", 'yes <f=x>{"a":1}</f>'],
        ["no", "yes no"],
    ),
    "separated": (
        formatted(type="tags_with_separator", tags=[CALL, OTHER], separator=";"),
        ["", '<f=x>{"a":1}</f>', "<f=y>1;<f=y>2"],
        ["<f=y>1<f=y>2", ";"],
    ),
    "free text inside a tag": (
        formatted(
            type="sequence",
            elements=[
                {"type": "tag", "begin": "[", "content": {"type": "any_text"}, "end": ["]", ")"]},
                {"type": "const_string", "value": "."},
            ],
        ),
        ["[].", "[so it (is)."],
        ["[].].", "["],
    ),
    "short text": (formatted(type="any_text", max_chars=3), ["", "abc"], ["abcd"]),
    "either": (
        formatted(
            type="or",
            elements=[
                {"type": "const_string", "value": "yes"},
                {"type": "grammar", "grammar": 'root ::= "(" root ")" | "n"'},
                {"type": "repeat", "min": 1, "max": 2, "content": OTHER},
                {"type": "optional", "content": {"type": "const_string", "value": "q"}},
            ],
        ),
        ["yes", "((n))", "<f=y>1", "<f=y>1<f=y>2", "q", ""],
        ["y", "(n", "<f=y>1<f=y>2<f=y>3"],
    ),
    "any number": (
        formatted(type="plus", content={"type": "star", "content": OTHER}),
        ["", "<f=y>1", "<f=y>1<f=y>2"],
        ["<f=y>"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_tag_allows_exactly_its_texts(name: str, texts: Texts) -> None:
    constraint, right, wrong = CASES[name]
    for text in right:
        assert texts.allow(constraint, text), text
    for text in wrong:
        assert not texts.allow(constraint, text), text


def test_marks_that_are_special_tokens_come_as_tokens(texts: Texts) -> None:
    vocabulary = texts.vocabulary
    specials = dict(vocabulary.specials)
    constraint = formatted(
        type="tag", begin="<think>a", content={"type": "any_text"}, end="</think>"
    )
    grammar = compile_constraint(constraint, Options(specials=vocabulary.specials))
    matcher = Matcher(grammar, vocabulary)
    tokens = [specials["<think>"], *vocabulary.encode("ab c"), specials["</think>"]]
    assert matcher.consume(tokens) == len(tokens)
    assert matcher.complete


def test_tokens_by_id(texts: Texts) -> None:
    vocabulary = texts.vocabulary
    user = dict(vocabulary.specials)["<|user|>"]
    constraint = formatted(
        type="sequence",
        elements=[
            {"type": "token", "token": user},
            {"type": "any_tokens", "exclude_tokens": [user]},
            {"type": "token", "token": user},
        ],
    )
    matcher = Matcher(compile_constraint(constraint), vocabulary)
    tokens = [user, *vocabulary.encode("anything"), user]
    assert matcher.consume(tokens) == len(tokens)
    assert matcher.complete


@pytest.mark.parametrize(
    ("constraint", "position", "reason"),
    [
        (StructuralTag("{"), None, "not JSON"),
        (StructuralTag("[]"), None, "is an object"),
        (tag({"structures": [], "triggers": ["a"]}), "structures", "at least one"),
        (tag({}), "format", "None"),
        (formatted(type="dispatch"), "format", "'dispatch' cannot be kept"),
        (formatted(type="json_schema", style="qwen_xml"), "format.style", "qwen_xml"),
        (
            formatted(type="tag", begin="a", content={"type": "any_text", "max_tokens": 3}, end=""),
            "format.content.max_tokens",
            "max_chars",
        ),
        (
            formatted(type="or", elements=[{"type": "json_schema", "json_schema": {"not": {}}}]),
            "format.elements[0].json_schema#/not",
            "not",
        ),
        (
            formatted(type="triggered_tags", triggers=["<g"], tags=[CALL]),
            "format.tags[0].begin",
            "none of the triggers",
        ),
        (formatted(type="token", token="<nobody>"), "format", "no special token"),
        (formatted(type="regex", pattern="a\\"), "format", "lone backslash"),
        (formatted(type="regex"), "format.pattern", "expected text"),
        (formatted(type="sequence", elements=[]), "format", "at least one"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(
    constraint: StructuralTag, position: str | None, reason: str
) -> None:
    with pytest.raises(ConstraintError) as raised:
        compile_constraint(constraint)
    assert raised.value.position == position
    assert reason in raised.value.reason
