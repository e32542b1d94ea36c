"""The constraints in force in one session, and how far its tokens have come in each.

A *span* is a constraint with the output position from which it holds. Everything about it is
derived from the session's tokens: a cut replays what is left. The engine keeps matchers of its
own for the masks; these here are the authority on what is complete, broken or at a dead end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mods.runtime.decisions import Held, SessionSpec
from mods.runtime.seat import Seat
from mods.sdk.constraints import Constraint
from mods.sdk.errors import BrokenConstraintError, InvalidActionError

if TYPE_CHECKING:
    from mods.runtime.grammar.matcher import Matcher

UNKNOWN = -1
"""The start of a span whose reasoning has not ended."""


class Matchers(Protocol):
    """Makes matchers. Raises `ConstraintError` for a constraint that cannot be compiled."""

    def matcher(self, constraint: Constraint) -> Matcher: ...

    def text(self, tokens: Sequence[int]) -> str: ...


class Span:
    """A constraint from output token number `start` on. sleeper: who sleeps until it is complete.

    of_request: it is the request's own, of all its output. end: how many output tokens there were
    when nothing more was to be held to, None while it holds.
    """

    def __init__(
        self, constraint: Constraint, start: int, matchers: Matchers, sleeper: Seat | None = None
    ) -> None:
        self.constraint, self.start, self.sleeper = constraint, start, sleeper
        self.of_request = False
        self.end: int | None = None
        self._matchers = matchers
        self._matcher: Matcher | None = None

    @property
    def holds(self) -> bool:
        return self.end is None

    @property
    def matcher(self) -> Matcher:
        """Made when it is first needed. Raises `ConstraintError`."""
        if self._matcher is None:
            self._matcher = self._matchers.matcher(self.constraint)
        return self._matcher

    @property
    def intersects(self) -> bool:
        """Whether it may come to a dead end that no single part foresees."""
        return self._matcher is not None and self._matcher.may_dead_end

    def restart(self, tokens: Sequence[int]) -> None:
        """Take in these tokens, from the beginning."""
        self._matcher, self.end = None, None
        self.matcher.consume(tokens)


class Spans:
    """All spans of a session, oldest first."""

    def __init__(
        self, spec: SessionSpec, matchers: Matchers | None, tokens: Sequence[int], follows: bool
    ) -> None:
        """tokens: the session's output, live. follows: whether each token is taken as it enters;
        else that is made up for when somebody asks."""
        self._matchers, self._tokens, self._follows = matchers, tokens, follows
        self._spans: list[Span] = []
        self._reasoning_end = spec.reasoning_end
        self._seen = 0
        if spec.constraint is not None:
            start = UNKNOWN if self._reasoning_end is not None else 0
            span = self.add(spec.constraint, start, lazily=not follows)
            span.of_request = True

    def __bool__(self) -> bool:
        return bool(self._spans)

    def add(
        self,
        constraint: Constraint,
        start: int,
        sleeper: Seat | None = None,
        lazily: bool = False,
    ) -> Span:
        """Hold a constraint from here on. Raises `ConstraintError`, unless lazily."""
        if self._matchers is None:
            raise InvalidActionError("this model's tokenizer cannot carry constraints")
        span = Span(constraint, start, self._matchers, sleeper)
        if not lazily:
            span.matcher  # noqa: B018
        self._spans.append(span)
        return span

    def take(self, forced: bool) -> list[Span]:
        """The output has one more token. Returns the spans that it completes.

        Raises `BrokenConstraintError` if a constraint in force does not allow it.
        """
        return self._take(len(self._tokens), forced) if self._follows else []

    def _take(self, length: int, forced: bool) -> list[Span]:
        """Take the output's token number `length - 1` in."""
        complete = []
        token = self._tokens[length - 1]
        for span in self._spans:
            if span.start == UNKNOWN:
                if token == self._reasoning_end:
                    span.start = length
            elif span.holds and length > span.start:
                if not span.matcher.consume([token]):
                    raise BrokenConstraintError(self._broken(span, length, forced))
                if span.matcher.stopped if span.of_request else span.matcher.complete:
                    span.end = length
                    complete.append(span)
        self._seen = length
        return complete

    def catch_up(self) -> None:
        """Take in what was not taken as it entered. Raises as `take` does."""
        while self._seen < len(self._tokens):
            self._take(self._seen + 1, False)

    def cut(self) -> list[Span]:
        """The output was cut. Returns the spans that are gone with what was cut off."""
        length, gone = len(self._tokens), []
        self._seen = min(self._seen, length)
        for span in list(self._spans):
            if span.of_request and self._reasoning_end is not None and span.start > length:
                span.start = UNKNOWN
                span.restart(())
            elif span.start > length:
                self._spans.remove(span)
                gone.append(span)
            elif span.sleeper is not None and not span.holds:
                # Its mod was told of the whole stretch, and this is what it makes of it.
                self._spans.remove(span)
            elif span.start != UNKNOWN and span.start + len(span.matcher.tokens) > length:
                span.restart(self._tokens[span.start : length])
        return gone

    def drop_all(self) -> list[Span]:
        """Let go of every span but the request's."""
        gone = [span for span in self._spans if not span.of_request]
        self._spans = [span for span in self._spans if span.of_request]
        return gone

    def held(self) -> list[Held]:
        """What the engine must mask for."""
        return [
            Held(span.constraint, span.start, span.of_request) for span in self._spans if span.holds
        ]

    def asleep(self) -> list[Span]:
        """The spans in force through which a mod sleeps."""
        return [span for span in self._spans if span.holds and span.sleeper is not None]

    def satisfied(self) -> bool:
        """Whether the output as it stands is whole for the request's constraint."""
        return all(
            span.start == UNKNOWN or not span.holds or span.matcher.accepting
            for span in self._spans
            if span.of_request
        )

    @property
    def of_request(self) -> bool:
        """Whether the request's own constraint is among them."""
        return any(span.of_request for span in self._spans)

    @property
    def may_retreat(self) -> bool:
        """Whether a dead end may come, out of which tokens are taken back."""
        return any(span.holds and span.intersects for span in self._spans)

    def floor(self, length: int) -> int:
        """How many of `length` output tokens no dead end can touch."""
        starts = [span.start for span in self._spans if span.holds and span.intersects]
        return min((start for start in starts if start != UNKNOWN), default=length)

    def forced(self) -> list[int]:
        """The tokens that the one constraint in force leaves no choice about."""
        holding = [span for span in self._spans if span.holds]
        if len(holding) != 1 or holding[0].start == UNKNOWN:
            return []
        return holding[0].matcher.forced()

    def allowed(self, vocabulary: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        """Which tokens may come next, bool [vocabulary]; None if no constraint is in force."""
        words = None
        for span in self._spans:
            if span.holds and span.start != UNKNOWN:
                row = span.matcher.vocabulary.row()
                span.matcher.fill(row)
                words = row if words is None else words & row
        if words is None:
            return None
        return np.unpackbits(words.view(np.uint8), bitorder="little")[:vocabulary].astype(bool)

    def dead_end(self) -> str:
        """What to tell where nothing is left: the parts, and the text so far."""
        return "; ".join(
            span.matcher.dead_end() for span in self._spans if span.holds and span.start != UNKNOWN
        )

    def error(self) -> str | None:
        """What a matcher says that cannot go on."""
        return next((span.matcher.error for span in self._spans if span.matcher.error), None)

    def _broken(self, span: Span, length: int, forced: bool) -> str:
        assert self._matchers is not None
        piece = self._matchers.text(self._tokens[length - 1 : length])
        before = self._matchers.text(self._tokens[span.start : length - 1][-24:])
        who = "a forced run" if forced else "a drawn token"
        cause = f": {span.matcher.error}" if span.matcher.error else ""
        return (
            f"{who} breaks the constraint ({span.constraint.__struct_config__.tag}) at output"
            f" token {length - 1}: {piece!r} cannot follow {before!r}{cause}"
        )
