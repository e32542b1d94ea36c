"""A grammar at work on one output: which tokens may come next, given those that came.

llguidance leaves three things open that a caller must be able to rely on. Where nothing fits any
more it allows the end, which looks like a normal stop: here the mask is empty instead. A matcher
that failed stays failed, taken back or not: here the tokens are kept and replayed. And an end is
counted only where the grammar could have gone on: here it always is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLExecutor, LLMatcher
from numpy.typing import NDArray

from mods.runtime.grammar.grammar import Grammar
from mods.runtime.grammar.limits import parser_limits
from mods.runtime.grammar.llguidance_errors import told
from mods.runtime.grammar.vocabulary import BITS, Vocabulary

Words = NDArray[np.int32]
"""One mask: bit i of word w is token 32 w + i. Shape: [vocabulary.words], int32."""


class Matcher:
    """One output's place in a grammar. Never raises for what a grammar does; see `error`.

    raw: llguidance's matchers, one for each part of the grammar. One that did not take a token is
    out, and stays where it was, until that token is taken back.
    """

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary) -> None:
        self.grammar, self.vocabulary = grammar, vocabulary
        self.raw = _made(grammar, vocabulary)
        self._groups = grammar.groups or tuple((part,) for part in range(len(self.raw)))
        self._taken = [0] * len(self.raw)
        self._tokens: list[int] = []
        self._stopped = False

    @property
    def tokens(self) -> tuple[int, ...]:
        """What was consumed, the end among it."""
        return (*self._tokens,)

    @property
    def accepting(self) -> bool:
        """Whether the tokens so far are a whole text of the grammar."""
        return self._stopped or all(
            any(_accepts(self.raw[part]) for part in self._in(group)) for group in self._groups
        )

    @property
    def stopped(self) -> bool:
        """Whether an end was consumed: nothing may follow."""
        return self._stopped

    @property
    def complete(self) -> bool:
        """Whether nothing but the end may come."""
        if self._stopped:
            return True
        if not self.accepting:
            return False
        if any(all(self.raw[part].is_stopped() for part in self._in(g)) for g in self._groups):
            return True
        row = self.vocabulary.row()
        self.fill(row)
        clear(row, self.vocabulary.eos)
        return not row.any()

    @property
    def may_dead_end(self) -> bool:
        """Whether parts are intersected, so that each may go on and all together may not."""
        return len(self._groups) > 1

    @property
    def error(self) -> str | None:
        """What llguidance says went wrong, in one line, or None."""
        for group in self._groups:
            failed = [self.raw[part] for part in group if self.raw[part].is_error()]
            if failed and len(failed) == len(group):
                return told(failed[0].get_error())
        return None

    def consume(self, tokens: Sequence[int]) -> int:
        """Take tokens in until one does not fit. Returns how many were taken."""
        taken = 0
        for run, end in _runs(tokens, self.vocabulary):
            fitting = self._consume_run(run)
            taken += fitting
            if fitting < len(run) or end is None or self._stopped or not self.accepting:
                break
            self._tokens.append(end)
            self._stopped = True
            taken += 1
        return taken

    def rollback(self, count: int) -> None:
        """Take the newest tokens back. Raises ValueError for more than were consumed."""
        if not 0 <= count <= len(self._tokens):
            raise ValueError(f"cannot take back {count} of {len(self._tokens)} tokens")
        if count and self._stopped:
            self._stopped = False
            self._tokens.pop()
            count -= 1
        if count:
            del self._tokens[-count:]
            for part in range(len(self.raw)):
                self._return(part, len(self._tokens))

    def copy(self) -> Matcher:
        """Another matcher at the same place, which goes its own way."""
        other = Matcher.__new__(Matcher)
        other.grammar, other.vocabulary, other._groups = self.grammar, self.vocabulary, self._groups
        other.raw = [raw.deep_copy() for raw in self.raw]
        other._taken, other._tokens = list(self._taken), list(self._tokens)
        other._stopped = self._stopped
        return other

    def forced(self) -> list[int]:
        """Tokens that must come next; none where there is a choice, or parts are intersected."""
        live = self._in(self._groups[0])
        canonical = self.vocabulary.tokens.is_canonical
        if self._stopped or self.may_dead_end or len(live) != 1 or not canonical:
            return []
        found: list[int] = self.raw[live[0]].compute_ff_tokens()
        ends = self.vocabulary.eos
        return found[: next((i for i, token in enumerate(found) if token in ends), len(found))]

    def fill(self, words: Words) -> None:
        """Write the mask of the next token into a row."""
        self._write_group(self._groups[0], words)
        for group in self._groups[1:]:
            more = self.vocabulary.row()
            self._write_group(group, more)
            np.bitwise_and(words, more, out=words)
        self._settle(words)

    def settle(self, words: Words) -> None:
        """Make a mask true that llguidance wrote for `raw[0]`, where there is no other part.

        It is what `fill` does beyond that, for callers that fill many rows at once.
        """
        if self.raw[0].is_error():
            words.fill(0)
        self._settle(words)

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        if self._stopped or not 0 <= token < self.vocabulary.width:
            return False
        if token in self.vocabulary.eos:
            return self.accepting
        if self.grammar.plain and not _has(self.vocabulary.plain, token):
            return False
        return all(
            any(_takes(self.raw[part], token) for part in self._in(group)) for group in self._groups
        )

    def is_dead(self) -> bool:
        """Whether nothing may come, not even the end, though no end has come."""
        if self._stopped:
            return False
        row = self.vocabulary.row()
        self.fill(row)
        return not row.any()

    def dead_end(self) -> str:
        """What to tell of a dead end: the parts and the text so far."""
        text = self.vocabulary.text(self._tokens)
        where = f"after {text[-200:]!r}" if text else "at the start"
        reason = f": {self.error}" if self.error else ""
        if not self.may_dead_end:
            return f"the constraint allows nothing {where}{reason}"
        groups = (" or ".join(self.grammar.names[part] for part in g) for g in self._groups)
        return f"no token fits {' and '.join(groups)} at once {where}{reason}"

    def _in(self, group: Sequence[int]) -> list[int]:
        """The parts of a group that took every token so far."""
        length = len(self._tokens) - self._stopped
        return [part for part in group if self._taken[part] == length]

    def _write_group(self, group: Sequence[int], words: Words) -> None:
        live = self._in(group)
        if not live:
            words.fill(0)
            return
        _write(self.raw[live[0]], words)
        for part in live[1:]:
            more = self.vocabulary.row()
            _write(self.raw[part], more)
            np.bitwise_or(words, more, out=words)

    def _settle(self, words: Words) -> None:
        if self._stopped:
            words.fill(0)
        elif _has_any(words, self.vocabulary.eos) and not self.accepting:
            clear(words, self.vocabulary.eos)
        if self.grammar.plain:
            np.bitwise_and(words, self.vocabulary.plain, out=words)

    def _consume_run(self, run: list[int]) -> int:
        """Take tokens that are no ends."""
        if self._stopped or not run:
            return 0
        if len(self.raw) > 1 or self.grammar.plain:
            for count, token in enumerate(run):
                if not self._consume_one(token):
                    return count
            return len(run)
        taken = 0 if self.raw[0].is_stopped() else self.raw[0].try_consume_tokens(run)
        self._taken[0] += taken
        self._tokens += run[:taken]
        return int(taken)

    def _consume_one(self, token: int) -> bool:
        if not self.allows(token):
            return False
        for part in self._in(range(len(self.raw))):
            if _takes(self.raw[part], token):
                self._taken[part] += self.raw[part].try_consume_tokens([token])
        self._tokens.append(token)
        return True

    def _return(self, part: int, length: int) -> None:
        """Take one part back to this many tokens, if it took more."""
        count = self._taken[part] - length
        if count <= 0:
            return
        raw = self.raw[part]
        if raw.is_error() or not raw.rollback(count) or raw.is_error():
            self.raw[part] = raw = _made_one(self.grammar.parts[part], self.vocabulary)
            taken = raw.try_consume_tokens(self._tokens[:length])
            assert taken == length, "a matcher no longer takes what it took before"
        self._taken[part] = length


def fill_rows(
    matchers: Sequence[tuple[Matcher, int]], words: NDArray[np.int32], executor: LLExecutor
) -> None:
    """Write many masks at once, on the executor's threads.

    matchers: each with its row. words: shape [rows, words], C-contiguous int32.
    """
    single = [(matcher, row) for matcher, row in matchers if len(matcher.raw) == 1]
    jobs = [(matcher.raw[0], row) for matcher, row in single]
    executor.unsafe_compute_mask_ptr(jobs, words.ctypes.data, words.shape[1] * 4, words.shape[0])
    for matcher, row in single:
        matcher.settle(words[row])
    for matcher, row in matchers:
        if len(matcher.raw) > 1:
            matcher.fill(words[row])


def _made(grammar: Grammar, vocabulary: Vocabulary) -> list[LLMatcher]:
    return [_made_one(part, vocabulary) for part in grammar.parts]


def _made_one(part: str, vocabulary: Vocabulary) -> LLMatcher:
    return LLMatcher(vocabulary.tokens, part, log_level=0, limits=parser_limits())


def _runs(tokens: Sequence[int], vocabulary: Vocabulary) -> list[tuple[list[int], int | None]]:
    """Tokens in runs, each with the end that follows it. An impossible id cuts what comes after."""
    runs: list[tuple[list[int], int | None]] = []
    run: list[int] = []
    for token in map(int, tokens):
        if not 0 <= token < vocabulary.width:
            break
        if token in vocabulary.eos:
            runs.append((run, token))
            run = []
        else:
            run.append(token)
    return [*runs, (run, None)]


def _accepts(raw: LLMatcher) -> bool:
    return bool(raw.is_accepting()) and not raw.is_error()


def _takes(raw: LLMatcher, token: int) -> bool:
    return not raw.is_stopped() and raw.validate_tokens([token]) == 1


def _write(raw: LLMatcher, words: Words) -> None:
    """llguidance's own mask, or none if it cannot go on."""
    raw.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
    if raw.is_error():
        words.fill(0)


def _has(words: Words, token: int) -> bool:
    return bool(int(words[token // BITS]) >> token % BITS & 1)


def _has_any(words: Words, tokens: Sequence[int]) -> bool:
    return any(_has(words, token) for token in tokens)


def clear(words: Words, tokens: Sequence[int]) -> None:
    """Take tokens out of a mask."""
    view = words.view(np.uint32)
    for token in tokens:
        view[token // BITS] &= np.uint32(~(1 << token % BITS) & 0xFFFFFFFF)
