"""Each strategy takes the texts of its definition and no others, as text and as tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mods.sdk.strategies import StrategyError
from mods.sdk.strategies.pieces import pieces_of
from tests.mods.sdk.strategies.cases import CASES, Case, near
from tests.mods.sdk.strategies.vocabularies import Words, split_anyhow, tokenizer


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_text_is_taken_if_the_definition_says_so(case: Case) -> None:
    @settings(max_examples=200, deadline=None, database=None)
    @given(near(case))
    def check(text: str) -> None:
        assert case.strategy.matches(text) == case.fits(text)

    check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_definition_and_the_examples_are_no_empty_talk(case: Case) -> None:
    assert sum(map(case.fits, case.examples)) >= len(case.examples) - 1
    assert not case.fits(case.examples[-1] + "?")


def takes(strategy: Any, name: str, tokens: list[int]) -> bool:
    """Whether the token form allows these tokens, one after the other, and then an end."""
    bound, eos = strategy.into_strategy(tokenizer(name)), tokenizer(name).eos_token_id
    state = bound.start()
    for token in tokens:
        if token not in bound.allowed_tokens(state) - bound.disallowed_tokens(state):
            return False
        bound.step(state, token)
    return bound.is_complete(state) or eos in bound.allowed_tokens(state)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_text_s_tokens_are_allowed_whichever_way_it_is_spelled(case: Case) -> None:
    pieces = pieces_of(tokenizer("demo"))
    listed = [(int(token), bytes(pieces.of(int(token)) or b"")) for token in pieces.ids]

    @settings(max_examples=25, deadline=None, database=None)
    @given(near(case), st.randoms(use_true_random=False))
    def check(text: str, random: Any) -> None:
        own = tokenizer("demo").encode(text, add_special_tokens=False)
        for tokens in (own, split_anyhow(text, listed, random.randrange)):
            assert takes(case.strategy, "demo", tokens) == case.fits(text)

    check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_examples_are_taken_on_a_large_vocabulary(case: Case) -> None:
    for text in case.examples:
        tokens = tokenizer("large").encode(text)
        assert takes(case.strategy, "large", tokens) == case.fits(text)


def test_a_token_that_spans_the_end_is_not_allowed_and_completes_the_text_if_it_comes() -> None:
    words = ("yes", "yes.")
    tokens: dict[str, int] = {word: number for number, word in enumerate(words)}
    bound = CASES[0].strategy.into_strategy(Words([*words, "no", *"yesno"]))
    state = bound.start()
    assert tokens["yes."] not in bound.allowed_tokens(state)
    bound.step(state, tokens["yes."])
    assert bound.is_complete(state)
    assert state.text == b"yes"


def test_a_token_that_does_not_fit_is_an_error_that_names_the_strategy() -> None:
    bound = CASES[0].strategy.into_strategy(tokenizer("demo"))
    wrong = tokenizer("demo").encode("maybe", add_special_tokens=False)[0]
    with pytest.raises(
        StrategyError, match=r"ChoicesStrat\(choices=\('yes', 'no'\)\).*cannot follow"
    ):
        bound.step(bound.start(), wrong)
