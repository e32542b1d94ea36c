"""The token form and the compiled form allow the same, step by step, on both vocabularies.

Where only one text is left, llguidance masks all ways to spell it but the tokenizer's own. The
others are still allowed by the grammar; that is what is compared there.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from tests.mods.sdk.strategies.cases import CASES, Case, near
from tests.mods.sdk.strategies.vocabularies import tokenizer, vocabulary

WALKS = {"demo": 12, "large": 2}
STEPS = 8


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_forms_allow_the_same_tokens_and_end_together(case: Case, name: str) -> None:
    grammar = compile_constraint(case.strategy.constraint())
    for seed in range(WALKS[name]):
        random = Random(seed)
        matcher = Matcher(grammar, vocabulary(name))
        example = tokenizer(name).encode(random.choice(case.examples), add_special_tokens=False)
        walk(case, name, matcher, random, example)


def walk(case: Case, name: str, matcher: Matcher, random: Random, example: list[int]) -> None:
    """Go on by tokens that both allow: those of an example for a while, then any."""
    bound = case.strategy.into_strategy(tokenizer(name))
    state = bound.start()
    eos = tokenizer(name).eos_token_id
    stray = random.randrange(len(example) + 1)
    for step in range(STEPS):
        assert bound.is_complete(state) == matcher.complete, state
        if matcher.complete:
            return
        row = matcher.vocabulary.row()
        matcher.fill(row)
        ours = bound.allowed_tokens(state)
        theirs = set(matcher.vocabulary.allowed(row))
        assert theirs <= ours, state
        if theirs != ours:
            assert len(theirs) == 1, state
            assert all(map(matcher.allows, ours)), state
        assert (eos in bound.disallowed_tokens(state)) == (not matcher.accepting)
        follows = step < stray and step < len(example) and example[step] in ours
        token = example[step] if follows else random.choice(sorted(ours - {eos}) or [eos])
        bound.step(state, token)
        assert matcher.consume([token]) == 1


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_compiled_form_takes_a_text_if_the_definition_says_so(case: Case, name: str) -> None:
    fresh = Matcher(compile_constraint(case.strategy.constraint()), vocabulary(name))

    @settings(max_examples=WALKS[name] * 5, deadline=None, database=None)
    @given(near(case))
    def check(text: str) -> None:
        matcher = fresh.copy()
        tokens = tokenizer(name).encode(text, add_special_tokens=False)
        whole = matcher.consume(tokens) == len(tokens) and matcher.accepting
        assert whole == case.fits(text)

    check()
