"""What a constraint *is*: a description of the texts that may come, as plain data.

A constraint says nothing of tokens and holds no state, so it can travel, be compared and be
hashed. What it means for a model's tokens is worked out by `mods.runtime.grammar`, once, before
anything is generated under it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Json(msgspec.Struct, frozen=True, tag="json", tag_field="kind"):
    """A JSON value that its schema accepts. schema: the schema's JSON text."""

    schema: str


class Regex(msgspec.Struct, frozen=True, tag="regex", tag_field="kind"):
    """A text that this regular expression matches as a whole."""

    pattern: str


class Choice(msgspec.Struct, frozen=True, tag="choice", tag_field="kind"):
    """One of these texts."""

    options: tuple[str, ...]


class Lark(msgspec.Struct, frozen=True, tag="lark", tag_field="kind"):
    """A text of this grammar, in llguidance's dialect of Lark."""

    grammar: str


class Ebnf(msgspec.Struct, frozen=True, tag="ebnf", tag_field="kind"):
    """A text of this grammar, in EBNF or GBNF (`name ::= ...`, beginning with `root`)."""

    grammar: str


class Guidance(msgspec.Struct, frozen=True, tag="guidance", tag_field="kind"):
    """llguidance's own format. grammar: its JSON text."""

    grammar: str


class StructuralTag(msgspec.Struct, frozen=True, tag="structural_tag", tag_field="kind"):
    """Free text with constrained stretches in it. tag: vLLM's structural tag as JSON text."""

    tag: str


class InSequence(msgspec.Struct, frozen=True, tag="sequence", tag_field="kind"):
    """One part after the other."""

    parts: tuple[Constraint, ...]


class AnyOf(msgspec.Struct, frozen=True, tag="any_of", tag_field="kind"):
    """A text of at least one part."""

    parts: tuple[Constraint, ...]


class AllOf(msgspec.Struct, frozen=True, tag="all_of", tag_field="kind"):
    """A text of every part at once."""

    parts: tuple[Constraint, ...]


Constraint = (
    Json | Regex | Choice | Lark | Ebnf | Guidance | StructuralTag | InSequence | AnyOf | AllOf
)
"""Any of them. Composites hold others, nested as deep as the limits allow."""


def json_schema(schema: Mapping[str, Any] | str | bool) -> Json:
    """A constraint from a schema as a mapping or as JSON text. Raises ValueError if it is none."""
    given = json.loads(schema) if isinstance(schema, str) else schema
    if not isinstance(given, (dict, bool)):
        raise ValueError(f"a JSON schema is an object, true or false, got {given!r:.80}")
    return Json(json.dumps(given, separators=(",", ":"), ensure_ascii=False))


def choice(options: Sequence[str]) -> Choice:
    """One of these texts. Raises ValueError without any, or for what is no text."""
    if isinstance(options, str) or not options:
        raise ValueError(f"choice needs a list of at least one text, got {options!r:.80}")
    for option in options:
        if not isinstance(option, str):
            raise ValueError(f"choice takes texts, got {option!r:.80}")
    return Choice(tuple(dict.fromkeys(options)))


def parts_of(constraint: Constraint) -> tuple[Constraint, ...]:
    """A composite's parts, none for anything else."""
    return constraint.parts if isinstance(constraint, (InSequence, AnyOf, AllOf)) else ()


def digest(constraint: Constraint) -> str:
    """The same for equal constraints and for no others: 32 hexadecimal digits."""
    return hashlib.sha256(_ENCODER.encode(constraint)).hexdigest()[:32]


_ENCODER = msgspec.msgpack.Encoder()
