"""Constraints made to hurt: to hang, to eat memory, to crash, or to end as if all were well.

Each is a function without arguments, since some are too large to be built before they are needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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

BOMBS: dict[str, Callable[[], Constraint]] = {}


def bomb(make: Callable[[], Constraint]) -> Callable[[], Constraint]:
    """Into the corpus, under the function's name."""
    BOMBS[make.__name__] = make
    return make


def _schema(schema: Any) -> Json:
    return Json(json.dumps(schema))


# Counts.


@bomb
def array_of_65535_items() -> Constraint:
    return _schema({"type": "array", "items": {"type": "integer"}, "maxItems": 65_535})


@bomb
def array_of_at_least_a_million_items() -> Constraint:
    return _schema({"type": "array", "minItems": 1_000_000})


@bomb
def array_of_two_to_the_63_items() -> Constraint:
    return _schema({"type": "array", "items": {"type": "string"}, "minItems": 2**63 - 1})


@bomb
def arrays_of_1000_in_arrays_of_1000() -> Constraint:
    inner: dict[str, Any] = {"type": "integer"}
    for _ in range(4):
        inner = {"type": "array", "items": inner, "minItems": 1000, "maxItems": 1000}
    return _schema(inner)


@bomb
def string_of_a_million_characters() -> Constraint:
    return _schema({"type": "string", "maxLength": 1_000_000})


@bomb
def string_of_at_least_two_to_the_40_characters() -> Constraint:
    return _schema({"type": "string", "minLength": 2**40})


@bomb
def pattern_and_a_length_of_fifty_thousand() -> Constraint:
    return _schema({"type": "string", "pattern": "^(ab|ba)*$", "minLength": 50_000})


@bomb
def five_thousand_properties() -> Constraint:
    return _schema(
        {
            "type": "object",
            "properties": {f"property_{n}": {"type": "string"} for n in range(5000)},
            "additionalProperties": False,
        }
    )


@bomb
def five_hundred_properties_required_backwards() -> Constraint:
    names = [f"p{n}" for n in range(500)]
    return _schema(
        {
            "type": "object",
            "properties": {name: {"type": "string", "maxLength": 50} for name in names},
            "required": names[::-1],
        }
    )


@bomb
def at_least_30000_properties() -> Constraint:
    return _schema({"type": "object", "minProperties": 30_000})


@bomb
def at_most_100000_properties() -> Constraint:
    return _schema({"type": "object", "maxProperties": 100_000})


@bomb
def multiple_of_a_tiny_number() -> Constraint:
    return _schema({"type": "number", "multipleOf": 1e-300})


@bomb
def multiple_of_a_large_prime() -> Constraint:
    return _schema({"type": "integer", "multipleOf": 1_000_003})


@bomb
def multiples_of_many_primes() -> Constraint:
    primes = (7919, 7907, 7901, 7883, 7879)
    return _schema({"type": "integer", "allOf": [{"multipleOf": prime} for prime in primes]})


@bomb
def range_between_numbers_of_300_digits() -> Constraint:
    return Json(f'{{"type": "integer", "minimum": {10**300 + 7}, "maximum": {10**305 + 3}}}')


# Enumerations.


@bomb
def enumeration_of_20000_strings() -> Constraint:
    return _schema({"enum": [f"value-{n * 7919 % 20_011}" for n in range(20_000)]})


@bomb
def enumeration_of_2000_objects() -> Constraint:
    return _schema({"enum": [{"id": n, "tags": [str(n)] * 5} for n in range(2000)]})


@bomb
def choice_of_100000_texts() -> Constraint:
    return Choice(tuple(f"{n:x}" for n in range(100_000)))


@bomb
def choice_of_one_text_of_200000_characters() -> Constraint:
    return Choice(("ab" * 100_000,))


# Alternatives.


@bomb
def any_of_200_objects() -> Constraint:
    return _schema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {f"field_{n}_{k}": {"type": "string"} for k in range(5)},
                    "required": [f"field_{n}_0"],
                }
                for n in range(200)
            ]
        }
    )


@bomb
def any_of_200_objects_with_the_same_key() -> Constraint:
    return _schema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"text": {"type": "string", "pattern": f"^a.*{n}$"}},
                    "required": ["text"],
                }
                for n in range(200)
            ]
        }
    )


@bomb
def any_of_300_patterns() -> Constraint:
    return _schema(
        {"anyOf": [{"type": "string", "pattern": f"(.*{n}){{3}}.*"} for n in range(300)]}
    )


@bomb
def any_of_nested_sixty_deep() -> Constraint:
    schema: dict[str, Any] = {"type": "integer"}
    for n in range(28):
        schema = {"anyOf": [schema, {"type": "string", "const": str(n)}]}
    return _schema(schema)


@bomb
def all_of_any_of_products() -> Constraint:
    ways = [{"type": "object", "required": [f"k{n}"]} for n in range(8)]
    return _schema({"allOf": [{"anyOf": ways} for _ in range(8)]})


@bomb
def one_of_100_overlapping() -> Constraint:
    return _schema({"oneOf": [{"type": "object", "required": [f"k{n}"]} for n in range(100)]})


@bomb
def all_of_contradictions() -> Constraint:
    return _schema({"allOf": [{"type": "string"}, {"type": "integer"}]})


@bomb
def all_of_constants() -> Constraint:
    return _schema({"allOf": [{"const": 1}, {"const": 2}]})


# References.


@bomb
def references_that_double_thirty_times() -> Constraint:
    definitions: dict[str, Any] = {"d0": {"type": "integer"}}
    for n in range(1, 30):
        one = {"$ref": f"#/$defs/d{n - 1}"}
        definitions[f"d{n}"] = {"allOf": [one, one]}
    return _schema({"$defs": definitions, "$ref": "#/$defs/d29"})


@bomb
def references_whose_properties_double() -> Constraint:
    definitions: dict[str, Any] = {"d0": {"type": "integer"}}
    for n in range(1, 25):
        one = {"$ref": f"#/$defs/d{n - 1}"}
        definitions[f"d{n}"] = {
            "allOf": [
                {"type": "object", "properties": {"a": one, "b": one}},
                {"type": "object", "properties": {"b": one, "c": one}},
            ]
        }
    return _schema({"$defs": definitions, "$ref": "#/$defs/d24"})


@bomb
def reference_to_itself() -> Constraint:
    return _schema({"$ref": "#"})


@bomb
def references_in_a_circle() -> Constraint:
    return _schema(
        {
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "$ref": "#/$defs/a",
        }
    )


@bomb
def all_of_itself() -> Constraint:
    return _schema({"allOf": [{"$ref": "#"}, {"type": "object"}]})


@bomb
def an_object_that_must_hold_itself() -> Constraint:
    return _schema({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})


@bomb
def remote_reference() -> Constraint:
    return _schema({"$ref": "https://example.com/schema.json"})


@bomb
def reference_to_a_file() -> Constraint:
    return _schema({"properties": {"a": {"$ref": "file:///etc/passwd"}}})


@bomb
def reference_to_nothing() -> Constraint:
    return _schema({"$ref": "#/$defs/missing"})


@bomb
def a_chain_of_3000_references() -> Constraint:
    definitions = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3000)}
    return _schema({"$defs": {**definitions, "d3000": {"type": "null"}}, "$ref": "#/$defs/d0"})


# Depth.


@bomb
def schema_nested_2000_deep() -> Constraint:
    return Json('{"items":' * 2000 + "true" + "}" * 2000)


@bomb
def schema_nested_100000_deep() -> Constraint:
    return Json('{"not":' * 100_000 + "{}" + "}" * 100_000)


@bomb
def properties_nested_60_deep() -> Constraint:
    schema: dict[str, Any] = {"type": "string"}
    for n in range(30):
        schema = {"type": "object", "properties": {f"k{n}": schema}, "required": [f"k{n}"]}
    return _schema(schema)


@bomb
def regex_nested_5000_deep() -> Constraint:
    return Regex("(" * 5000 + "a" + ")" * 5000)


@bomb
def regex_of_stars_on_stars() -> Constraint:
    return Regex("(" * 200 + "a" + ")*" * 200)


@bomb
def lark_nested_20000_deep() -> Constraint:
    return Lark("start: " + "(" * 20_000 + '"a"' + ")" * 20_000)


@bomb
def ebnf_nested_20000_deep() -> Constraint:
    return Ebnf("root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000)


@bomb
def composites_nested_1000_deep() -> Constraint:
    constraint: Constraint = Regex("a")
    for _ in range(1000):
        constraint = InSequence((constraint,))
    return constraint


# Regular expressions.


@bomb
def words_and_spaces_500_times_500() -> Constraint:
    return Regex(r"(\w{1,500}\s?){1,500}")


@bomb
def plus_on_plus() -> Constraint:
    return Regex(r"(a+)+b")


@bomb
def counted_three_deep() -> Constraint:
    return Regex(r"(((a{1,200}){1,200}){1,200}){1,200}")


@bomb
def unicode_classes_a_thousand_times() -> Constraint:
    return Regex(r"[\p{L}\p{N}\p{P}]{1,1000}\p{Lu}{500}")


@bomb
def case_folded_unicode_letters() -> Constraint:
    return Regex(r"(?i)[\p{L}--a]{200,400}[^\p{Greek}]{300}")


@bomb
def the_twentieth_letter_from_the_end() -> Constraint:
    return Regex(r"(.*a.{20}b)|(.*b.{21}a)")


@bomb
def an_intersection_of_counts_that_never_meet() -> Constraint:
    counts = (61, 59, 53, 47)
    return AllOf(tuple(Regex(f"(a{{{count}}})*a") for count in counts))


@bomb
def a_class_of_nothing() -> Constraint:
    return Regex(r"[^\s\S]")


@bomb
def a_million_times_a_letter() -> Constraint:
    return Regex("a{1000000}")


@bomb
def a_regex_of_200000_alternatives() -> Constraint:
    return Regex("|".join(f"{n}" for n in range(36_000)))


@bomb
def look_behind() -> Constraint:
    return Regex(r"(?<=a)b")


@bomb
def regex_that_is_cut_off() -> Constraint:
    return Regex("[a-z")


# Grammars.


@bomb
def left_recursion_without_an_end() -> Constraint:
    return Lark('start: start "a"')


@bomb
def right_recursion_without_an_end() -> Constraint:
    return Lark('start: "a" start')


@bomb
def rule_that_is_itself() -> Constraint:
    return Lark("start: start")


@bomb
def ebnf_without_an_end() -> Constraint:
    return Ebnf('root ::= "a" root | root "b"')


@bomb
def ebnf_with_an_unknown_rule() -> Constraint:
    return Ebnf('root ::= "a" missing')


@bomb
def lark_with_an_unknown_rule() -> Constraint:
    return Lark('start: "a" missing')


@bomb
def ambiguous_sums() -> Constraint:
    return Lark('start: e\ne: e e | e e e | "a" | ')


@bomb
def one_letter_terminals_repeated_10000_times() -> Constraint:
    return Lark("start: a{10000}\na: /[a-z]/ b\nb: /[a-z]/{0,1000}")


@bomb
def ebnf_terminals_that_double() -> Constraint:
    rules = ['t0 ::= "ab"'] + [f"t{n} ::= t{n - 1} t{n - 1}" for n in range(1, 30)]
    return Ebnf("\n".join(["root ::= t29", *rules]))


@bomb
def ebnf_counted_deep() -> Constraint:
    return Ebnf('root ::= (((("a" root?){1,100}){1,100}){1,100}){1,100}')


@bomb
def ebnf_of_10000_rules() -> Constraint:
    rules = [f'r{n} ::= "{n}" r{n + 1} | "x" root' for n in range(5000)]
    return Ebnf("\n".join(["root ::= r0", *rules, 'r5000 ::= "end"']))


@bomb
def lark_terminal_that_negates_much() -> Constraint:
    ways = " | ".join(f"/.*{n}.*{n}.*/" for n in range(60))
    return Lark(f"start: T\nT: /(?s:.*)/ & ~({ways})")


@bomb
def lark_terminal_within_itself() -> Constraint:
    return Lark('start: T\nT: "a" T | "b"')


@bomb
def guidance_without_grammars() -> Constraint:
    return Guidance('{"grammars": []}')


@bomb
def guidance_with_a_missing_grammar() -> Constraint:
    return Guidance('{"grammars": [{"lark_grammar": "start: @missing"}]}')


@bomb
def structural_tag_with_500_tags() -> Constraint:
    tags = [
        {"begin": f"<f{n}>", "schema": {"type": "object", "required": [f"k{n}"]}, "end": "</f>"}
        for n in range(500)
    ]
    return StructuralTag(json.dumps({"structures": tags, "triggers": ["<f"]}))


# Composites.


@bomb
def free_text_before_an_object() -> Constraint:
    return InSequence((Regex(r"[\s\S]*"), _schema({"type": "object"})))


@bomb
def parts_that_contradict_each_other() -> Constraint:
    return AllOf((Choice(("yes",)), Choice(("no",))))


@bomb
def a_schema_and_an_expression_that_contradict() -> Constraint:
    return AllOf((_schema({"type": "object"}), Regex("[a-z]+")))


@bomb
def choices_between_intersections() -> Constraint:
    both = AllOf((_schema({"type": "object"}), Lark('start: "{" /[a-z]+/ "}"')))
    return AnyOf((both,) * 10)


@bomb
def a_thousand_parts() -> Constraint:
    return InSequence((Regex("a"),) * 1000)


@bomb
def any_of_100_grammars() -> Constraint:
    return AnyOf(tuple(Lark(f'start: "{n}" start | "x"') for n in range(100)))
