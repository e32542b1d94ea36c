"""A strategy that cannot be kept is refused when it is built or bound, by name."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from mods.sdk.constraints import Regex
from mods.sdk.strategies import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    StrategyConstructor,
    StrategyError,
    UntilEndType,
    UntilStrat,
    strategy_constructor,
)
from tests.mods.sdk.strategies.vocabularies import Words

IMPOSSIBLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: ChoicesStrat([]), r"ChoicesStrat\(choices=\(\)\): no text satisfies"),
    (lambda: ChoicesStrat([""]), "ChoicesStrat.*only the empty text"),
    (lambda: ChoicesStrat("yes"), "takes a list of texts, got 'yes'"),
    (lambda: ChoicesStrat(["yes", 3]), "takes a list of texts"),  # type: ignore[list-item]
    (lambda: UntilStrat("", UntilEndType.TAG, ""), "UntilStrat.*at least a character"),
    (lambda: UntilStrat("<a>", UntilEndType.ANYCHAR), "UntilStrat.*at least a character"),
    (lambda: UntilStrat("", UntilEndType.NEWLINE, ";"), "NEWLINE ends at"),
    (lambda: UntilStrat("", "tag", ";"), "end_type is an UntilEndType, got 'tag'"),  # type: ignore[arg-type]
    (lambda: CharsStrat(CharsMode.ALPHA, stop=2, min=3), "CharsStrat.*no text satisfies"),
    (lambda: CharsStrat(CharsMode.ALPHA, stop=0), "CharsStrat.*only the empty text"),
    (lambda: CharsStrat(CharsMode.ALPHA, stop=-1), "CharsStrat.*no text satisfies"),
    (lambda: CharsStrat(CharsMode.ALPHA, stop=""), "stop is a number of characters or a text"),
    (lambda: CharsStrat(CharsMode.ALPHA, stop=True), "stop is a number of characters or a text"),
    (lambda: CharsStrat(CharsMode.ALPHA, stop=3, min=-1), "min is a whole number"),
    (lambda: CharsStrat("alpha", stop=3), "mode is a CharsMode, got 'alpha'"),  # type: ignore[arg-type]
    (lambda: CharsStrat(CharsMode.JS_FLOAT, stop=3), "JS_FLOAT takes a text"),
    (lambda: CharsStrat(CharsMode.JS_FLOAT, stop="e"), "JS_FLOAT takes a text"),
    (lambda: ListStrat(["a"], sep=3), "sep is a text, got 3"),  # type: ignore[arg-type]
    (lambda: ListStrat(ChoicesStrat(["a"]), min=3, max=2), "min is 3 and max is 2"),
    (lambda: ListStrat(ChoicesStrat(["a"]), min=-1), "min is -1"),
    (lambda: ListStrat([]), "ListStrat.*only the empty text"),
    (lambda: ListStrat(ChoicesStrat(["a"]), max=0), "ListStrat.*only the empty text"),
    (lambda: ListStrat(3), "got 3"),
    (lambda: ListStrat(Regex("a")), "elements of the strategies that come with the SDK"),
]


@pytest.mark.parametrize(("build", "message"), IMPOSSIBLE)
def test_what_no_text_satisfies_is_refused_where_it_is_built(
    build: Callable[[], Any], message: str
) -> None:
    with pytest.raises(StrategyError, match=message):
        build()


def test_an_empty_list_between_brackets_is_a_text() -> None:
    assert ListStrat([], open="[", close="]").matches("[]")
    assert ListStrat(ChoicesStrat(["a"]), max=0, end_with=".").matches(".")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (ChoicesStrat(["yes", "maybe"]), r"'yes', 'maybe'.*no tokens for b'maybe'"),
        (CharsStrat(CharsMode.NUMERIC, stop=2, min=1), "CharsStrat.*no tokens that spell"),
        (ListStrat(ChoicesStrat(["yes"]), open="[", min=1), "ListStrat.*no tokens that spell"),
    ],
)
def test_what_the_vocabulary_cannot_spell_is_refused_where_it_is_bound(
    strategy: Any, message: str
) -> None:
    with pytest.raises(StrategyError, match=message):
        strategy.into_strategy(Words(["yes", "no", "ma", "y", "es"]))


def test_what_it_can_spell_in_any_way_at_all_is_not() -> None:
    bound = ChoicesStrat(["yes", "noes"]).into_strategy(Words(["n", "o", "ye", "es", "s"]))
    state, said = bound.start(), []
    while not bound.is_complete(state):
        token = min(bound.allowed_tokens(state))
        said.append(token)
        bound.step(state, token)
    assert said == [0, 1, 3]


def test_a_way_that_leads_no_further_is_an_error_that_says_where() -> None:
    bound = ChoicesStrat(["yes"]).into_strategy(Words(["yes", "y"]))
    state = bound.start()
    assert bound.allowed_tokens(state) == {0, 1}
    bound.step(state, 1)
    with pytest.raises(StrategyError, match=r"'yes'.*no token of this tokenizer can follow 'y'"):
        bound.allowed_tokens(state)


def test_a_long_strategy_is_named_in_short() -> None:
    long = ChoicesStrat([f"choice number {number}" for number in range(100)])
    assert len(str(long)) < 250


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        (["yes", "no"], {"yes", "no"}),
        (("yes", "no"), {"yes", "no"}),
        ("yes", {"yes"}),
        (Colour, {"red", "green"}),
        (ChoicesStrat(["a"]), {"a"}),
    ],
)
def test_a_strategy_is_made_from_what_people_write(given: Any, texts: set[str]) -> None:
    made: Any = strategy_constructor(given)
    assert isinstance(made, StrategyConstructor)
    assert {text for text in ("yes", "no", "red", "green", "a") if made.matches(text)} == texts


@pytest.mark.parametrize("given", [3, None, {"a": 1}, ChoicesStrat, [ChoicesStrat(["a"])]])
def test_anything_else_is_refused_and_shown(given: Any) -> None:
    with pytest.raises(StrategyError, match="a list of texts"):
        strategy_constructor(given)


def test_a_constraint_is_a_strategy_too() -> None:
    made: Any = strategy_constructor(Regex("[a-z]+"))
    assert made.constraint() == Regex("[a-z]+")
