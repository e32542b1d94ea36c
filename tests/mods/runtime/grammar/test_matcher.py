"""A matcher keeps its promises whatever is consumed, taken back and copied, and never raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from llguidance import LLExecutor

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.matcher import Matcher, fill_rows
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import (
    AllOf,
    AnyOf,
    Constraint,
    Ebnf,
    InSequence,
    Lark,
    Regex,
    choice,
    json_schema,
)
from tests.mods.runtime.grammar.conftest import END, demo_vocabulary

PERSON = json_schema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"enum": ["a", "ab", "b"]}, "maxItems": 3},
        },
        "required": ["name"],
    }
)
GRAMMARS: dict[str, Constraint] = {
    "schema": PERSON,
    "expression": Regex(r"(ab|a)*c?[0-9]{0,3}"),
    "choice": choice(["a", "abc", "", "abcd e"]),
    "sums": Ebnf('root ::= sum\nsum ::= sum "+" one | one\none ::= [0-9]+ | "(" sum ")"'),
    "lark": Lark('start: WORD ("," WORD)*\nWORD: /[a-z]{1,4}/'),
    "bounded": Lark('start: word "."\nword[max_tokens=3]: /[a-z ]*/'),
    "negated": Lark("start: T\nT: ~/.*x.*/"),
    "sequence": InSequence((Regex("[a-z]* "), json_schema({"type": "array", "items": {}}))),
    "intersection": AllOf((PERSON, Regex('[a-z{}":, 0-9]{0,20}'))),
    "either": AnyOf((PERSON, Lark('start: "{" /[a-z]+/ "}"'), choice(["none", '{"name']))),
    "nothing": Regex(r"a[^\s\S]"),
}


def allowed(matcher: Matcher) -> list[int]:
    row = matcher.vocabulary.row()
    matcher.fill(row)
    return matcher.vocabulary.allowed(row)


class Consuming(RuleBasedStateMachine):
    """Draws tokens, impossible ones too, takes back, copies, and compares with a fresh replay."""

    @initialize(name=st.sampled_from(sorted(GRAMMARS)))
    def begin(self, name: str) -> None:
        self.grammar = compile_constraint(GRAMMARS[name])
        self.matcher = Matcher(self.grammar, demo_vocabulary())
        self.tokens: list[int] = []

    @rule(data=st.data())
    def consume_what_is_allowed(self, data: st.DataObject) -> None:
        tokens = allowed(self.matcher)
        if tokens:
            token = data.draw(st.sampled_from(tokens))
            assert self.matcher.allows(token)
            assert self.matcher.consume([token]) == 1
            self.tokens.append(token)

    @rule(token=st.integers(-2, 2200))
    def consume_anything(self, token: int) -> None:
        expected = token in allowed(self.matcher)
        assert self.matcher.allows(token) == expected
        assert self.matcher.consume([token]) == expected
        self.tokens += [token] * expected

    @rule(text=st.text('ab{}":, c0+(', max_size=6))
    def consume_a_text(self, text: str) -> None:
        tokens = self.matcher.vocabulary.encode(text)
        taken = self.matcher.consume(tokens)
        self.tokens += tokens[:taken]

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, len(self.tokens)))
        self.matcher.rollback(count)
        self.tokens = self.tokens[: len(self.tokens) - count]

    @rule(token=st.integers(0, 2100))
    def a_copy_goes_its_own_way(self, token: int) -> None:
        copy = self.matcher.copy()
        assert allowed(copy) == allowed(self.matcher)
        for one in allowed(copy)[:1]:
            copy.consume([one, one, END])
        copy.consume([token])
        copy.rollback(len(copy.tokens))
        assert self.matcher.tokens == tuple(self.tokens)

    @precondition(lambda self: self.tokens)
    @rule()
    def taking_back_more_than_there_is_raises(self) -> None:
        with pytest.raises(ValueError, match="cannot take back"):
            self.matcher.rollback(len(self.tokens) + 1)

    @rule()
    def what_is_forced_can_be_taken(self) -> None:
        forced = self.matcher.forced()[:20]
        copy = self.matcher.copy()
        assert copy.consume(forced) == len(forced)
        if forced:
            assert not self.matcher.accepting

    @invariant()
    def it_is_where_a_fresh_one_would_be(self) -> None:
        if not hasattr(self, "matcher"):
            return
        fresh = Matcher(self.grammar, demo_vocabulary())
        assert fresh.consume(self.tokens) == len(self.tokens)
        assert self.matcher.tokens == tuple(self.tokens)
        for ask in (allowed, _accepting, _stopped, _complete, _dead):
            assert ask(self.matcher) == ask(fresh), ask

    @invariant()
    def the_end_may_come_exactly_where_it_accepts(self) -> None:
        if hasattr(self, "matcher") and not self.matcher.stopped:
            assert (END in allowed(self.matcher)) == self.matcher.accepting


def _accepting(matcher: Matcher) -> bool:
    return matcher.accepting


def _stopped(matcher: Matcher) -> bool:
    return matcher.stopped


def _complete(matcher: Matcher) -> bool:
    return matcher.complete


def _dead(matcher: Matcher) -> bool:
    return matcher.is_dead()


Consuming.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_a_matcher_is_what_its_tokens_make_it = Consuming.TestCase


def matcher_of(constraint: Constraint, vocabulary: Vocabulary) -> Matcher:
    return Matcher(compile_constraint(constraint), vocabulary)


def test_nothing_is_allowed_where_nothing_fits(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(Regex(r"[^\s\S]"), vocabulary)
    assert allowed(matcher) == []
    assert matcher.is_dead()
    assert not matcher.allows(END)
    assert matcher.consume([END]) == 0
    assert "the constraint allows nothing at the start" in matcher.dead_end()


def test_a_dead_end_can_be_left_again(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(AllOf((choice(["xa", "yb"]), Lark('start: "xb" | "yb"'))), vocabulary)
    assert matcher.may_dead_end
    assert matcher.consume(vocabulary.encode("x")) == 1
    assert matcher.is_dead()
    assert "no token fits all_of[0] and all_of[1] at once after 'x'" in matcher.dead_end()
    matcher.rollback(1)
    assert matcher.consume(vocabulary.encode("yb")) > 0
    assert matcher.complete


def test_an_end_stops_it_and_counts_as_a_token(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(Regex("a*"), vocabulary)
    letter = vocabulary.encode("a")
    assert matcher.consume([*letter, END, *letter]) == 2
    assert matcher.stopped
    assert matcher.complete
    assert allowed(matcher) == []
    assert not matcher.is_dead()
    matcher.rollback(1)
    assert not matcher.stopped
    assert matcher.consume(letter) == 1


def test_it_is_complete_where_only_the_end_may_come(vocabulary: Vocabulary) -> None:
    for constraint, text, complete in (
        (choice(["a", "abc"]), "a", False),
        (choice(["a", "abc"]), "abc", True),
        (choice([""]), "", True),
        (Regex("a*"), "aa", False),
        (json_schema({"type": "object", "additionalProperties": False}), "{}", True),
        (json_schema({"type": "integer"}), "12", False),
    ):
        matcher = matcher_of(constraint, vocabulary)
        tokens = vocabulary.encode(text)
        assert matcher.consume(tokens) == len(tokens)
        assert matcher.accepting
        assert matcher.complete == complete, (constraint, text)


def test_what_a_limit_ends_is_an_error_and_no_end(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(Regex(r"(\w{1,500}\s?){1,500}"), vocabulary)
    for letter in "abcdefghijklmnopq" * 4:
        tokens = allowed(matcher)
        if not tokens:
            break
        assert matcher.consume(vocabulary.encode(letter)) == 1
    assert matcher.error is not None
    assert "too many expressions" in matcher.error
    assert "<state>" not in matcher.error
    assert allowed(matcher) == []
    assert not matcher.accepting
    matcher.rollback(len(matcher.tokens))
    assert matcher.error is None
    assert allowed(matcher)


def test_forced_tokens_are_those_of_the_only_text(vocabulary: Vocabulary) -> None:
    schema = json_schema(
        {
            "type": "object",
            "properties": {"a_long_property_name": {"type": "integer"}},
            "required": ["a_long_property_name"],
            "x-guidance": {"whitespace_flexible": False},
        }
    )
    matcher = matcher_of(schema, vocabulary)
    assert vocabulary.text(matcher.forced()) == '{"a_long_property_name":'
    both = matcher_of(AllOf((schema, Regex(".*"))), vocabulary)
    assert both.forced() == []


def test_special_tokens_stay_out_of_negated_terminals(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(Lark("start: T\nT: ~/x/"), vocabulary)
    specials = {token for _, token in vocabulary.specials}
    tokens = set(allowed(matcher))
    assert tokens
    assert not tokens & specials
    assert max(tokens) < 2048
    assert matcher.consume([min(specials)]) == 0


def test_a_special_token_that_is_named_may_come(vocabulary: Vocabulary) -> None:
    matcher = matcher_of(Lark('start: "a" <|user|> "b"'), vocabulary)
    user = dict(vocabulary.specials)["<|user|>"]
    assert matcher.consume([*vocabulary.encode("a"), user, *vocabulary.encode("b")]) == 3
    assert matcher.complete


def test_many_rows_are_filled_as_one_is(vocabulary: Vocabulary) -> None:
    matchers = []
    for constraint in GRAMMARS.values():
        matcher = matcher_of(constraint, vocabulary)
        matcher.consume(vocabulary.encode("a"))
        matchers.append(matcher)
    words = np.full((len(matchers) + 1, vocabulary.words), 7, np.int32)
    rows = [(matcher, row + 1) for row, matcher in enumerate(matchers)]
    fill_rows([(matcher.copy(), row) for matcher, row in rows], words, LLExecutor(2))
    assert (words[0] == 7).all()
    for matcher, row in rows:
        assert vocabulary.allowed(words[row]) == allowed(matcher)


def test_a_grammar_that_is_none_is_an_error_and_raises_nothing(vocabulary: Vocabulary) -> None:
    matcher = Matcher(Grammar("x", ("start: missing",), ("",)), vocabulary)
    told: Any = matcher.error
    assert 'unknown name: "missing"' in told
    assert allowed(matcher) == []
    assert matcher.consume([5]) == 0
    assert matcher.forced() == []
    assert matcher.is_dead()
