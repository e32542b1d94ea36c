"""The corpus of schemas: no two alike, all of them valid, each with keys worth forcing."""

from __future__ import annotations

import json
from itertools import islice

import jsonschema
import llguidance
import pytest

from bench.schemas import PROPERTIES, schemas

COUNT = 300


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, object]]:
    return list(islice(schemas(seed=1), COUNT))


def test_no_two_schemas_are_alike(corpus: list[dict[str, object]]) -> None:
    assert len({json.dumps(schema) for schema in corpus}) == COUNT


def test_a_seed_gives_the_same_schemas_and_another_one_others() -> None:
    first = list(islice(schemas(1), 20))
    assert first == list(islice(schemas(1), 20))
    assert not any(schema in first for schema in islice(schemas(2), 20))


def test_every_schema_is_valid_and_compiles(corpus: list[dict[str, object]]) -> None:
    for schema in corpus:
        jsonschema.Draft202012Validator.check_schema(schema)
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
        assert llguidance.LLMatcher.validate_grammar(grammar) == ""


def test_keys_are_long_and_all_required(corpus: list[dict[str, object]]) -> None:
    for schema in corpus:
        properties = schema["properties"]
        assert isinstance(properties, dict)
        assert len(properties) == PROPERTIES
        assert min(map(len, properties)) >= 30
        assert schema["required"] == list(properties)


def test_every_value_is_bounded(corpus: list[dict[str, object]]) -> None:
    bounds = {"string": {"pattern", "enum"}, "integer": {"maximum"}, "array": {"maxItems"}}
    for schema in corpus:
        properties = schema["properties"]
        assert isinstance(properties, dict)
        for value in properties.values():
            assert value["type"] == "boolean" or bounds[value["type"]] & value.keys()
