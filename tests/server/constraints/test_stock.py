"""Where both accept a constraint, the masks are those of vLLM's own guidance backend."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLMatcher

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import Constraint, Regex, choice, json_schema
from server.constraints.reading import as_grammar

TOKENIZER = Path(__file__).parents[3] / "server" / "demo" / "model" / "tokenizer.json"
END = 1

SCHEMAS: dict[str, Any] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "email": {"type": "string", "format": "email"},
        },
        "required": ["name", "age"],
    },
    "closed": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": ["null", "number"]}},
        "additionalProperties": False,
    },
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "map with names": {
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": "^[a-z]{3}$"}},
        "additionalProperties": {"type": "array", "items": {"enum": ["x", "y"]}},
    },
    "nested": {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "type": "array",
        "items": {"$ref": "#/$defs/node"},
        "minItems": 1,
        "maxItems": 3,
    },
    "union": {
        "anyOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
            {"type": "object", "properties": {"kind": {"const": "b"}, "n": {"type": "number"}}},
            {"type": "string", "maxLength": 5},
        ]
    },
    "merged": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    },
    "dates": {"type": "object", "properties": {"on": {"type": "string", "format": "date-time"}}},
    "any": {},
    "object": {"type": "object"},
}

OTHERS: dict[str, tuple[str, Any, Constraint]] = {
    "regex": ("REGEX", r"(ab|cd)+[0-9]{2,4}\.?", Regex(r"(ab|cd)+[0-9]{2,4}\.?")),
    "choice": ("CHOICE", json.dumps(["a", "abc", "b c"]), choice(["a", "abc", "b c"])),
    "lark": (
        "GRAMMAR",
        'start: "x" NAME ("," NAME)*\nNAME: /[a-z]+/',
        as_grammar('start: "x" NAME ("," NAME)*\nNAME: /[a-z]+/'),
    ),
    "gbnf": (
        "GRAMMAR",
        'root ::= "(" root ")" | [0-9]+',
        as_grammar('root ::= "(" root ")" | [0-9]+'),
    ),
}


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_text(TOKENIZER.read_text(), [END])


def stock(kind: str, spec: Any, vocabulary: Vocabulary) -> LLMatcher:
    from vllm.v1.structured_output.backend_guidance import serialize_guidance_grammar
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions

    text = serialize_guidance_grammar(getattr(StructuredOutputOptions, kind), spec)
    return LLMatcher(vocabulary.tokens, text, log_level=0)


def walk(theirs: LLMatcher, ours: Matcher, seed: int, steps: int = 60) -> str:
    """Draw tokens that both allow; anything that only one of them allows fails the test."""
    vocabulary, draw = ours.vocabulary, random.Random(seed)
    row, other = vocabulary.row(), vocabulary.row()
    for _ in range(steps):
        ours.fill(row)
        theirs.unsafe_compute_mask_ptr(other.ctypes.data, other.nbytes)
        allowed, expected = vocabulary.allowed(row), vocabulary.allowed(other)
        assert set(allowed) <= set(expected)
        for token in set(expected) - set(allowed):
            assert "\\" in vocabulary.text([token]), "only escaped keys are ours alone to refuse"
        going_on = [token for token in allowed if token != END] or allowed
        token = draw.choice(going_on if draw.random() < 0.9 else allowed)
        assert ours.consume([token]) == 1
        if token == END:
            break
        theirs.consume_token(token)
    return vocabulary.text(ours.tokens)


@pytest.mark.parametrize("name", SCHEMAS)
def test_masks_under_a_schema_are_those_of_stock_vllm(name: str, vocabulary: Vocabulary) -> None:
    grammar = compile_constraint(json_schema(SCHEMAS[name]))
    found = {
        walk(
            stock("JSON", json.dumps(SCHEMAS[name]), vocabulary),
            Matcher(grammar, vocabulary),
            seed,
        )
        for seed in range(6)
    }
    assert len(found) > 1


@pytest.mark.parametrize("name", OTHERS)
def test_masks_under_other_kinds_are_those_of_stock_vllm(name: str, vocabulary: Vocabulary) -> None:
    kind, spec, constraint = OTHERS[name]
    grammar = compile_constraint(constraint)
    for seed in range(6):
        walk(stock(kind, spec, vocabulary), Matcher(grammar, vocabulary), seed)


def test_stock_vllm_accepts_what_a_structural_tag_forbids_and_we_do_not(
    vocabulary: Vocabulary,
) -> None:
    from mods.sdk.constraints import StructuralTag

    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    tag = json.dumps(
        {
            "structures": [{"begin": "<f=x>", "schema": schema, "end": "</f>"}],
            "triggers": ["<f="],
        }
    )
    wrong, right = (vocabulary.encode(f"Well <f=x>{body}</f>") for body in ('"no"', '{"a": 1}'))
    assert stock("STRUCTURAL_TAG", tag, vocabulary).validate_tokens(wrong) == len(wrong)
    ours = Matcher(compile_constraint(StructuralTag(tag)), vocabulary)
    assert ours.copy().consume(wrong) < len(wrong)
    assert ours.consume(right) == len(right)
