"""Every keyword of JSON schema is enforced, is a remark, or is refused by name and place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mods.runtime.grammar.compile import Options, compile_constraint
from mods.runtime.grammar.json_judge import faults_of, read
from mods.sdk.constraints import AllOf, AnyOf, Json, json_schema
from mods.sdk.errors import ConstraintError
from tests.mods.runtime.grammar.conftest import Texts

ENFORCED: dict[str, tuple[Any, list[str], list[str]]] = {
    "type": ({"type": ["integer", "null"]}, ["1", "null"], ['"a"', "1.5"]),
    "enum": ({"enum": [1, "a", {"b": []}]}, ["1", '"a"', '{"b":[]}'], ["2", '"b"']),
    "const": ({"const": {"a": None}}, ['{"a":null}'], ['{"a":1}', "{}"]),
    "minimum": ({"type": "integer", "minimum": 3}, ["3", "10"], ["2", "-3"]),
    "maximum": ({"type": "number", "maximum": 3}, ["3", "2.5", "-9"], ["3.1", "10"]),
    "exclusiveMinimum": ({"type": "integer", "exclusiveMinimum": 3}, ["4"], ["3"]),
    "exclusiveMaximum": ({"type": "integer", "exclusiveMaximum": 3}, ["2"], ["3"]),
    "multipleOf": ({"type": "number", "multipleOf": 0.1}, ["0.3", "1"], ["0.35"]),
    "minLength": ({"type": "string", "minLength": 2}, ['"ab"', '"éé"'], ['"a"', '"😀"']),
    "maxLength": ({"type": "string", "maxLength": 1}, ['"a"', '"😀"', '""'], ['"ab"']),
    "pattern": ({"type": "string", "pattern": "^a+$"}, ['"aa"'], ['"b"', '""']),
    "format": ({"type": "string", "format": "ipv4"}, ['"1.2.3.4"'], ['"1.2.3"']),
    "items": ({"type": "array", "items": {"type": "null"}}, ["[]", "[null]"], ["[1]"]),
    "prefixItems": (
        {"type": "array", "prefixItems": [{"const": 1}], "items": False},
        ["[1]", "[]"],
        ["[2]", "[1,1]"],
    ),
    "additionalItems": (
        {"type": "array", "items": [{"const": 1}], "additionalItems": False},
        ["[1]"],
        ["[1,1]"],
    ),
    "minItems": ({"type": "array", "minItems": 1}, ["[1]"], ["[]"]),
    "maxItems": ({"type": "array", "maxItems": 1}, ["[1]", "[]"], ["[1,2]"]),
    "properties": (
        {"type": "object", "properties": {"a": {"type": "null"}}},
        ['{"a":null}', "{}", '{"b":1}'],
        ['{"a":1}', r'{"\u0061":1}'],
    ),
    "required": ({"type": "object", "required": ["a"]}, ['{"a":1}'], ["{}", r'{"\u0061":1}']),
    "additionalProperties": (
        {
            "type": "object",
            "properties": {"a": {}, "ab": {}, "é.": {}},
            "additionalProperties": {"type": "null"},
        },
        ['{"a":1}', '{"a":1,"ab":2,"é.":3,"b":null,"abc":null}', '{"":null}'],
        ['{"b":1}', '{"aa":1}', r'{"\u0061":1}', '{"a":1,"a":null}'],
    ),
    "patternProperties": (
        {"type": "object", "patternProperties": {"^a": {"type": "null"}}},
        ['{"ab":null}', '{"b":1}'],
        ['{"ab":1}'],
    ),
    "minProperties": ({"type": "object", "minProperties": 1}, ['{"a":1}'], ["{}"]),
    "maxProperties": ({"type": "object", "maxProperties": 1}, ['{"a":1}'], ['{"a":1,"b":2}']),
    "allOf": ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, ["2"], ["1", '"a"']),
    "anyOf": ({"anyOf": [{"const": 1}, {"type": "string"}]}, ["1", '"a"'], ["2"]),
    "oneOf": ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, ["1", '"a"'], ["1.5"]),
    "$ref": ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, ["1"], ["2"]),
}
"""By keyword: a schema, JSON texts that it accepts and others that it does not."""

STRICTER = {
    ("required", r'{"\u0061":1}'),
    ("additionalProperties", r'{"\u0061":1}'),
    ("additionalProperties", '{"a":1,"a":null}'),
}
"""Valid, and still not allowed: a key is written as the schema writes it, and once."""

REMARKS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/a",
    "$anchor": "a",
    "$dynamicAnchor": "a",
    "$recursiveAnchor": True,
    "$comment": "a",
    "$vocabulary": {"https://json-schema.org/draft/2020-12/vocab/core": True},
    "$defs": {"unused": {"not": {}}},
    "definitions": {"unused": {"not": {}}},
    "title": "a",
    "description": "a",
    "default": 1,
    "deprecated": True,
    "readOnly": True,
    "writeOnly": True,
    "examples": [1],
    "contentEncoding": "base64",
    "contentMediaType": "text/plain",
    "contentSchema": {"type": "integer"},
}

REFUSED: dict[str, Any] = {
    "contains": {},
    "minContains": 1,
    "maxContains": 1,
    "uniqueItems": True,
    "propertyNames": {"pattern": "a"},
    "dependentRequired": {"a": ["b"]},
    "dependentSchemas": {"a": {"required": ["b"]}},
    "dependencies": {"a": ["b"]},
    "unevaluatedItems": False,
    "unevaluatedProperties": False,
    "if": {},
    "then": {},
    "else": {},
    "not": {"type": "integer"},
    "$dynamicRef": "#a",
    "$recursiveRef": "#",
    "nullable": True,
    "extends": {},
    "disallow": ["string"],
    "divisibleBy": 2,
}

SAY_NOTHING = {
    "uniqueItems": False,
    "propertyNames": {},
    "dependentRequired": {},
    "unevaluatedItems": True,
    "unevaluatedProperties": {},
    "not": False,
    "nullable": False,
}


@pytest.mark.parametrize("keyword", ENFORCED)
def test_a_keyword_is_enforced(keyword: str, texts: Texts) -> None:
    schema, right, wrong = ENFORCED[keyword]
    constraint = json_schema(schema)
    for text in right:
        assert texts.allow(constraint, text), text
        assert faults_of(constraint.schema, read(text)) == [], text
    for text in wrong:
        assert not texts.allow(constraint, text), text
        if (keyword, text) not in STRICTER:
            assert faults_of(constraint.schema, read(text)), text


@pytest.mark.parametrize("keyword", REMARKS)
def test_a_remark_changes_nothing(keyword: str, texts: Texts) -> None:
    constraint = json_schema({keyword: REMARKS[keyword], "type": "integer"})
    assert texts.allow(constraint, "12")
    assert not texts.allow(constraint, '"a"')
    assert compile_constraint(constraint).warnings == ()


@pytest.mark.parametrize("keyword", REFUSED)
def test_a_keyword_that_masks_do_not_enforce_is_refused_by_name_and_place(keyword: str) -> None:
    inner = {keyword: REFUSED[keyword]}
    for schema, place in (
        (inner, f"#/{keyword}"),
        ({"properties": {"a/b": {"items": inner}}}, f"#/properties/a~1b/items/{keyword}"),
        ({"$ref": "#/$defs/x", "$defs": {"x": inner}}, f"#/$defs/x/{keyword}"),
        ({"anyOf": [True, inner]}, f"#/anyOf/1/{keyword}"),
    ):
        with pytest.raises(ConstraintError) as raised:
            compile_constraint(json_schema(schema))
        assert raised.value.position == place
        assert repr(keyword) in raised.value.reason
        assert raised.value.status == 400


@pytest.mark.parametrize("keyword", SAY_NOTHING)
def test_a_keyword_that_forbids_nothing_is_left_out(keyword: str, texts: Texts) -> None:
    assert texts.allow(json_schema({keyword: SAY_NOTHING[keyword]}), "[1,1]")


def test_every_keyword_of_draft_2020_12_is_in_one_of_the_tables() -> None:
    from jsonschema import Draft202012Validator
    from jsonschema_specifications import REGISTRY

    keywords: set[str] = set()
    for name in (
        "core",
        "applicator",
        "unevaluated",
        "validation",
        "meta-data",
        "format-annotation",
        "content",
    ):
        resource = REGISTRY[f"https://json-schema.org/draft/2020-12/meta/{name}"]
        keywords |= set(resource.contents["properties"])
    keywords |= set(Draft202012Validator.META_SCHEMA["properties"])
    assert len(keywords) > 50
    assert keywords - set(ENFORCED) - set(REMARKS) - set(REFUSED) == set()


@pytest.mark.parametrize(
    ("schema", "position", "reason"),
    [
        ({"minlength": 3}, "#", "did you mean 'minLength'"),
        ({"properties": {"a": {"format": "iri"}}}, "#/properties/a/format", "'iri'"),
        ({"$ref": "https://example.com/a.json"}, "#/$ref", "nothing is fetched"),
        ({"items": {"$ref": "#/$defs/b"}}, "#/items/$ref", "leads nowhere"),
        ({"$ref": "#nowhere"}, "#/$ref", "names no $anchor"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "#/$schema", "draft-03"),
        ({"x-guidance": {"lenient": True}}, "#/x-guidance/lenient", "lets values through"),
        ({"type": "object", "minProperties": 3}, "#/minProperties", "may repeat"),
        ({"type": "array", "maxItems": 65_535}, "#/maxItems", "10000 at most"),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "#/properties/a", "look-around"),
        ({"properties": {"a": {"type": "any"}}}, "#/properties/a", "Invalid type"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "#", "greater than maximum"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "#", "oneOf"),
        (False, "#", "allows no value"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(schema: Any, position: str, reason: str) -> None:
    with pytest.raises(ConstraintError) as raised:
        compile_constraint(json_schema(schema))
    assert raised.value.position == position
    assert reason in raised.value.reason


@pytest.mark.parametrize("text", ["", "{", '{"type": NaN}', "[]", "3", "[" * 100_000])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ConstraintError):
        compile_constraint(Json(text))


def test_an_unknown_keyword_is_a_warning_and_ours_is_none() -> None:
    grammar = compile_constraint(json_schema({"flavour": 1, "x-order": 2, "type": "integer"}))
    assert grammar.warnings == ("#: 'flavour' is no keyword of JSON schema and changes nothing",)


def test_local_references_may_recur(texts: Texts) -> None:
    tree = json_schema(
        {
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                    "additionalProperties": False,
                }
            },
            "$ref": "#/$defs/tree",
        }
    )
    assert texts.allow(tree, '{"sub":[{},{"sub":[]}]}')
    assert not texts.allow(tree, '{"sub":[{"a":1}]}')


def test_days_that_no_calendar_has_are_not_dates(texts: Texts) -> None:
    date = json_schema({"type": "string", "format": "date"})
    for day, real in (
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("2000-02-29", True),
        ("1900-02-29", False),
        ("2023-02-28", True),
        ("2023-10-31", True),
        ("2023-11-31", False),
    ):
        assert texts.allow(date, f'"{day}"') == real, day
        assert (not faults_of(date.schema, day)) == real, day


def test_spaces_are_the_clients_to_choose(texts: Texts) -> None:
    pair = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    tight = json_schema({**pair, "x-guidance": {"whitespace_flexible": False}})
    assert texts.allow(json_schema(pair), '{ "a" : 1 }')
    assert texts.allow(tight, '{"a":1}')
    assert not texts.allow(tight, '{"a": 1}')
    options = Options(disable_any_whitespace=True)
    matcher = texts.matcher(json_schema(pair), options)
    assert not matcher.allows(texts.vocabulary.encode("{ ")[0]) or matcher.forced()


def test_objects_can_be_closed_for_all(texts: Texts) -> None:
    schema = json_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    closed = texts.matcher(schema, Options(disable_additional_properties=True))
    tokens = texts.vocabulary.encode('{"b":1}')
    assert closed.consume(tokens) < len(tokens)
    assert texts.allow(schema, '{"b":1}')


def test_schemas_under_all_of_and_any_of_become_one(texts: Texts) -> None:
    one = json_schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "required": ["a"]}}})
    two = json_schema(
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        }
    )
    both = compile_constraint(AllOf((one, two)))
    assert len(both.parts) == 1
    assert texts.allow(AllOf((one, two)), '{"b":1,"a":2}')
    assert not texts.allow(AllOf((one, two)), '{"b":1}')
    either = AnyOf((one, json_schema({"type": "integer"})))
    assert len(compile_constraint(either).parts) == 1
    assert texts.allow(either, '{"a":1}')
    assert texts.allow(either, "3")
    assert not texts.allow(either, "{}")


def test_the_schema_that_travels_is_the_one_that_was_sent() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}
    text = compile_constraint(json_schema(schema)).parts[0]
    inner = json.loads(text)["grammars"][0]["json_schema"]
    assert list(inner["properties"]) == ["b", "a"]
