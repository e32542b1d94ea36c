"""A session's output as its mods may look at it: text and origins, made when somebody looks.

Nothing is done for a mod that never looks. For one that does, each token is decoded once, whatever
is taken back in between.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from mods.runtime.decisions import SessionSpec
from mods.runtime.ends import Decodes
from mods.runtime.output import SAMPLED, Output
from mods.runtime.record import Record
from mods.runtime.seat import Seat
from mods.sdk.events import Token, Tokens

_BEFORE = 8
"""Tokens decoded once more before new ones: what a token's text is depends on its neighbours."""
_PART = "\ufffd"
"""What a character of which only a part is there decodes to."""

CONSTRAINT = "constraint"
"""Who put tokens there that no mod forced and that a constraint left no choice about."""


class Transcript:
    """Follows an output. Its answers are those of the moment in which it is asked."""

    def __init__(
        self,
        output: Output,
        seats: Sequence[Seat],
        spec: SessionSpec,
        tokenizer: Decodes,
        record: Record,
    ) -> None:
        self._output, self._record = output, record
        self._tokenizer, self._skip = tokenizer, spec.skip_special_tokens
        self._mods = [seat.name for seat in seats] or [CONSTRAINT]
        self._tokens: list[Token] = []
        self._text = ""
        self._marks: list[tuple[int, int]] = [(0, 0)]
        """(tokens, characters of text) at each place where the text was whole, oldest first."""

    @property
    def tokens(self) -> Tokens:
        """The output with its origins. What was given earlier stays as it was."""
        self._follow()
        output, seen = self._output, self._tokens
        for at in range(len(seen), len(output)):
            seen.append(Token(output.tokens[at], self._mod(output.origins[at])))
        return Tokens(seen, len(seen))

    @property
    def text(self) -> str:
        """The output's text, less a character at its end that is not whole."""
        self._follow()
        tokens, (known, _) = self._output.tokens, self._marks[-1]
        if known == len(tokens):
            return self._text
        start = max(0, known - _BEFORE)
        more = self._decode(tokens[start:])[len(self._decode(tokens[start:known])) :]
        if more.endswith(_PART):
            return self._text + more.rstrip(_PART)
        self._text += more
        self._marks.append((len(tokens), len(self._text)))
        return self._text

    def cut(self, at: int) -> tuple[int, int]:
        """How many of the newest tokens hold the text from character `at` on; see `Event.cut`."""
        length = len(self.text)
        tokens, mark = self._output.tokens, bisect_right(self._marks, at, key=itemgetter(1)) - 1
        kept, left = self._marks[max(0, mark)]
        if kept == len(tokens):
            return 0, left
        start = max(0, kept - _BEFORE)
        before, from_here = self._decode(tokens[start:kept]), left
        for count in range(kept + 1, len(tokens) + 1):
            more = self._decode(tokens[start:count])[len(before) :]
            if from_here + len(more) > min(at, length):
                break
            if not more.endswith(_PART):
                kept, left = count, from_here + len(more)
        return len(tokens) - kept, left

    @property
    def calls(self) -> int:
        return self._record.calls - 1

    @property
    def seconds(self) -> float:
        return self._record.seconds

    def _follow(self) -> None:
        """Forget what was taken back since the last look."""
        left, self._output.untouched = self._output.untouched, sys.maxsize
        if left < len(self._tokens):
            self._tokens = self._tokens[:left]
        if left < self._marks[-1][0]:
            while self._marks[-1][0] > left:
                self._marks.pop()
            self._text = self._text[: self._marks[-1][1]]

    def _mod(self, origin: int) -> str | None:
        return None if origin == SAMPLED else self._mods[origin - 1]

    def _decode(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=self._skip)
