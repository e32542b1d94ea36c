"""What constraints leave to be drawn: worked out from the tokens anew, for every draw.

The slowest way to be right. The real engine keeps matchers by row and advances them; here each is
made again and fed all the tokens, so nothing can be left over from a token that was taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mods.runtime.decisions import Held
from mods.runtime.spans import UNKNOWN, Matchers
from mods.sdk.constraints import Constraint
from mods.sdk.testing.tokenizer import EOS, VOCABULARY

if TYPE_CHECKING:
    from mods.runtime.grammar.matcher import Matcher
    from mods.runtime.grammar.vocabulary import Vocabulary
    from mods.runtime.matchers import GrammarMatchers


class _Bytes:
    """The byte tokenizer as llguidance wants to see it."""

    eos_token_id, bos_token_id = EOS, None
    special_token_ids = tuple(range(EOS, VOCABULARY))
    tokens = (*(bytes([byte]) for byte in range(256)), b"<e>", b"<s>", b"<x>")

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@cache
def byte_vocabulary() -> Vocabulary:
    """The byte tokenizer's vocabulary. Imported late: mods that constrain nothing need no grammar
    library."""
    from llguidance import LLTokenizer, TokenizerWrapper

    from mods.runtime.grammar.vocabulary import Vocabulary

    return Vocabulary(LLTokenizer(TokenizerWrapper(_Bytes())), [EOS])


class ByteMatchers:
    """Matchers over the byte tokenizer's vocabulary, which is made when one is first needed."""

    def matcher(self, constraint: Constraint) -> Matcher:
        """A matcher at its beginning. Raises `ConstraintError`."""
        return _byte_matchers().matcher(constraint)

    def text(self, tokens: Sequence[int]) -> str:
        return _byte_matchers().text(tokens)


@cache
def _byte_matchers() -> GrammarMatchers:
    from mods.runtime.matchers import GrammarMatchers

    return GrammarMatchers(byte_vocabulary())


@dataclass(frozen=True)
class Masks:
    """The constraints in force. reasoning_end: the token after which those hold whose start is not
    known yet."""

    held: Sequence[Held]
    matchers: Matchers
    reasoning_end: int | None = None

    def __bool__(self) -> bool:
        return bool(self.held)

    def allowed(self, tokens: Sequence[int]) -> frozenset[int] | None:
        """What may be the next output token after these; None where nothing is held to."""
        left: frozenset[int] | None = None
        for held in self.held:
            matcher = self._after(held, tokens)
            if matcher is not None and (held.whole or not matcher.complete):
                row = matcher.vocabulary.row()
                matcher.fill(row)
                may = frozenset(matcher.vocabulary.allowed(row))
                left = may if left is None else left & may
        return left

    def complete(self, tokens: Sequence[int]) -> list[Held]:
        """Those that need nothing more after these output tokens, the request's own aside."""
        return [
            held
            for held in self.held
            if not held.whole and (matcher := self._after(held, tokens)) and matcher.complete
        ]

    def broken(self, tokens: Sequence[int]) -> bool:
        """Whether some of these output tokens are not allowed."""
        return any(
            (matcher := self._after(held, tokens)) is not None
            and not (matcher.complete and not held.whole)
            and len(matcher.tokens) < len(tokens) - self._start(held, tokens)
            for held in self.held
        )

    def satisfied(self, tokens: Sequence[int]) -> bool:
        """Whether these output tokens are whole for the request's own constraint."""
        return all(
            not held.whole or (matcher := self._after(held, tokens)) is None or matcher.accepting
            for held in self.held
        )

    def _start(self, held: Held, tokens: Sequence[int]) -> int:
        if held.start != UNKNOWN:
            return held.start
        ended = self.reasoning_end in tokens
        return list(tokens).index(self.reasoning_end) + 1 if ended else len(tokens) + 1  # type: ignore[arg-type]

    def _after(self, held: Held, tokens: Sequence[int]) -> Matcher | None:
        """A matcher that took these output tokens, None where it does not hold yet."""
        start = self._start(held, tokens)
        if start > len(tokens):
            return None
        matcher = self.matchers.matcher(held.constraint)
        for token in tokens[start:]:
            if (matcher.complete and not held.whole) or not matcher.consume([token]):
                break
        return matcher
