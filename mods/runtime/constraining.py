"""What constraints do to one session: who sleeps through them, what they leave to be drawn.

Between the machine, which knows when things happen, and the spans, which know the grammars.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mods.runtime.chain import Outcome
from mods.runtime.dead_ends import DeadEnds
from mods.runtime.decisions import Held, SessionSpec
from mods.runtime.output import Output
from mods.runtime.seat import Seat
from mods.runtime.spans import Matchers, Span, Spans
from mods.sdk.actions import AdjustedLogits
from mods.sdk.errors import BrokenConstraintError

MAX_EMPTY_DRAWS = 4
"""Draws at one position for which the engine found nothing, although something is allowed."""


class Constraining:
    """One session's constraints, and its mods that wait for them."""

    def __init__(
        self,
        spec: SessionSpec,
        output: Output,
        seats: Sequence[Seat],
        matchers: Matchers | None,
    ) -> None:
        self._spec, self._output, self._seats = spec, output, seats
        follows = bool(seats) or spec.jump or spec.tracked
        self._spans = Spans(spec, matchers, output.tokens, follows)
        self._dead_ends = DeadEnds()
        self._empty_draws = (-1, 0)
        """(position, how often) of draws that found nothing."""
        self.unbound = False
        """Whether a constraint came into force that the engine does not know of."""

    def __bool__(self) -> bool:
        return bool(self._spans)

    # What the engine and the session are told.

    @property
    def held(self) -> list[Held]:
        return self._spans.held()

    @property
    def barred(self) -> list[int]:
        """Tokens that led from here to a dead end."""
        return self._dead_ends.at(len(self._output))

    @property
    def quiet(self) -> bool:
        """Whether nobody needs to be asked in every round."""
        watched = self._spec.stop or self._spec.jump or self._spans.may_retreat
        return not watched and not any(seat.listens for seat in self._seats)

    @property
    def reach(self) -> int | None:
        """How many of the newest tokens may still be taken back, None for all of them."""
        reaches = [None if seat.holding else seat.mod.traits.reach for seat in self._seats]
        if self._spans.may_retreat or None in reaches:
            return None
        return max((reach or 0 for reach in reaches), default=0)

    @property
    def floor(self) -> int:
        """How many output tokens no dead end can touch."""
        return self._spans.floor(len(self._output))

    # As tokens come and go.

    def bind(self, outcome: Outcome) -> None:
        """What mods ask for comes into force with the next token. Raises `ConstraintError`."""
        for seat, action in outcome.constraining:
            assert action.constraint is not None
            sleeper = seat if action.until_complete else None
            self._spans.add(action.constraint, len(self._output), sleeper)
            if action.until_complete:
                seat.sleep(action.token_temp)
            self.unbound = True

    def take(self, forced: bool) -> None:
        """The output has one more token. Raises `BrokenConstraintError`."""
        self._wake(self._spans.take(forced))

    def wake_all(self) -> None:
        """The generation ends here: nothing is left to sleep for."""
        self._wake(self._spans.asleep())

    def cut(self) -> None:
        """The output was cut. A constraint from beyond the cut is gone; who slept for it wakes."""
        for span in self._spans.cut():
            if span.sleeper is not None:
                span.sleeper.asleep = False

    def clear(self) -> None:
        """The output is about to be replaced as a whole: only the request's constraint stays."""
        self._spans.drop_all()

    def check_whole(self) -> None:
        """Raise `BrokenConstraintError` unless the output is whole for the request's constraint."""
        if not self._spans.satisfied():
            raise BrokenConstraintError(
                "the output that a mod forced ends before the constraint is satisfied"
            )

    def _wake(self, spans: Sequence[Span]) -> None:
        """The next `Added` tells of the whole stretch."""
        for span in spans:
            if span.sleeper is not None:
                span.sleeper.stretch = self._output.tokens[span.start :]

    # What is left to be drawn.

    def forced(self) -> list[int]:
        """The tokens that there is no choice about, where they may enter unsampled."""
        return self._spans.forced() if self._spec.jump and not self._seats else []

    def leaves_something(self, shape: AdjustedLogits, allow: Sequence[int] | None) -> bool:
        """Whether a shape and the constraints in force have any token in common."""
        if not self._spans or (allow is None and not shape.ban and shape.logits is None):
            return True
        allowed = self._spans.allowed(self._spec.vocabulary)
        if allowed is None:
            return True
        if shape.logits is not None:
            allowed &= shape.logits.reshape(-1)[: len(allowed)] > -np.inf
        allowed[[*shape.ban, self._spec.sentinel]] = False
        return bool(allowed.any() if allow is None else allowed[list(allow)].any())

    def nothing_drawn(self) -> int | None:
        """The engine drew nothing here: because nothing is left, or in want of a decision.

        Returns the length to cut the output to, its own length if it is whole and ends here, or
        None to try again. Raises `BrokenConstraintError` where no way leads on.
        """
        self._spans.catch_up()
        error = self._spans.error()
        if error is not None:
            raise BrokenConstraintError(f"the constraint cannot go on: {error}")
        position = len(self._output)
        allowed = self._spans.allowed(self._spec.vocabulary)
        if allowed is None:
            return None
        allowed[[self._spec.sentinel, *self.barred]] = False
        left = set(np.flatnonzero(allowed).tolist())
        whole = self._spans.of_request and self._spans.satisfied() and left <= set(self._spec.eos)
        if not left:
            return position if whole else self._out_of_dead_end(position)
        draws = self._empty_draws_at(position)
        if whole:
            # Where only the decision was late, the end is still drawn: it is a token of the output.
            return None if self._seats and draws == 1 else position
        if draws >= MAX_EMPTY_DRAWS or not self._seats:
            raise BrokenConstraintError(
                f"at output token {position} everything that the constraint allows is forbidden by"
                " the request's other parameters"
            )
        return None

    def _out_of_dead_end(self, position: int) -> int:
        """Bar the token that led here, where it was. Returns that place."""
        tokens = self._output.tokens
        if not position or not self._spans.may_retreat:
            raise BrokenConstraintError(
                f"nothing that the constraint allows can be output token {position}:"
                f" {self._spans.dead_end()}"
            )
        self._dead_ends.bar(position - 1, tokens[-1], self._spans.dead_end())
        return position - 1

    def _empty_draws_at(self, position: int) -> int:
        """How many there were, with this one. A decision may be late; if nothing is drawn again and
        again, that is not the cause."""
        at, count = self._empty_draws
        self._empty_draws = position, count + 1 if at == position else 1
        return self._empty_draws[1]
