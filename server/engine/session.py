"""A request with mods: a chain of vLLM requests that share a prefix, seen as one.

Each link is a *segment*. It ends when vLLM ends it or when the machine in the mods' host does;
then the host says what comes next. A token may be shown once the engine has gone on from it
(the machine let it pass) and no mod's reach touches it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from vllm.exceptions import GenerationError, GracefulHTTPError
from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams

from mods.runtime.decisions import Fail, Finish, Next, Resume, SessionSpec, Usage
from mods.sdk.errors import ModError
from server.engine import metrics
from server.engine.answer import Answer
from server.engine.call import Call, Choice
from server.engine.given import Given
from server.engine.local import LocalHost
from server.engine.segment import SegmentParams
from server.engine.slots import Slot
from server.traces.watching import SessionWatch

mods_log = logging.getLogger("concordance.mods")

PATIENCE_SECONDS = 0.05
"""How long a session keeps its place in the engine while it waits for its mods."""

session_numbers = itertools.count(1)
"""Our own ids of sessions: never a client's, never used twice."""


class ModFailure(GracefulHTTPError):
    """A session that failed: vLLM's layers turn it into this HTTP status and message."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(fail.message, HTTPStatus(fail.status))


class Session:
    """One choice of one request. `outputs()` is its life."""

    def __init__(
        self,
        given: Given,
        call: Call,
        spec: SessionSpec,
        params: SamplingParams,
        index: int,
        choice: int,
        background: Callable[[Coroutine[Any, Any, Any]], None],
        watch: SessionWatch | None = None,
    ) -> None:
        """watch: sees everything for the trace."""
        self._given, self._call, self._spec, self._choice = given, call, spec, choice
        self._background, self._watch, self._asked = background, watch, params
        self._prompt = spec.prompt
        self._max_tokens = spec.max_tokens
        self._answer = Answer(given, call, spec.prompt, params, index, choice)
        self._kept = self._followed = 0
        self._held: list[tuple[str, int, bool]] = []
        self._aborted = False
        self._running: str | None = None
        self._local = call.host if isinstance(call.host, LocalHost) else None
        self._follows = self._local is not None and (spec.tracked or spec.jump or bool(spec.stop))
        self._segments = SegmentParams(
            params,
            given.tokenizer,
            call.host.address,
            spec.session,
            spec.sentinel,
            any(traits.logits for traits in call.host.traits),
            params.seed if params.seed is not None else spec.session,
            self._answer.streams or self._follows,
            spec.reasoning_end,
            candidates=watch.candidates if watch is not None else 0,
            reads_confidence=any(traits.confidence for traits in call.host.traits),
        )

    async def outputs(self) -> AsyncGenerator[RequestOutput, None]:
        """Segment after segment until the session ends. Raises `ModFailure`."""
        reason = "aborted"
        metrics.RUNNING.inc()
        try:
            step = await self._ask(self._call.host.open(self._spec))
            async with self._given.slots.session(self._given.place) as slot:
                while isinstance(step, Resume) and not self._aborted:
                    self._begin(step)
                    failed = await self._prepare(step)
                    if failed is not None:
                        step = failed
                        break
                    await slot.take()
                    async with aclosing(self._segment(step)) as shown:
                        async for output in shown:
                            yield output
                    if not self._aborted:
                        step = await self._patiently(self._tail(step), slot)
            if self._aborted:
                yield self._answer.abandon(self._floor(step))
                return
            reason = "error"
            try:
                last = self._end(step)
            except ModFailure:
                if self._call.wants_record:
                    self._call.failed_record = await self._close(reason)
                raise
            reason = "done"
            if self._call.wants_record:
                self._call.choices[self._choice].record = await self._close(reason)
            yield last
        except Exception as error:
            reason = "error"
            if self._watch is not None:
                self._watch.broke(error)
            raise
        finally:
            metrics.RUNNING.dec()
            metrics.SESSIONS.labels(outcome=reason).inc()
            self._background(self._close(reason))

    async def abort(self) -> None:
        """End as vLLM ends an aborted request: with what there is, finish reason `abort`."""
        self._aborted = True
        if self._running is not None:
            await self._given.engine.abort(self._running)

    async def _close(self, reason: str) -> dict[str, Any]:
        """Let the mods know that it is over, and say in the log what they said and did wrong.

        Returns what they did; nothing the second time.
        """
        tells = self._call.wants_record
        watch = self._watch
        record = await self._call.host.close(self._spec.session, reason, tells, watch is not None)
        metrics.count_calls(record)
        if watch is not None:
            answer, spec = self._answer, self._spec
            watch.closed(record, spec.prompt, self._prompt, answer.tokens, answer.shown)
        for line in record.get("logs", ()):
            mods_log.info("%s [%s] %s", self._spec.request_id, line["mod"], line["text"])
        for failure in record.get("failures", ()):
            trace = failure.get("traceback")
            if trace:
                mods_log.warning(
                    "%s [%s] %s", self._spec.request_id, failure["mod"], trace.rstrip()
                )
        return record

    async def _ask(self, answer: Awaitable[Next]) -> Next:
        """Wait for the host; what goes wrong with it fails this session alone."""
        try:
            return await answer
        except ModError as error:
            return Fail(error.status, error.type, str(error))

    async def _patiently(self, answer: Awaitable[Next], slot: Slot) -> Next:
        """Wait for the host. A mod that takes its time does so without a place in the engine."""
        task = asyncio.ensure_future(self._ask(answer))
        try:
            done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
            if not done:
                slot.give()
            return await task
        finally:
            task.cancel()

    async def _prepare(self, resume: Resume) -> Fail | None:
        """Have the constraints in force ready in the worker."""
        try:
            self._held = await self._given.grammars.ready(resume.held)
        except ModError as error:
            return Fail(422, error.type, str(error))
        return None

    def _tail(self, resume: Resume) -> Awaitable[Next]:
        return self._call.host.tail(self._spec.session, resume.segment, *self._newest(resume))

    def _newest(self, resume: Resume) -> tuple[int, int, list[int]]:
        """Position, newest token, and those before it that the machine may not have been told."""
        new = self._answer.tokens[self._kept :]
        untold = new[:-1] if resume.quiet or self._local is not None else []
        return len(self._answer.tokens), new[-1] if new else -1, untold

    def _begin(self, resume: Resume) -> None:
        """Take in what the machine made of the last segment."""
        metrics.SEGMENTS.inc()
        metrics.LATE.inc(resume.late)
        if resume.prompt is not None:
            self._prompt = resume.prompt
            self._answer.prompt_was_replaced()
        if resume.max_tokens is not None:
            self._max_tokens = resume.max_tokens
        self._show_edit(resume)
        self._answer.replace(resume.keep, resume.tokens, resume.passed_ends)
        self._kept = self._followed = len(self._answer.tokens)

    def _show_edit(self, step: Resume | Finish) -> None:
        """To those who watch: tokens that never come from the engine, or that go again."""
        if self._watch is not None:
            self._watch.edited(len(self._answer.tokens), step.keep, step.tokens)

    async def _segment(self, resume: Resume) -> AsyncGenerator[RequestOutput, None]:
        """Run one vLLM request; yields what may be shown of the session as it goes."""
        params = self._segments.make(resume, self._kept, self._max_tokens, self._held)
        judged = resume.quiet or self._local is not None
        self._running = f"{self._given.request_id}.{self._spec.session}.{resume.segment}"
        generator = self._given.engine.generate(
            self._given.prompt(self._prompt + self._answer.tokens),
            params,
            self._running,
            **self._given.arguments_of(resume.segment),
        )
        async with aclosing(generator) as outputs:
            async for output in outputs:
                if self._watch is not None:
                    completion, place = output.outputs[0], len(self._answer.tokens)
                    self._watch.took(completion, place, output.num_cached_tokens, self._asked)
                self._answer.take(output)
                reason = output.outputs[0].finish_reason
                if reason == "error":
                    raise GenerationError("the engine failed the request")
                self._aborted = self._aborted or reason == "abort"
                # What the last tokens of a segment are worth, only the machine can say.
                if reason is not None:
                    continue
                if self._follows and self._follow(resume):
                    return
                if self._answer.streams:
                    shown = self._answer.show(self._floor(resume), judged)
                    if shown is not None:
                        yield shown

    def _follow(self, resume: Resume) -> bool:
        """Let a machine in this process see each token. Returns whether the segment ends here."""
        assert self._local is not None
        position, newest, untold = self._newest(resume)
        fresh = untold[max(0, self._followed - self._kept) :]
        self._followed = position
        return self._local.follow(self._spec.session, resume.segment, position, newest, fresh)

    def _end(self, step: Next) -> RequestOutput:
        """The last output. Raises `ModFailure` if the session failed."""
        if isinstance(step, Finish):
            self._show_edit(step)
            try:
                output = self._answer.finish(step)
            except ModError as error:
                step = Fail(error.status, error.type, str(error), Usage())
            else:
                self._call.choices[self._choice] = Choice(step.usage, step.tool_calls)
                if self._watch is not None:
                    self._watch.finished(output, step.tool_calls, step.reason)
                for origin in ("sampled", "forced", "erased"):
                    metrics.TOKENS.labels(origin=origin).inc(getattr(step.usage, origin))
                return output
        assert isinstance(step, Fail)
        self._call.failure = self._call.failure or step
        if self._watch is not None:
            self._watch.failed(step.status, step.type, step.message)
        raise ModFailure(step)

    def _floor(self, step: Next) -> int:
        """How many tokens nobody may take back any more."""
        if self._local is not None and not self._follows:
            return len(self._answer.tokens)
        floor = self._call.host.floor(self._spec.session)
        if isinstance(step, Resume) and step.quiet and step.reach is not None:
            return max(floor, len(self._answer.tokens) - step.reach)
        return floor
