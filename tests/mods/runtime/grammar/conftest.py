"""The demo model's vocabulary, which is small, and questions about texts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mods.runtime.grammar.compile import Options, compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import Constraint

TOKENIZER = Path(__file__).parents[4] / "server" / "demo" / "model" / "tokenizer.json"
END = 1
WIDTH = 2112
"""More than the tokenizer has, as the logits of a padded model."""


@cache
def demo_vocabulary() -> Vocabulary:
    return Vocabulary.from_text(TOKENIZER.read_text(), [END], WIDTH)


class Texts:
    """Whether texts are allowed, whichever way they are cut into tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def matcher(self, constraint: Constraint, options: Options | None = None) -> Matcher:
        matcher = Matcher(compile_constraint(constraint, options), self.vocabulary)
        assert matcher.error is None, matcher.error
        return matcher

    def allow(self, constraint: Constraint, text: str) -> bool:
        whole = self.vocabulary.encode(text)
        letters = [token for letter in text for token in self.vocabulary.encode(letter)]
        first, second = (self._takes(constraint, tokens) for tokens in (whole, letters))
        assert first == second, f"{text!r} depends on how it is cut"
        return first

    def _takes(self, constraint: Constraint, tokens: list[int]) -> bool:
        matcher = self.matcher(constraint)
        return matcher.consume([*tokens, END]) == len(tokens) + 1


@pytest.fixture
def vocabulary() -> Vocabulary:
    return demo_vocabulary()


@pytest.fixture
def texts(vocabulary: Vocabulary) -> Texts:
    return Texts(vocabulary)
