"""A pattern as an automaton over bytes, built as far as it is walked, and the tokens that fit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mods.sdk.strategies.patterns import EMPTY, NOTHING, Pattern, derivative, nullable
from mods.sdk.strategies.pieces import Pieces

DEAD = -1
"""The state out of which no text of the pattern comes."""

_UNKNOWN = -2
_SETS = 32
"""States whose token sets are kept."""
_SEARCH = 4096
"""States that are looked at to find out whether a pattern can be spelled."""


class Automaton:
    """States are numbers, 0 the first; each is what may follow the text so far."""

    def __init__(self, pattern: Pattern) -> None:
        self._patterns: list[Pattern] = []
        self._numbers: dict[Pattern, int] = {}
        self._table = np.full((8, 256), _UNKNOWN, dtype=np.int32)
        self._sets: dict[tuple[int, Pieces], NDArray[np.int32]] = {}
        self._number(pattern)

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte, `DEAD` if it does not fit."""
        after = int(self._table[state, byte])
        return self._derive(state, byte) if after == _UNKNOWN else after

    def accepts(self, state: int) -> bool:
        """Whether the text so far is whole."""
        return nullable(self._patterns[state])

    def is_final(self, state: int) -> bool:
        """Whether the text so far is whole and nothing may follow."""
        return self._patterns[state] == EMPTY

    def pattern(self, state: int) -> Pattern:
        """What may follow."""
        return self._patterns[state]

    def tokens(self, state: int, pieces: Pieces) -> NDArray[np.int32]:
        """The tokens that fit as a whole, int32 [how many]."""
        key = (state, pieces)
        if key not in self._sets:
            if len(self._sets) >= _SETS:
                del self._sets[next(iter(self._sets))]
            self._sets[key] = self._walk(state, pieces)[0]
        return self._sets[key]

    def can_be_spelled(self, pieces: Pieces) -> bool:
        """Whether tokens lead from the start to a whole text. Very long searches count as yes."""
        if pieces.spell_all:
            return True
        waiting, seen = [0], {0}
        while waiting and len(seen) < _SEARCH:
            state = waiting.pop()
            if self.accepts(state):
                return True
            found = set(self._walk(state, pieces)[1].tolist()) - seen
            waiting += sorted(found)
            seen |= found
        return bool(waiting)

    def _walk(self, state: int, pieces: Pieces) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """All tokens at once, a byte of each at a time: those that fit, and where each leads."""
        places = np.arange(len(pieces.ids))
        states = np.full(len(places), state, dtype=np.int32)
        fitting, ends, at = [places[:0]], [states[:0]], 0
        while len(places):
            states = self._step_all(states, pieces.column(at, places))
            at += 1
            whole = (pieces.lengths[places] == at) & (states != DEAD)
            fitting.append(places[whole])
            ends.append(states[whole])
            on = (pieces.lengths[places] > at) & (states != DEAD)
            places, states = places[on], states[on]
        ids = pieces.ids[np.concatenate(fitting)]
        order = np.argsort(ids)
        return ids[order], np.concatenate(ends)[order]

    def _step_all(self, states: NDArray[np.int32], column: NDArray[np.uint8]) -> NDArray[np.int32]:
        after = self._table[states, column]
        missing = after == _UNKNOWN
        if missing.any():
            pairs = np.unique(states[missing].astype(np.int64) * 256 + column[missing])
            for pair in pairs.tolist():
                self._derive(pair // 256, pair % 256)
            after = self._table[states, column]
        return after

    def _derive(self, state: int, byte: int) -> int:
        after = derivative(self._patterns[state], byte)
        number = DEAD if after == NOTHING else self._number(after)
        self._table[state, byte] = number
        return number

    def _number(self, pattern: Pattern) -> int:
        if pattern not in self._numbers:
            self._numbers[pattern] = len(self._patterns)
            self._patterns.append(pattern)
            if len(self._patterns) > len(self._table):
                more = np.full(self._table.shape, _UNKNOWN, dtype=np.int32)
                self._table = np.concatenate([self._table, more])
        return self._numbers[pattern]


@lru_cache(maxsize=128)
def automaton_of(pattern: Pattern) -> Automaton:
    """The automaton of a pattern, shared by all who use the same one."""
    return Automaton(pattern)
