"""What clients send is read as they mean it; what cannot be read is told with its part."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel
from vllm.sampling_params import StructuredOutputsParams

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
from mods.sdk.errors import ConstraintError
from server.constraints.reading import Carried, read_response_format, read_structured_outputs
from server.constraints.specs import Constraints, read_constraints

SCHEMA = {"type": "integer"}
JSON = Json('{"type":"integer"}')
OBJECT = Json('{"type":"object"}')
TAG = {"type": "structural_tag", "format": {"type": "any_text"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, OBJECT),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, JSON),
        ({"type": "json_schema", "name": "a", "schema": SCHEMA}, JSON),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, OBJECT),
        (TAG, StructuralTag(json.dumps(TAG))),
    ],
)
def test_response_formats(given: Any, expected: Constraint | None) -> None:
    assert read_response_format(given) == expected


def test_an_unknown_response_format_is_refused() -> None:
    with pytest.raises(ConstraintError, match="xml"):
        read_response_format({"type": "xml"})


@pytest.mark.parametrize("as_class", [True, False])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"json": SCHEMA}, JSON),
        ({"json": '{"type":"integer"}'}, JSON),
        ({"json_object": True}, OBJECT),
        ({"regex": "a+"}, Regex("a+")),
        ({"choice": ["a", "b", "a"]}, Choice(("a", "b"))),
        ({"grammar": 'start: "a"'}, Lark('start: "a"')),
        ({"grammar": 'root ::= "a"'}, Ebnf('root ::= "a"')),
        ({"grammar": 'start: "::="'}, Lark('start: "::="')),
        ({"grammar": '{"grammars": []}'}, Guidance('{"grammars": []}')),
        ({"structural_tag": json.dumps(TAG)}, StructuralTag(json.dumps(TAG))),
        (
            {"json": SCHEMA, "disable_any_whitespace": True},
            Json('{"type":"integer","x-guidance":{"whitespace_flexible":false}}'),
        ),
        (
            {"json": {"properties": {"a": {}}}, "disable_additional_properties": True},
            Json('{"properties":{"a":{}},"additionalProperties":false}'),
        ),
        (
            {"json_object": True, "whitespace_pattern": "[ ]?"},
            Json('{"type":"object","x-guidance":{"whitespace_pattern":"[ ]?"}}'),
        ),
    ],
)
def test_structured_outputs(given: Any, expected: Constraint, as_class: bool) -> None:
    params = StructuredOutputsParams(**given) if as_class else given
    assert read_structured_outputs(params) == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"json": SCHEMA, "regex": "a"},
        {"regex": 3},
        {"choice": []},
        {"choice": [1]},
        {"json": 3},
        {"json_object": False},
    ],
)
def test_what_is_no_structured_output_is_refused(given: Any) -> None:
    with pytest.raises(ConstraintError):
        read_structured_outputs(given)


def test_a_constraint_that_vllm_has_no_word_for_is_carried() -> None:
    composite = AnyOf((Regex("a"), JSON))
    assert read_structured_outputs(Carried(composite)) is composite


SPECS: list[tuple[Any, Constraint]] = [
    ({"type": "json", "schema": SCHEMA}, JSON),
    ({"type": "json", "schema": '{"type":"integer"}'}, JSON),
    ({"type": "json"}, OBJECT),
    ({"type": "regex", "pattern": "a"}, Regex("a")),
    ({"type": "choice", "choices": ["a", "b"]}, Choice(("a", "b"))),
    ({"type": "grammar", "grammar": 'start: "a"'}, Lark('start: "a"')),
    ({"type": "grammar", "grammar": 'root ::= "a"'}, Ebnf('root ::= "a"')),
    ({"type": "grammar", "grammar": "x", "syntax": "gbnf"}, Ebnf("x")),
    ({"type": "structural_tag", "structural_tag": TAG}, StructuralTag(json.dumps(TAG))),
    ("exactly", Choice(("exactly",))),
    (["a", {"type": "json"}], InSequence((Choice(("a",)), OBJECT))),
    ({"any_of": ["a", "b"]}, AnyOf((Choice(("a",)), Choice(("b",))))),
    (
        {
            "type": "composite",
            "all_of": [{"type": "regex", "pattern": "a"}, ["a", {"any_of": ["b"]}]],
        },
        AllOf((Regex("a"), InSequence((Choice(("a",)), AnyOf((Choice(("b",)),)))))),
    ),
]


@pytest.mark.parametrize(("given", "expected"), SPECS)
def test_specs(given: Any, expected: Constraint) -> None:
    assert read_constraints(given) == expected


@pytest.mark.parametrize(
    ("given", "part", "reason"),
    [
        ({"type": "regexp"}, "", "'regexp' is not known"),
        ({"type": "regex"}, "", "'pattern' is missing"),
        ({"type": "regex", "pattern": "a", "flags": "i"}, "", "no field 'flags'"),
        (["a", {"type": "choice", "choices": []}], "sequence[1]", "at least one"),
        ({"any_of": ["a", {"all_of": [3]}]}, "any_of[1].all_of[0]", "got 3"),
        ({"any_of": ["a"], "all_of": ["b"]}, "", "exactly one of"),
        ({"type": "composite"}, "", "got none"),
        ({"any_of": ["a"], "or": []}, "", "no field 'or'"),
        ([], "", "at least one part"),
        (None, "", "got None"),
        (json.loads("[" * 200 + '"a"' + "]" * 200), "sequence[0]." * 64 + "sequence[0]", "deep"),
    ],
)
def test_what_is_wrong_in_a_spec_is_told_with_its_part(given: Any, part: str, reason: str) -> None:
    with pytest.raises(ConstraintError) as raised:
        read_constraints(given)
    assert raised.value.part == part
    assert reason in raised.value.reason


def test_specs_are_documented_as_they_are_read() -> None:
    class Body(BaseModel):
        constraints: Constraints

    described = Body.model_json_schema()["$defs"]
    assert {"JsonSpec", "GrammarSpec", "RegexSpec", "ChoiceSpec", "CompositeSpec"} <= set(described)
    for given, expected in SPECS:
        assert Body(constraints=given).constraints == expected
