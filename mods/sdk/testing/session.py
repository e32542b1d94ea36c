"""One session on the scripted engine: its segments, and the engine's own copy of its tokens.

It feeds every token but a segment's last to `decide`, the last to `tail`, ends a segment by itself
where vLLM would, and goes on where `Resume` says. It masks for the constraints in force, and asks
nobody in a segment that is quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mods.runtime.decisions import (
    END_SEGMENT,
    LEAVE,
    Decision,
    EndSegment,
    Fail,
    Finish,
    Force,
    Next,
    Resume,
    SessionSpec,
    Shape,
    Sureness,
    sureness_of,
)
from mods.runtime.machine import Machine
from mods.runtime.spans import Matchers
from mods.runtime.waiting import at_once
from mods.sdk.confidence import Confidence
from mods.sdk.events import FloatRow
from mods.sdk.testing.allowed import both, too_early
from mods.sdk.testing.clock import clock
from mods.sdk.testing.masks import Masks
from mods.sdk.testing.model import Model, draw
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.trouble import Trouble

T = TypeVar("T")

WAITED = 0.01
"""Seconds of a waiting handler's time that pass while the engine makes one step."""

Tail = tuple[int, int, int, list[int]]
"""Segment, position, newest token, and the tokens before it that the machine was not told of."""


@dataclass
class ScriptedSession:
    """One session's segments, and the engine's own copy of its tokens."""

    spec: SessionSpec
    machine: Machine
    model: Model
    trouble: Trouble
    reads_logits: bool
    matchers: Matchers
    tokens: list[int] = field(default_factory=list)
    step: int = 0
    alone: bool = False
    """Whether nobody else's steps are to come while a handler waits."""
    asks_confidence: bool = False
    answer: Next | None = None
    """What the machine said at last."""
    waiting: asyncio.Task[Decision] | None = None
    """The decision that a handler waits over, and for which the segment was ended."""

    def __post_init__(self) -> None:
        self.prompt = self.spec.prompt
        self.max_tokens = self.spec.max_tokens
        self.masks = Masks([], self.matchers)
        self.outcome = Outcome([], "aborted", decisions=[], prompt=self.prompt)

    def steps(self) -> Iterator[int]:
        """Run; each yield is one step of the engine's."""
        answer = yield from self._wait_for(self.machine.opening())
        while isinstance(answer, Resume) and not self._aborted():
            self._resume(answer)
            tail = yield from self._segment(answer)
            if tail is None or (self.waiting is not None and self._aborted()):
                break
            answer = yield from self._wait_for(self.machine.ending(*tail))
            if self.step in self.trouble.again:
                again = yield from self._wait_for(self.machine.ending(*tail))
                assert again == answer, "a repeated tail got another answer"
        self.answer = answer
        yield from self._close(answer)

    def _resume(self, resume: Resume) -> None:
        assert 0 <= resume.keep <= len(self.tokens), f"keep {resume.keep} of {len(self.tokens)}"
        self.tokens = self.tokens[: resume.keep] + resume.tokens
        self.prompt = resume.prompt if resume.prompt is not None else self.spec.prompt
        self.max_tokens = resume.max_tokens or self.spec.max_tokens
        self.masks = Masks(resume.held, self.matchers, self.spec.reasoning_end)
        self.outcome.segments += 1
        self.outcome.constrained = self.outcome.constrained or bool(resume.held)
        self._look()

    def _segment(self, resume: Resume) -> Generator[int, None, Tail | None]:
        """Draw until the segment ends. Returns its tail, or None if the client went away."""
        kept, newest = len(self.tokens), -1
        while not self._aborted():
            self.step += 1
            if resume.quiet:
                decision, row = self._unasked(resume), None
            else:
                decision, row = self._feed(resume.segment, newest)
            if self.step not in self.trouble.lost:
                barred = resume.barred if len(self.tokens) == kept else ()
                newest = self._draw(decision, row, barred)
                self.tokens.append(newest)
                yield self.step
            if self.step in self.trouble.lost or self._ended(newest):
                untold = self.tokens[kept:-1] if resume.quiet else []
                return resume.segment, len(self.tokens), newest, untold
        return None

    def _unasked(self, resume: Resume) -> Decision:
        """Where nobody needs to be asked: draw, until a constraint is complete."""
        if resume.reach is not None:
            self._show(max(self.machine.floor, len(self.tokens) - resume.reach))
        return END_SEGMENT if self.masks.complete(self.tokens) else LEAVE

    def _feed(self, segment: int, newest: int) -> tuple[Decision, object]:
        """Ask for the next draw's decision, once or oftener."""
        position = len(self.tokens)
        logits = self.model.logits(self.prompt + self.tokens) if self.reads_logits else None
        if self.step in self.trouble.stale:
            self._decide(segment - 1, max(0, position - 1), 7, logits)
        decision, row = self._decide(segment, position, newest, logits), self.machine.row
        if self.step in self.trouble.repeat and self.waiting is None:
            again = self._decide(segment, position, newest, logits)
            assert again == decision, f"a repeated feed got {again}, not {decision}"
        self.outcome.asked += 1
        assert self.outcome.decisions is not None
        self.outcome.decisions.append((position, decision))
        self._look()
        return decision, row

    def _decide(self, segment: int, position: int, token: int, logits: FloatRow | None) -> Decision:
        """The machine's decision. While a handler waits there is none, and the segment ends."""
        call = self.machine.deciding(segment, position, token, logits, (), self._sureness())
        if not self.machine.handlers.may_wait:
            return at_once(call)
        task = clock().begin(call)
        if task.done():
            return task.result()
        self.waiting = task
        return END_SEGMENT

    def _sureness(self) -> Sureness | None:
        if not self.asks_confidence:
            return None
        return sureness_of(Confidence.of_row(self.model.logits(self.prompt + self.tokens)))

    def _wait_for(self, call: Coroutine[Any, Any, T]) -> Generator[int, None, T]:
        """The result of a call, after the one that still waits; other sessions go on meanwhile."""
        if not self.machine.handlers.may_wait:
            return at_once(call)
        if self.waiting is not None:
            yield from self._until_done(self.waiting)
            self.waiting = None
        return (yield from self._until_done(clock().begin(call)))

    def _until_done(self, task: asyncio.Task[T]) -> Generator[int, None, T]:
        if self.alone:
            return clock().run(task)
        while not task.done():
            clock().turn(WAITED)
            yield self.step
        return task.result()

    def _give_up(self) -> None:
        """The client has gone: the handler that waits is told so, and nothing comes of it."""
        if self.waiting is not None:
            self.machine.handlers.abandoned = True
            self.waiting.cancel()
            while not self.waiting.done():
                clock().turn(WAITED)
            self.machine.handlers.abandoned = False
            self.waiting = None

    def _draw(self, decision: Decision, row: object, barred: Sequence[int]) -> int:
        if self.step in self.trouble.late or isinstance(decision, EndSegment):
            return self.spec.sentinel
        if isinstance(decision, Force):
            return decision.token
        shape = decision if isinstance(decision, Shape) else Shape()
        context = self.prompt + self.tokens
        ban = {*shape.ban, *barred, *too_early(self.spec, len(self.tokens)), self.spec.sentinel}
        allow = both(shape.allow, self.masks.allowed(self.tokens))
        if allow is not None and not allow - ban:
            return self.spec.sentinel
        self.outcome.drawn += 1
        return draw(
            row if shape.row else self.model.logits(context),  # type: ignore[arg-type]
            context,
            bias=shape.bias,
            ban=ban,
            allow=allow,
            temperature=shape.temperature,
        )

    def _ended(self, token: int) -> bool:
        """Where vLLM ends a request by itself: it knows no stop strings."""
        if token == self.spec.sentinel or len(self.tokens) >= self.max_tokens:
            return True
        eos = () if self.spec.ignore_eos else self.spec.eos
        ends = {*eos, *self.spec.stop_token_ids}
        return token in ends and len(self.tokens) >= self.spec.min_tokens

    def _aborted(self) -> bool:
        return self.trouble.abort is not None and self.step >= self.trouble.abort

    def _look(self) -> None:
        """Show more, as a stream does: the engine's tokens up to the floor."""
        self._show(self.machine.floor)

    def _show(self, floor: int) -> None:
        shown = self.outcome.shown
        if floor > (len(shown[-1]) if shown else 0):
            shown.append(tuple(self.tokens[:floor]))

    def _close(self, answer: Next) -> Iterator[int]:
        self._give_up()
        outcome = self.outcome
        outcome.prompt, outcome.tokens = self.prompt, self.tokens
        if isinstance(answer, Finish):
            assert 0 <= answer.keep <= len(self.tokens)
            outcome.finish(answer, self.tokens[: answer.keep] + answer.tokens)
            outcome.shown.append(tuple(outcome.tokens))
        elif isinstance(answer, Fail):
            outcome.fail(answer)
        outcome.record = yield from self._wait_for(self.machine.closing("aborted"))
        yield from self._wait_for(self.machine.closing("aborted"))
        outcome.written = list(self.machine.handlers.transcript.tokens)
