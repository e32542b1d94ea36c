"""A fake of the engine: it draws by a model of no size, obeys decisions, and can misbehave.

It does to a machine what vLLM, its worker and the session do: it feeds every token but a
segment's last to `decide`, the last to `tail`, ends a segment by itself where vLLM would, and
goes on where `Resume` says. Its misbehaviour is what the real engine is entitled to.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from mods.runtime.decisions import (
    END_SEGMENT,
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
from mods.runtime.handlers import Watch
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.runtime.waiting import at_once
from mods.sdk.confidence import Confidence
from mods.sdk.events import FloatRow
from mods.sdk.testing.clock import ClockWatch, clock
from mods.sdk.testing.model import HashModel, Model, draw
from mods.sdk.testing.outcome import Outcome
from mods.sdk.testing.tokenizer import EOS, SENTINEL, VOCABULARY, ByteTokenizer

T = TypeVar("T")

WAITED = 0.01
"""Seconds of a waiting handler's time that pass while the engine makes one step."""

_sessions = count(1)


def spec_for(
    prompt: str | Sequence[int] = "hi", max_tokens: int = 16, **rest: object
) -> SessionSpec:
    """A request over the byte tokenizer. `rest`: any field of `SessionSpec`."""
    session = next(_sessions)
    fields: dict[str, object] = {
        "session": session,
        "request_id": f"request-{session}",
        "prompt": list(prompt.encode() if isinstance(prompt, str) else prompt),
        "max_tokens": max_tokens,
        "max_context": 4096,
        "vocabulary": VOCABULARY,
        "sentinel": SENTINEL,
        "eos": [EOS],
    }
    return SessionSpec(**{**fields, **rest})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Trouble:
    """Misbehaviour by the number of the engine's step, over all of a session's segments.

    repeat: the feed comes again, as after a preemption. stale: a feed of an older segment comes
    too. late: the verdict did not arrive in time, so the segment ends although the machine said
    otherwise. lost: the segment ends with no new token at all. again: the tail comes twice.
    abort: the step before which the client goes away.
    """

    repeat: frozenset[int] = frozenset()
    stale: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    again: frozenset[int] = frozenset()
    abort: int | None = None

    def in_words(self) -> str:
        """What it does at which steps, "" if nothing."""
        kinds = ("repeat", "stale", "late", "lost", "again")
        return "; ".join(
            f"{kind} at steps {', '.join(map(str, sorted(steps)))}"
            for kind in kinds
            if (steps := getattr(self, kind))
        )


NO_TROUBLE = Trouble()

MachineFactory = Callable[[SessionSpec, Sequence[LoadedMod], ByteTokenizer, Watch], Machine]


class ScriptedEngine:
    """Runs sessions, one or many at once, each with its own machine."""

    def __init__(
        self,
        model: Model | None = None,
        *,
        trouble: Trouble = NO_TROUBLE,
        machine: MachineFactory = Machine,
        seed: int = 0,
    ) -> None:
        self.model: Model = model or HashModel()
        self.tokenizer = ByteTokenizer()
        self.trouble = trouble
        self._machine = machine
        self._seed = seed

    def run(self, spec: SessionSpec, mods: Sequence[LoadedMod]) -> Outcome:
        """One session, from its start to its end."""
        session = self.session(spec, mods)
        session.alone = True
        for _ in session.steps():
            pass
        return session.outcome

    def run_all(self, requests: Sequence[tuple[SessionSpec, Sequence[LoadedMod]]]) -> list[Outcome]:
        """Many sessions at once, their steps mixed."""
        order = random.Random(self._seed)
        sessions = [self.session(spec, mods) for spec, mods in requests]
        running = [session.steps() for session in sessions]
        while running:
            steps = order.choice(running)
            if next(steps, None) is None:
                running.remove(steps)
        return [session.outcome for session in sessions]

    def session(self, spec: SessionSpec, mods: Sequence[LoadedMod]) -> ScriptedSession:
        machine = self._machine(spec, mods, self.tokenizer, ClockWatch())
        reads_logits = any(mod.traits.logits for mod in mods)
        session = ScriptedSession(spec, machine, self.model, self.trouble, reads_logits)
        session.asks_confidence = any(mod.traits.confidence for mod in mods)
        return session


@dataclass
class ScriptedSession:
    """One session's segments, and the engine's own copy of its tokens."""

    spec: SessionSpec
    machine: Machine
    model: Model
    trouble: Trouble
    reads_logits: bool
    tokens: list[int] = field(default_factory=list)
    step: int = 0
    alone: bool = False
    """Whether nobody else's steps are to come while a handler waits."""
    asks_confidence: bool = False
    waiting: asyncio.Task[Decision] | None = None
    """The decision that a handler waits over, and for which the segment was ended."""

    def __post_init__(self) -> None:
        self.prompt = self.spec.prompt
        self.max_tokens = self.spec.max_tokens
        self.outcome = Outcome([], "aborted", decisions=[], prompt=self.prompt)

    def steps(self) -> Iterator[int]:
        """Run; each yield is one step of the engine's."""
        answer: Next = yield from self._wait_for(self.machine.opening())
        while isinstance(answer, Resume) and not self._aborted():
            self._resume(answer)
            tail = yield from self._segment(answer.segment)
            if tail is None or (self.waiting is not None and self._aborted()):
                break
            answer = yield from self._wait_for(self.machine.ending(*tail))
            if self.step in self.trouble.again:
                again = yield from self._wait_for(self.machine.ending(*tail))
                assert again == answer, "a repeated tail got another answer"
        yield from self._close(answer)

    def _resume(self, resume: Resume) -> None:
        assert 0 <= resume.keep <= len(self.tokens), f"keep {resume.keep} of {len(self.tokens)}"
        self.tokens = self.tokens[: resume.keep] + resume.tokens
        self.prompt = resume.prompt if resume.prompt is not None else self.spec.prompt
        self.max_tokens = resume.max_tokens or self.spec.max_tokens
        self._look()

    def _segment(self, segment: int) -> Generator[int, None, tuple[int, int, int] | None]:
        """Draw until the segment ends. Returns its tail, or None if the client went away."""
        newest = -1
        while not self._aborted():
            self.step += 1
            position = len(self.tokens)
            decision, row = self._feed(segment, newest)
            if self.step in self.trouble.lost:
                return segment, position, newest
            newest = self._draw(decision, row)
            self.tokens.append(newest)
            yield self.step
            if self._ended(newest):
                return segment, len(self.tokens), newest
        return None

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

    def _draw(self, decision: Decision, row: object) -> int:
        if self.step in self.trouble.late or isinstance(decision, EndSegment):
            return self.spec.sentinel
        if isinstance(decision, Force):
            return decision.token
        shape = decision if isinstance(decision, Shape) else Shape()
        context = self.prompt + self.tokens
        return draw(
            row if shape.row else self.model.logits(context),  # type: ignore[arg-type]
            context,
            bias=shape.bias,
            ban={*shape.ban, *too_early(self.spec, len(self.tokens))},
            allow=shape.allow,
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
        floor, shown = self.machine.floor, self.outcome.shown
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


def too_early(spec: SessionSpec, length: int) -> Sequence[int]:
    """The ending tokens that may not be drawn as output token number `length`."""
    if length >= spec.min_tokens:
        return ()
    return [*(() if spec.ignore_eos else spec.eos), *spec.stop_token_ids]
