"""From constraints to matchers, for whoever runs machines: compiled once, then copied."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from msgspec.structs import replace

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.options import Options
from mods.runtime.grammar.vocabulary import Vocabulary
from mods.sdk.constraints import Constraint
from mods.sdk.errors import ConstraintError

KEPT = 256
"""Compiled constraints kept; past that the one that was not used for longest goes."""


class GrammarMatchers:
    """Matchers over one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, options: Options | None = None) -> None:
        self.vocabulary = vocabulary
        self._options = replace(options or Options(), specials=vocabulary.specials)
        self._compiled: OrderedDict[Constraint, Matcher] = OrderedDict()

    def matcher(self, constraint: Constraint) -> Matcher:
        """A matcher at its beginning. Raises `ConstraintError`."""
        compiled = self._compiled.get(constraint)
        if compiled is None:
            compiled = Matcher(compile_constraint(constraint, self._options), self.vocabulary)
            if compiled.error is not None:
                raise ConstraintError(compiled.error)
            self._compiled[constraint] = compiled
            while len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        return compiled.copy()

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, for messages."""
        return self.vocabulary.text(tokens)
