"""What stock vLLM and our server are both asked, so that their answers can be compared."""

from __future__ import annotations

import json
import random
from typing import Any

from tokenizers import Tokenizer

from bench.schemas import schemas
from server.demo import MODEL_PATH
from tests.engine.stock import Asked

PLAIN = 200
PLAIN_TOKENS = 40
CONSTRAINED_TOKENS = 160
TEXTS = ["The capital of France is", "Count to ten.", "One, two, three,", "3 + 4 =", "The sky"]

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3},
        "home": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[A-Z][a-z]{2,8}$"}]},
    },
    "required": ["name", "age", "home"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
}
OTHERS: list[dict[str, Any]] = [
    {"choice": ["yes", "no", "not yet"]},
    {"choice": ["a", "ab", "abc"]},
    {"regex": r"\d{4}-\d{2}-\d{2}"},
    {"regex": r"(red|green|blue)(, (red|green|blue)){2}\."},
    {"regex": r"[A-Z][a-z]+ [a-z ]{10,40}\."},
    {"grammar": 'start: sum\nsum: NUMBER (" + " NUMBER){1,4}\nNUMBER: /[0-9]{1,3}/\n'},
    {"grammar": 'root ::= "[" item ("," item)* "]"\nitem ::= [0-9] | "x"\n'},
    {"json_object": True},
]
"""In the words of vLLM's `structured_outputs`."""


def plain() -> list[Asked]:
    """Random continuations and random tokens, some longer than one chunk of prefill."""
    tokenizer = _tokenizer()
    drawn = random.Random(4)
    made: list[Asked] = []
    for number in range(PLAIN):
        if number % 3 == 0:
            length = drawn.choice([5, 40, 600, 1100])
            ids = [drawn.randrange(8, tokenizer.get_vocab_size()) for _ in range(length)]
        else:
            words = " ".join(drawn.choice(TEXTS) for _ in range(drawn.randrange(1, 30)))
            ids = tokenizer.encode(words).ids
        made.append({"prompt": ids, "constraint": None, "max_tokens": PLAIN_TOKENS})
    return made


def constrained() -> list[Asked]:
    """Constraints of every kind that vLLM has, with free and with tight white space."""
    tokenizer, drawn, made = _tokenizer(), random.Random(5), schemas(21, 4)
    wanted = [{"json": json.dumps(next(made))} for _ in range(12)]
    wanted += [{"json": json.dumps(tight(next(made)))} for _ in range(12)]
    wanted += [{"json": json.dumps(one)} for one in (PERSON, tight(PERSON), TREE, tight(TREE))]
    wanted += OTHERS
    return [
        {
            "prompt": tokenizer.encode(drawn.choice(TEXTS)).ids,
            "constraint": constraint,
            "max_tokens": CONSTRAINED_TOKENS,
        }
        for constraint in wanted
        for _ in range(2)
    ]


def tight(schema: dict[str, Any]) -> dict[str, Any]:
    """Without white space."""
    return {**schema, "x-guidance": {"whitespace_flexible": False}}


def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL_PATH / "tokenizer.json"))
