"""What needs no trial really needs none: it compiles, leads to a text, and is quick."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.schemas import schemas
from mods.runtime.grammar.plain import is_plain
from mods.runtime.grammar.trial import try_out
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import Choice, Regex, json_schema
from tests.server.constraints.bombs import BOMBS

NAMES = st.text('abc_ é"\\', max_size=6)


def bounds(low: str, high: str, numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.tuples(numbers, numbers).map(lambda two: {low: min(two), high: max(two)})


SCALARS = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "number"}, True, {}]),
    st.lists(NAMES, min_size=1, max_size=5, unique=True).map(lambda some: {"enum": some}),
    bounds("minimum", "maximum", st.integers(-(10**6), 10**6)).map(
        lambda more: {"type": "integer", **more}
    ),
    bounds("minLength", "maxLength", st.integers(0, 64)).map(
        lambda more: {"type": "string", **more}
    ),
    st.sampled_from(["^[a-z]{1,8}$", "^[A-Z][a-z]+$", "^[0-9]{4}$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(NAMES, inner, max_size=5).flatmap(
        lambda named: (
            st.lists(st.sampled_from(sorted(named)), unique=True).map(
                lambda required: {"type": "object", "properties": named, "required": required}
            )
            if named
            else st.just({"type": "object"})
        )
    )
    arrays = st.tuples(inner, bounds("minItems", "maxItems", st.integers(0, 6))).map(
        lambda two: {"type": "array", "items": two[0], **two[1]}
    )
    closed = objects.map(lambda made: {**made, "additionalProperties": False})
    return st.one_of(objects, arrays, closed)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.recursive(SCALARS, nested, max_leaves=12))
def test_a_plain_schema_passes_every_trial(vocabulary: Vocabulary, schema: Any) -> None:
    constraint = json_schema(schema)
    if is_plain(constraint):
        try_out(constraint, vocabulary)


def test_schemas_as_people_send_them_are_plain() -> None:
    made = schemas(3, 24)
    assert all(is_plain(json_schema(next(made))) for _ in range(20))
    assert is_plain(Choice(("yes", "no")))


@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_is_plain(name: str) -> None:
    assert not is_plain(BOMBS[name]())


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 2, "maximum": 1},
        {"enum": []},
        {"type": "string", "enum": [1]},
        {"type": "array", "minItems": 10**6},
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "string", "pattern": "^[a-z]+$", "minLength": 3},
        {"properties": {"a": {}}, "required": ["b"]},
        {"$ref": "#"},
        {"anyOf": [{}]},
        {"type": ["string", "null"]},
        {"const": "a" * 300},
        {"type": "strange"},
        False,
    ],
)
def test_what_is_not_surely_plain_is_tried_out(schema: Any) -> None:
    assert not is_plain(json_schema(schema))


def test_other_kinds_are_tried_out() -> None:
    assert not is_plain(Regex("a"))
    assert not is_plain(Choice(()))
    assert not is_plain(Choice(("\ud800",)))
    assert not is_plain(json_schema('{"enum": ["\\ud800"]}'))
