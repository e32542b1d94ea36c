"""A trial finds out what compiling does not: grammars that fail or crawl once they are used."""

from __future__ import annotations

import pytest

from mods.runtime.grammar import trial
from mods.runtime.grammar.trial import try_out
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import AllOf, Lark, Regex, choice, json_schema
from mods.sdk.errors import ConstraintError


def test_what_can_be_used_is_told_with_its_cost(vocabulary: Vocabulary) -> None:
    found = try_out(json_schema({"type": "object"}), vocabulary)
    assert found.grammar.parts
    assert found.compile_ms > 0
    assert 0 < found.mask_ms < 50
    assert found.steps == 2 * trial.STEPS


def test_a_grammar_without_a_text_is_refused(vocabulary: Vocabulary) -> None:
    for constraint in (
        Regex(r"[^\s\S]"),
        Lark('start: start "a"'),
        json_schema({"$ref": "#"}),
        AllOf((choice(["yes"]), choice(["no"]))),
    ):
        with pytest.raises(ConstraintError, match="no text is possible"):
            try_out(constraint, vocabulary)


def test_a_grammar_that_fails_after_some_tokens_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ConstraintError, match="too complex"):
        try_out(Regex(r"(((a{1,200}){1,200}){1,200}){1,200}"), vocabulary)


def test_a_grammar_whose_masks_are_slow_is_refused(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambiguous = Lark('start: e\ne: e e | e e e | "a" | ')
    monkeypatch.setattr(trial, "MOST_MEAN_STEP", 0.0)
    with pytest.raises(ConstraintError, match="too slow: a token took"):
        try_out(ambiguous, vocabulary)


def test_a_special_token_that_the_model_lacks_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ConstraintError, match="nobody"):
        try_out(Lark("start: <|nobody|>"), vocabulary)
    assert try_out(Lark("start: <|user|>"), vocabulary).steps


def test_a_short_text_ends_the_walk(vocabulary: Vocabulary) -> None:
    assert try_out(choice([""]), vocabulary).steps == 2
