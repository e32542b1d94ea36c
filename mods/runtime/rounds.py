"""One session as its mods live it: events go out in the order of a round, and actions come in.

Mods change the session's output at once. Of the engine this knows only what it must: what its next
draw is to be (`_decision`), or that the session is over (`_next`). `Machine` keeps it in step.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from mods.runtime.budget import Budget
from mods.runtime.chain import Outcome
from mods.runtime.constraining import Constraining
from mods.runtime.decisions import (
    LEAVE,
    Decision,
    Fail,
    Finish,
    PassedEnd,
    SessionSpec,
    Shape,
    Sureness,
    Usage,
    confidence_of,
)
from mods.runtime.ends import LENGTH, End, Ends
from mods.runtime.handlers import UNWATCHED, Handlers, Watch
from mods.runtime.output import FORCED, SAMPLED, Output
from mods.runtime.record import Record
from mods.runtime.seat import LoadedMod, Seat
from mods.runtime.spans import Matchers
from mods.runtime.tape import NOBODY
from mods.sdk.actions import (
    Action,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCalls,
)
from mods.sdk.errors import EmittedError, InvalidActionError, ModError
from mods.sdk.events import (
    Added,
    ContextInfo,
    Event,
    Finished,
    FloatRow,
    ForwardPass,
    Prefilled,
    Sampled,
)


class Rounds:
    """What mods, constraints and ends make of one session. Raises `ModError` for what fails it."""

    def __init__(
        self,
        spec: SessionSpec,
        mods: Sequence[LoadedMod],
        tokenizer: Any,
        watch: Watch = UNWATCHED,
        matchers: Matchers | None = None,
    ) -> None:
        self.spec = spec
        self.tokenizer = tokenizer
        self.seats = [Seat(mod, number) for number, mod in enumerate(mods)]
        self.output = Output()
        self.ends = Ends(spec, tokenizer)
        self.record = Record()
        self.handlers = Handlers(self.seats, spec, tokenizer, self.output, self.record, watch)
        self.constraints = Constraining(spec, self.output, self.seats, matchers)
        self.budget = Budget()
        self.prompt = spec.prompt
        self.step = 0
        self.row: FloatRow | None = None
        """The whole row of the current `Shape`, where it has one."""
        self._decision: Decision | None = None
        self._next: Finish | Fail | None = None
        self._prompt_replaced = False
        self._passed_text = False
        """Whether a stop string was passed that the session's text does not know of yet."""

    # The events, in the order of a round.

    async def _prefill(self) -> None:
        event = Prefilled(
            self.spec.request_id, 0, 0, self.spec.max_tokens, ContextInfo(tuple(self.prompt))
        )
        outcome = await self._ask(event)
        action, seat = outcome.action, outcome.seat
        if isinstance(action, AdjustedPrefill):
            self.prompt, self._prompt_replaced = list(action.tokens), True
            room = self.spec.max_context - len(self.prompt)
            if room < 1:
                raise InvalidActionError(
                    f"adjust_prefill: {len(self.prompt)} tokens leave no room in a context of"
                    f" {self.spec.max_context}"
                )
            self.ends.max_tokens = min(action.max_steps or self.ends.max_tokens, room)
        else:
            self._end_by(action, seat)

    async def _forward_pass(
        self, logits: FloatRow | None = None, sureness: Sureness | None = None
    ) -> None:
        self.budget.forward_pass()
        sure = None if sureness is None else confidence_of(sureness)
        event = ForwardPass(self.spec.request_id, self.step, len(self.output), logits, sure)
        self.step += 1
        outcome = await self._ask(event)
        action, seat = outcome.action, outcome.seat
        if isinstance(action, AdjustedLogits):
            self.constraints.bind(outcome)
            self._shape(action)
        elif isinstance(action, ForceTokens):
            await self._enter(action.tokens, seat)
        elif isinstance(action, Backtrack):
            self._take_back(seat, action.n)
            if action.tokens:
                await self._enter(action.tokens, seat)
        elif not self._end_by(action, seat):
            self._decision = LEAVE

    async def _sampled(self, token: int) -> None:
        event = Sampled(self.spec.request_id, self._round, len(self.output), token)
        outcome = await self._ask(event)
        action, seat = outcome.action, outcome.seat
        if isinstance(action, Noop):
            return await self._enter([token], None)
        self.output.drop_pending()
        self.record.tape.erase(1)
        if isinstance(action, ForceTokens):
            await self._enter(action.tokens, seat)
        elif isinstance(action, Backtrack):
            self._take_back(seat, action.n - 1)
            if action.tokens:
                await self._enter(action.tokens, seat)
        else:
            self._end_by(action, seat)

    async def _enter(self, run: list[int], seat: Seat | None) -> None:
        """Tokens come in as one run; so do the runs that mods answer its `Added` with."""
        while True:
            tokens, end = self._append(run, seat)
            outcome = await self._ask_added(tokens, seat, end is not None)
            action, seat = outcome.action, outcome.seat
            self._follow()
            if isinstance(action, ForceTokens):
                if len(self.output) >= self.ends.max_tokens:
                    self._cut_off(action.tokens)
                    return self._finish(LENGTH if end is None else end)
                self._pass(end)
                run = action.tokens
            elif isinstance(action, Backtrack):
                self._take_back(seat, action.n)
                if not action.tokens:
                    return None
                run = action.tokens
            else:
                if not self._end_by(action, seat) and end is not None:
                    self._finish(end)
                return None

    def _append(self, run: list[int], seat: Seat | None) -> tuple[list[int], End | None]:
        """Append a run up to its first end. Returns what entered, and that end."""
        if seat is not None:
            self.budget.run()
        length = len(self.output)
        try:
            return self._appended(run, seat)
        except ModError:
            # Nobody will be told of a run over which the session fails, so none of it stays.
            self.output.cut(length)
            raise

    def _appended(self, run: list[int], seat: Seat | None) -> tuple[list[int], End | None]:
        origin = SAMPLED if seat is None else seat.number + 1
        entered: list[int] = []
        end: End | None = None
        while end is None and len(entered) < len(run):
            entered.append(run[len(entered)])
            self.output.add(entered[-1], origin)
            self.constraints.take(seat is not None)
            end = self.ends.at(self.output.tokens)
        if end is not None:
            self.constraints.wake_all()
        self._cut_off(run[len(entered) :])
        if seat is not None:
            self.record.tape.forced(entered, seat.number, self._round)
            self._spend(len(entered))
        return entered, end

    def _ask_added(
        self, tokens: list[int], seat: Seat | None, ends: bool
    ) -> Coroutine[Any, Any, Outcome]:
        return self._ask(
            Added(
                self.spec.request_id,
                self._round,
                len(self.output),
                list(tokens),
                seat is not None,
                self.output.report_removed(),
                ends=ends,
            )
        )

    async def _finished(self, reason: str) -> None:
        if isinstance(self._next, Finish):
            reason = self._next.reason
        elif isinstance(self._next, Fail):
            reason = "error"
        usage = self.output.usage()
        event = Finished(
            self.spec.request_id,
            self._round,
            len(self.output),
            reason,
            tuple(self.output.tokens),
            usage.sampled,
            usage.forced,
            usage.erased,
            self.budget.spent,
        )
        self.record.tape.asks()
        self.handlers.note(event)
        for seat in self.seats:
            with suppress(ModError):
                await self.handlers.call(seat, event)

    def _ask(self, event: Event) -> Coroutine[Any, Any, Outcome]:
        self.record.tape.asks()
        return self.handlers.ask(event)

    @property
    def _round(self) -> int:
        """The number of the round that is under way."""
        return max(0, self.step - 1)

    # What actions do.

    def _shape(self, action: AdjustedLogits) -> None:
        never = action.ban | {self.spec.sentinel}
        allow = None if action.allow is None else sorted(action.allow - never)
        if allow == [] or not self.constraints.leaves_something(action, allow):
            raise InvalidActionError(
                "the allowed tokens and the banned ones leave nothing that could be drawn"
                + (" under the constraint in force" if allow != [] else "")
            )
        self.row = action.logits
        self._decision = Shape(
            bias=dict(action.bias),
            ban=sorted(action.ban),
            allow=allow,
            temperature=action.token_temp,
            row=action.logits is not None,
        )

    def _take_back(self, seat: Seat | None, n: int) -> None:
        """Take back up to n tokens of the output."""
        length = max(0, len(self.output) - n)
        if length == len(self.output):
            return
        assert seat is not None
        seat.check(length)
        self._take_back_all(length)

    def _take_back_all(self, length: int) -> None:
        """Cut the output to this many tokens, whoever put the rest there."""
        self._cut(length)
        for seat in self.seats:
            seat.sink(length)

    def _end_by(self, action: Action, seat: Seat | None) -> bool:
        """Carry out a terminal action. Returns whether it was one."""
        if isinstance(action, ForceOutput):
            self.constraints.clear()
            self._cut(0)
            for token in action.tokens:
                self.output.add(token, FORCED if seat is None else seat.number + 1)
                self.constraints.take(True)
            self.record.tape.replaced(action.tokens, seat.number if seat else NOBODY, self._round)
            self.constraints.check_whole()
            self._finish(End("stop"), replaced=True)
        elif isinstance(action, ToolCalls):
            self._finish(End("tool_calls"), tool_calls=action.tool_calls)
        elif isinstance(action, EmitError):
            raise EmittedError(action.message)
        else:
            return False
        return True

    def _finish(self, end: End, **extra: Any) -> None:
        """The session is over; what its output is, `_settled` says when it is asked for."""
        self._next = Finish(0, [], end.reason, Usage(), end.stop_reason, **extra)

    def _fail(self, error: ModError) -> None:
        self.record.failure(type=error.type, status=error.status, message=str(error))
        self._next = Fail(error.status, error.type, str(error), self.output.usage())

    def _pass(self, end: End | None) -> None:
        """A mod goes on past an end: it stays in the context and out of the text."""
        if end is not None and end is not LENGTH:
            stop = end.stop_reason if isinstance(end.stop_reason, str) else None
            self.output.passed_ends.append(PassedEnd(len(self.output) - 1, stop))
            self._passed_text = self._passed_text or stop is not None

    def _cut_off(self, tokens: list[int]) -> None:
        if tokens:
            self.record.action(step=self._round, action="cut", tokens=list(tokens))

    def _follow(self) -> None:
        for seat in self.seats:
            seat.follow(len(self.output))

    def _spend(self, tokens: int) -> None:
        self.budget.spend(tokens, self.ends.max_tokens)

    @property
    def _reads_logits(self) -> bool:
        return any(seat.reads_logits for seat in self.seats)

    @property
    def _looks(self) -> bool:
        """Whether a round must wait for what the engine computes."""
        return any(seat.reads_logits or seat.reads_confidence for seat in self.seats)

    def _cut(self, length: int) -> None:
        self.record.tape.erase(len(self.output) - length)
        self.output.cut(length)
        self.constraints.cut()

    def _jump(self) -> bool:
        """Let what a constraint leaves no choice about enter unsampled, where that is cheaper."""
        run = self.constraints.forced()
        if len(run) < self.spec.prefill_run:
            return False
        self.record.tape.asks()  # as if its run were told: there is nobody to tell
        for place, token in enumerate(run):
            self.output.add(token, FORCED)
            self.record.tape.jumped(token, place, self._round)
            self.constraints.take(True)
            self._spend(1)
            end = self.ends.at(self.output.tokens)
            if end is not None:
                self._finish(end)
                break
        return True

    def _nothing_drawn(self) -> None:
        """The engine ended a segment that the machine did not end, under a constraint."""
        length = self.constraints.nothing_drawn()
        if length == len(self.output):
            self._finish(End("stop"))
        elif length is not None:
            self._take_back_all(length)
