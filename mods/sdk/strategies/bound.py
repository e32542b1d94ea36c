"""A strategy over one tokenizer's tokens, judged in bytes of text and never in token ids.

This is the form that runs in Python, a step for every token. Where a constraint can be held by
the engine, use that instead: the two allow the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mods.sdk.constraints import Constraint
from mods.sdk.strategies.automaton import DEAD, Automaton, automaton_of
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.pieces import Pieces, pieces_of

if TYPE_CHECKING:
    from mods.sdk.strategies.description import Description

_START = 0


@dataclass
class Place:
    """How far one output has come. text: its bytes; ended: an end of sequence ended it."""

    at: int = _START
    text: bytes = b""
    ended: bool = False


class BoundStrategy:
    """What a description allows, token by token. Stateless: each output has a `Place` of its own.

    Raises `StrategyError` where the tokenizer has no tokens for the text.
    """

    def __init__(self, description: Description, tokenizer: Any) -> None:
        self.description = description
        self._pieces = pieces_of(tokenizer)
        self._eos: int | None = getattr(tokenizer, "eos_token_id", None)
        self._automaton = automaton_of(description.pattern)
        _check_spelled(description, self._automaton, self._pieces)

    def start(self, tokenizer: Any = None) -> Place:
        return Place()

    def allowed_tokens(self, state: Place, tokenizer: Any = None) -> set[int]:
        """The tokens that may come next, the end of sequence among them where the text is whole.

        A token that would go on past the end is not among them. Raises `StrategyError` where the
        tokenizer has no way to go on.
        """
        if self.is_complete(state):
            return set()
        allowed = set(self._automaton.tokens(state.at, self._pieces).tolist())
        if self._eos is not None and self._automaton.accepts(state.at):
            allowed.add(self._eos)
        if not allowed:
            raise StrategyError(
                f"{self.description}: no token of this tokenizer can follow {_shown(state.text)}"
            )
        return allowed

    def disallowed_tokens(self, state: Place, tokenizer: Any = None) -> set[int]:
        """The end of sequence, as long as the text is not whole."""
        whole = state.ended or self._automaton.accepts(state.at)
        return set() if whole or self._eos is None else {self._eos}

    def step(self, state: Place, token_id: int, tokenizer: Any = None) -> None:
        """Take a token in. What comes after the end is no affair of the strategy's.

        A token that holds the end of the text and more completes it. Raises `StrategyError` for
        one that does not fit.
        """
        if self.is_complete(state):
            return
        if token_id == self._eos and self._automaton.accepts(state.at):
            state.ended = True
            return
        piece = self._pieces.of(int(token_id))
        if not piece or not self._take(state, piece):
            what = f"token {token_id}" if piece is None else _shown(piece)
            raise StrategyError(f"{self.description}: {what} cannot follow {_shown(state.text)}")

    def is_complete(self, state: Place) -> bool:
        return state.ended or self._automaton.is_final(state.at)

    def trim_answer(self, answer: str) -> str:
        return self.description.trim_answer(answer)

    def constraint(self) -> Constraint:
        """The same texts, for the engine to hold."""
        return self.description.constraint()

    def _take(self, state: Place, piece: bytes) -> bool:
        """Go on by these bytes, or up to the last of them that makes the text whole."""
        at, whole = state.at, None
        for count, byte in enumerate(piece, start=1):
            at = self._automaton.step(at, byte)
            if at == DEAD:
                break
            if self._automaton.accepts(at):
                whole = count, at
        else:
            state.at, state.text = at, state.text + piece
            return True
        if whole is None:
            return False
        state.at, state.text, state.ended = whole[1], state.text + piece[: whole[0]], True
        return True


def _check_spelled(description: Description, automaton: Automaton, pieces: Pieces) -> None:
    if not automaton.can_be_spelled(pieces):
        raise StrategyError(f"{description}: this tokenizer has no tokens that spell such a text")
    for text in description.options:
        if not automaton_of(text).can_be_spelled(pieces):
            raise StrategyError(f"{description}: this tokenizer has no tokens for {text.text!r}")


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace")[-60:]) if text else "the start"
