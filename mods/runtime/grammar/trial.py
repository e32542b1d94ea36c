"""A constraint tried out: compiled, begun with the real vocabulary, and walked a little way.

Some grammars compile in a millisecond and then fail after three tokens, or take a tenth of a
second for every mask. Both show only when one is used. So a trial walks: it takes tokens that the
grammar allows, some drawn evenly, some as long as possible, and watches what each step costs in
processor time, which other load on the machine does not change.
"""

from __future__ import annotations

import random
import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from mods.runtime.grammar.compile import Grammar, Options, compile_constraint
from mods.runtime.grammar.matcher import Matcher, Words, clear
from mods.runtime.grammar.vocabulary import BITS, Vocabulary
from mods.sdk.constraints import Constraint
from mods.sdk.errors import ConstraintError

STEPS = 12
"""Tokens of a walk through a grammar that is fast."""

LONG_STEPS = 64
"""Tokens of a walk through one that is not."""

FAST = 0.0003
"""Seconds of processor time for a mask and a token, on average, up to which one is fast."""

MOST_SECONDS = 0.5
"""Processor time for one walk, after its first step."""

MOST_MEAN_STEP = 0.005
"""Seconds of processor time that a mask and a token may cost, averaged over a walk."""

MOST_STEP = 0.05
"""Seconds that a single one may cost. Other requests wait for it once, not at every token."""

MOST_FIRST_STEP = 0.25
"""Seconds that the first may cost, in which most of the lexer is built."""


class Trial(msgspec.Struct, frozen=True):
    """A grammar that can be used, and what it cost.

    Milliseconds: compile_ms on the clock, mask_ms of processor time, the mean over the walks.
    steps: tokens walked.
    """

    grammar: Grammar
    compile_ms: float
    mask_ms: float
    steps: int


def try_out(
    constraint: Constraint, vocabulary: Vocabulary, options: Options | None = None
) -> Trial:
    """Raises `ConstraintError` for what cannot be compiled, begun, or walked fast enough."""
    began = time.perf_counter()
    grammar = compile_constraint(constraint, options)
    matcher = Matcher(grammar, vocabulary)
    if matcher.error is not None:
        raise ConstraintError(matcher.error)
    compiled = time.perf_counter() - began
    if matcher.copy().is_dead():
        raise ConstraintError(f"no text is possible: {matcher.copy().dead_end()}")
    costs = [cost for walk in (_Longest(), _Even()) for cost in _walk(matcher.copy(), walk)]
    return Trial(
        grammar,
        compile_ms=round(compiled * 1000, 3),
        mask_ms=round(1000 * sum(costs) / max(1, len(costs)), 3),
        steps=len(costs),
    )


class _Even:
    """Draws from what is allowed, the same at every trial."""

    def __init__(self) -> None:
        self._random = random.Random(0)

    def pick(self, row: Words, vocabulary: Vocabulary) -> int:
        return self._drawn(row.view(np.uint32))

    def _drawn(self, words: NDArray[np.uint32]) -> int:
        """One of the set bits; words are drawn evenly, and then bits, which is cheap."""
        word = self._random.choice(np.flatnonzero(words).tolist())
        bits = int(words[word])
        return int(word) * BITS + self._random.choice([b for b in range(BITS) if bits >> b & 1])


class _Longest(_Even):
    """Takes the longest of a few tokens, and so gets deep into a grammar."""

    def pick(self, row: Words, vocabulary: Vocabulary) -> int:
        words = row.view(np.uint32)
        some = [self._drawn(words) for _ in range(8)]
        return max(some, key=lambda token: len(vocabulary.tokens.decode_bytes([token])))


def _walk(matcher: Matcher, walk: _Even) -> list[float]:
    """What each step cost, in seconds. Raises `ConstraintError` where it fails or costs too much.

    A walk that comes to an end, or to a dead end between parts, says nothing against a grammar.
    """
    costs: list[float] = []
    row = matcher.vocabulary.row()
    while _goes_on(costs):
        began = time.thread_time()
        matcher.fill(row)
        filled = time.thread_time()
        clear(row, matcher.vocabulary.eos)
        token = walk.pick(row, matcher.vocabulary) if row.any() else None
        drawn = time.thread_time()
        taken = token is not None and matcher.consume([token]) == 1
        costs.append(time.thread_time() - drawn + filled - began)
        if matcher.error is not None:
            raise ConstraintError(f"the constraint is too complex: {matcher.dead_end()}")
        if not taken:
            break
        _check_cost(costs, matcher)
    return costs


def _goes_on(costs: list[float]) -> bool:
    """Farther where it is slow, or gets slow: what will fail or be too slow is slow before."""
    spent, newest = sum(costs[1:]), sorted(costs[-3:])
    slow = spent > FAST * STEPS or newest[len(newest) // 2 :][:1] > [FAST]
    return len(costs) < (LONG_STEPS if slow else STEPS) and spent < MOST_SECONDS


def _check_cost(costs: list[float], matcher: Matcher) -> None:
    latest, most = costs[-1], MOST_FIRST_STEP if len(costs) == 1 else MOST_STEP
    mean = sum(costs[1:]) / max(len(costs), STEPS)
    if latest <= most and mean <= MOST_MEAN_STEP:
        return
    what, limit = (latest, most) if latest > most else (mean, MOST_MEAN_STEP)
    raise ConstraintError(
        f"the constraint is too slow: a token took {what * 1000:.0f} ms to check"
        f" {_where(matcher)}, and {limit * 1000:.0f} ms is the most"
    )


def _where(matcher: Matcher) -> str:
    text = matcher.vocabulary.text(matcher.tokens)
    return f"after {text[-60:]!r}" if text else "at the start"
