"""Constraints in the reference loop: compiled in this process when a session first needs one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from mods.runtime.decisions import Held
from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.options import Options
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.runtime.matchers import GrammarMatchers
from mods.sdk.constraints import Constraint
from mods.sdk.errors import ConstraintError
from processors.constraints import Masks
from processors.grammars import Grammars


class LoopGrammars:
    """What a machine asks of matchers, and what the worker's masks stand on.

    width: entries in a row of logits. ends: ids that end an output beside the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, width: int, ends: Sequence[int]) -> None:
        self._tokenizer, self._width, self._ends = tokenizer, width, ends
        self._compiled = Grammars(lambda: self._vocabulary)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary.from_tokenizer(self._tokenizer, self._width, self._ends)

    @cached_property
    def _matchers(self) -> GrammarMatchers:
        return GrammarMatchers(self._vocabulary)

    @cached_property
    def masks(self) -> Masks:
        return Masks(self._compiled)

    def matcher(self, constraint: Constraint) -> Matcher:
        """A matcher at its beginning. Raises `ConstraintError`."""
        return self._matchers.matcher(constraint)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, for messages."""
        return self._matchers.text(tokens)

    def ready(self, held: Sequence[Held]) -> list[tuple[str, int, bool]]:
        """Each as the masks want to hear of it. Raises `ConstraintError`."""
        named = []
        for one in held:
            options = Options(specials=self._vocabulary.specials)
            grammar = compile_constraint(one.constraint, options)
            wrong = self._compiled.prepare(grammar)
            if wrong is not None:
                raise ConstraintError(wrong)
            named.append((grammar.digest, one.start, one.whole))
        return named
