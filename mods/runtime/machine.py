"""The heart: one session's state machine. Tokens in, mods called in order, a decision out.

The machine keeps the session's own output; the engine holds a copy that lags or strays. Mods
change the session's output at once, and every decision falls out of comparing the two: the
engine lacks a token (force it), has one that should not be there (end the segment), or agrees
(a new round: ask at `ForwardPass`). Pure Python, no input or output, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    Sureness,
)
from mods.runtime.handlers import UNWATCHED, Watch
from mods.runtime.rounds import Rounds
from mods.runtime.seat import LoadedMod
from mods.runtime.spans import Matchers
from mods.sdk.errors import ModError
from mods.sdk.events import FloatRow
from mods.sdk.per_request import forget


class Machine(Rounds):
    """One session. `open`, then `decide` and `tail` as the engine goes, then `close` once.

    Every public method returns; what a mod does wrong becomes a `Fail`, never an exception.
    """

    def __init__(
        self,
        spec: SessionSpec,
        mods: Sequence[LoadedMod],
        tokenizer: Any,
        watch: Watch = UNWATCHED,
        matchers: Matchers | None = None,
    ) -> None:
        super().__init__(spec, mods, tokenizer, watch, matchers)
        self.segment = 0
        self._closed = False
        self._answer: Next | None = None
        """What the session was last told to do."""
        self._late = False
        """Whether the segment ended because a decision did not reach the engine in time."""
        self._newest = -1
        """The engine's newest token in this segment, -1 before the first."""

    # What the session and the engine call.

    def open(self) -> Next:
        """Ask at `Prefilled`; nothing has been computed yet."""
        return self.handlers.run(self.opening())

    async def opening(self) -> Next:
        """`open`, for those who can wait."""
        if self._answer is None:
            try:
                await self._prefill()
            except ModError as error:
                self._fail(error)
            self._answer = await self._resume_or_end()
        return self._answer

    def decide(
        self,
        segment: int,
        position: int,
        token: int,
        logits: FloatRow | None = None,
        earlier: Sequence[int] = (),
        sureness: Sureness | None = None,
    ) -> Decision:
        """The decision for drawing output token number `position`, the engine having `position`.

        token: the engine's newest in this segment, -1 if none. earlier: those before it that the
        machine may not know, oldest first. logits: float32 [vocabulary], given when a mod reads
        them; sureness: when one asks for that only. A repeated position replays its decision; an
        old segment is left alone; another token at a known position fails the session.
        """
        deciding = self.deciding(segment, position, token, logits, earlier, sureness)
        return self.handlers.run(deciding)

    async def deciding(
        self,
        segment: int,
        position: int,
        token: int,
        logits: FloatRow | None = None,
        earlier: Sequence[int] = (),
        sureness: Sureness | None = None,
    ) -> Decision:
        """`decide`, for those who can wait."""
        if self._closed or segment != self.segment:
            return LEAVE
        try:
            if self._next is None:
                await self._learn(position, token, earlier)
                await self._run_rounds(logits, sureness)
        except ModError as error:
            self._fail(error)
        return self._decide_now()

    def tail(self, segment: int, position: int, token: int, earlier: Sequence[int] = ()) -> Next:
        """The segment has ended with `position` output tokens, `token` the newest of them.

        earlier: those before it that the machine may not know, oldest first.

        A sentinel that the machine did not force is no token: it only ended the segment.
        A repeat, or an old segment, gets the last answer again.
        """
        return self.handlers.run(self.ending(segment, position, token, earlier))

    async def ending(
        self, segment: int, position: int, token: int, earlier: Sequence[int] = ()
    ) -> Next:
        """`tail`, for those who can wait."""
        answer = self._answer
        if answer and (segment != self.segment or not isinstance(answer, Resume)):
            return answer
        if self._next is None:
            try:
                if earlier and position - 1 > self.output.engine_length:
                    await self._learn(position - 1, earlier[-1], earlier[:-1])
                if self._is_sentinel(position, token):
                    self._late = not isinstance(self._decide_now(), EndSegment)
                    if self._late and self.constraints:
                        self._nothing_drawn()
                else:
                    await self._learn(position, token)
            except ModError as error:
                self._fail(error)
        self._answer = await self._resume_or_end()
        return self._answer

    def close(self, reason: str) -> dict[str, Any]:
        """Tell the mods that it is over, once. Returns the record of what they did and said."""
        return self.handlers.run(self.closing(reason))

    async def closing(self, reason: str) -> dict[str, Any]:
        """`close`, for those who can wait."""
        if not self._closed:
            self._closed = True
            await self._finished(reason)
            forget(self.spec.request_id)
            if self._next is None:
                closed = ModError(f"the session is closed: {reason}")
                self._answer = Fail(closed.status, closed.type, str(closed), self.output.usage())
        return self.record.as_dict()

    def tape(self) -> bytes:
        """What happened, token by token, packed."""
        return self.record.tape.packed(self.step)

    @property
    def floor(self) -> int:
        """How many of the engine's output tokens no mod may take back, so that a stream may show.

        Tokens that the engine lacks, or has wrong, are not among them yet. It never sinks,
        except to 0 where a mod replaced all output: then a stream waits for the end.
        """
        lowest = min((seat.floor for seat in self.seats), default=len(self.output))
        return min(lowest, self.constraints.floor, self.output.agreed)

    # From the engine's tokens to rounds.

    def _is_sentinel(self, position: int, token: int) -> bool:
        if token != self.spec.sentinel or position != self.output.engine_length + 1:
            return False
        return self._decision is None or self._decision != Force(token)

    async def _learn(self, position: int, token: int, earlier: Sequence[int] = ()) -> None:
        """Take in the engine's new tokens: at most one, unless nobody was to be asked."""
        known = self.output.engine_length
        fresh = [*earlier, token][-(position - known) :] if position > known else []
        if len(fresh) != max(0, position - known) or (not fresh and token != self._newest):
            raise ModError(
                f"the engine reports token {token} at position {position},"
                f" the session knows {self._newest} at {known}"
            )
        for number, new in enumerate(fresh):
            if number:
                await self._run_rounds()
            self._newest = new
            await self._arrive(new)

    async def _arrive(self, token: int) -> None:
        self._decision, self.row = None, None
        output = self.output
        if output.engine_length < len(output):
            if output.parted or output.tokens[output.engine_length] != token:
                raise ModError(
                    f"token {token} entered at position {output.engine_length}, where the"
                    f" session has {output.tokens[output.engine_length]}"
                )
            output.engine_has(token)
            return
        output.engine_has(token)
        if self._next is None:
            self._spend(1)
            self.record.tape.drew(token, self._round)
            try:
                await self._sampled(token)
            except BaseException:
                self.record.tape.never_came()
                raise
            output.meet(token)

    async def _run_rounds(
        self, logits: FloatRow | None = None, sureness: Sureness | None = None
    ) -> None:
        """Ask at `ForwardPass` until the engine has something to do."""
        output = self.output
        while self._next is None and self._decision is None:
            if output.parted or output.backlog:
                return
            if logits is None and (self._reads_logits or (sureness is None and self._looks)):
                return
            if not self._jump():
                await self._forward_pass(logits, sureness)

    def _decide_now(self) -> Decision:
        if self._next is not None or self.output.parted:
            return END_SEGMENT
        if self._passed_text or self.constraints.unbound:
            return END_SEGMENT
        if self.output.backlog >= self.spec.prefill_run:
            return END_SEGMENT
        if self.output.backlog:
            self._decision = Force(self.output.tokens[self.output.engine_length])
            return self._decision
        if self._decision is None:
            return END_SEGMENT
        return self._decision

    async def _resume_or_end(self) -> Next:
        """What the session does next. Rounds that need no logits are run before the engine is."""
        keep = self.output.agreed
        if isinstance(self._decision, Force):
            self._decision = None
        try:
            if self._next is None and self.segment:
                self._spend(1)
            while self._next is None:
                self.output.rejoin()
                if self._looks or self._decision is not None:
                    break
                if not self._jump():
                    await self._forward_pass()
                keep = min(keep, self.output.agreed)
        except ModError as error:
            self._fail(error)
        keep = min(keep, len(self.output))
        if isinstance(self._next, Finish):
            return self._settled(self._next, keep)
        if self._next is not None:
            return self._next
        return self._next_segment(keep)

    def _settled(self, finish: Finish, keep: int) -> Finish:
        finish.keep, finish.tokens = keep, self.output.tokens[keep:]
        finish.usage = self.output.usage()
        finish.passed_ends = list(self.output.passed_ends)
        return finish

    def _next_segment(self, keep: int) -> Resume:
        late, self._late = self._late, False
        self._passed_text = self.constraints.unbound = False
        self.segment += 1
        self._newest = -1
        return Resume(
            segment=self.segment,
            keep=keep,
            tokens=self.output.tokens[keep:],
            floor=self.floor,
            prompt=self.prompt if self._prompt_replaced else None,
            max_tokens=self.ends.max_tokens,
            passed_ends=list(self.output.passed_ends),
            late=late,
            erased=self.output.erased,
            held=self.constraints.held,
            quiet=self.constraints.quiet,
            reach=self.constraints.reach,
            barred=self.constraints.barred,
        )
