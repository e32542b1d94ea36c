"""A request with mods: a chain of vLLM requests that share a prefix, seen as one.

Each link is a *segment*. It ends when vLLM ends it or when the machine in the mods' host does;
then the host says what comes next. A token may be shown once the engine has gone on from it
(the machine let it pass) and no mod's reach touches it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.exceptions import GenerationError, GracefulHTTPError
from vllm.inputs.engine import tokens_input
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Fail, Finish, Next, Resume, SessionSpec, Usage
from mods.sdk.errors import HostError, ModError, ReachExceededError
from server.engine import metrics
from server.engine.call import Call, Choice, Removed
from server.engine.segment import SegmentParams
from server.engine.text import SessionText

mods_log = logging.getLogger("concordance.mods")

session_numbers = itertools.count(1)
"""Our own ids of sessions: never a client's, never used twice."""


_REASONS = {"tool_calls": "stop"}
"""Finish reasons that vLLM's layers do not know from an engine; the way out writes the real one."""


class ModFailure(GracefulHTTPError):
    """A session that failed: vLLM's layers turn it into this HTTP status and message."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(fail.message, HTTPStatus(fail.status))
        self.fail = fail


@dataclass
class Given:
    """What `generate` was called with, apart from prompt and parameters."""

    engine: EngineClient
    tokenizer: Any
    request_id: str
    arguments: dict[str, Any]
    cache_salt: str | None


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
        background: Callable[[Any], None],
    ) -> None:
        self.given, self.call, self.spec, self.params = given, call, spec, params
        self.index, self.choice = index, choice
        self._background = background
        self._prompt = spec.prompt
        self._max_tokens = spec.max_tokens
        self._tokens: list[int] = []
        self._logprobs: list[Any] = []
        self._passed: list[Any] = []
        self._text = SessionText(given.tokenizer, spec.prompt, params)
        self._given_out = self._kept = 0
        self._aborted = False
        self._running: str | None = None
        self._streams = params.output_kind != RequestOutputKind.FINAL_ONLY
        self._first: RequestOutput | None = None
        self._segments = SegmentParams(
            params,
            given.tokenizer,
            call.host.address,
            spec.session,
            spec.sentinel,
            any(traits.logits for traits in call.host.traits),
            params.seed if params.seed is not None else spec.session,
            self._streams,
        )

    async def outputs(self) -> AsyncIterator[RequestOutput]:
        """Segment after segment until the session ends. Raises `ModFailure`."""
        reason = "aborted"
        metrics.RUNNING.inc()
        try:
            step = await self._ask(self.call.host.open(self.spec))
            while isinstance(step, Resume) and not self._aborted:
                self._begin(step)
                async with aclosing(self._segment(step)) as outputs:
                    async for output in outputs:
                        if self._streams and (delta := self._show(output)) is not None:
                            yield delta
                if not self._aborted:
                    step = await self._ask(self._tail(step))
            if self._aborted:
                yield self._abandon()
                return
            reason = "error" if isinstance(step, Fail) else "done"
            yield self._end(step)
        finally:
            metrics.RUNNING.dec()
            metrics.SESSIONS.labels(outcome=reason).inc()
            self._background(self._close(reason))

    async def _close(self, reason: str) -> None:
        """Let the mods know that it is over, and say in the log what they said and did wrong."""
        record = await self.call.host.close(self.spec.session, reason)
        for line in record.get("logs", ()):
            mods_log.info("%s [%s] %s", self.spec.request_id, line["mod"], line["text"])
        for failure in record.get("failures", ()):
            trace = failure.get("traceback")
            if trace:
                mods_log.warning("%s [%s] %s", self.spec.request_id, failure["mod"], trace.rstrip())

    async def abort(self) -> None:
        """End as vLLM ends an aborted request: with what there is, finish reason `abort`."""
        self._aborted = True
        if self._running is not None:
            await self.given.engine.abort(self._running)

    async def _ask(self, answer: Any) -> Next:
        """Wait for the host; what goes wrong with it fails this session alone."""
        try:
            step: Next = await answer
            return step
        except ModError as error:
            return Fail(error.status, error.type, str(error))

    def _tail(self, resume: Resume) -> Any:
        newest = self._tokens[-1] if len(self._tokens) > self._kept else -1
        return self.call.host.tail(
            self.spec.session, resume.segment, len(self._tokens), newest
        )

    def _begin(self, resume: Resume) -> None:
        """Take in what the machine made of the last segment."""
        metrics.SEGMENTS.inc()
        metrics.LATE.inc(resume.late)
        if resume.prompt is not None:
            self._prompt = resume.prompt
        if resume.max_tokens is not None:
            self._max_tokens = resume.max_tokens
        self._passed = resume.passed_ends
        self._replace(resume.keep, resume.tokens)
        self._kept = len(self._tokens)

    def _replace(self, keep: int, tokens: list[int]) -> None:
        """The session's output is the first `keep` tokens that we have, then these."""
        if self._given_out > keep:
            self._take_back(keep)
        del self._tokens[keep:], self._logprobs[keep:]
        self._tokens.extend(tokens)
        self._logprobs.extend([None] * len(tokens))

    async def _segment(self, resume: Resume) -> AsyncIterator[CompletionOutput]:
        """Run one vLLM request and gather its tokens."""
        params = self._segments.make(resume, self._kept, self._max_tokens)
        prompt = tokens_input(self._prompt + self._tokens, cache_salt=self.given.cache_salt)
        self._running = f"{self.given.request_id}.{self.spec.session}.{resume.segment}"
        generator = self.given.engine.generate(
            prompt, params, self._running, **self.given.arguments
        )
        async with aclosing(generator) as outputs:
            async for output in outputs:
                self._first = self._first or output
                (completion,) = output.outputs
                self._tokens.extend(completion.token_ids)
                self._logprobs.extend(completion.logprobs or [None] * len(completion.token_ids))
                if completion.finish_reason == "error":
                    raise GenerationError("the engine failed the request")
                self._aborted = self._aborted or completion.finish_reason == "abort"
                if not self._aborted:
                    yield completion

    def _show(self, completion: CompletionOutput) -> RequestOutput | None:
        """What may be given out now that the engine has come this far, if anything."""
        if completion.finish_reason is not None:
            return None  # What its newest tokens are worth, only the machine can say now.
        count = len(self._tokens)
        if not self.call.show_at_once:
            count = min(count - 1, self._floor())
        if count <= self._given_out:
            return None
        self._text.follow(self._tokens[:count], self._passed)
        return self._give(count, self._text.safe(count), None)

    def _give(self, count: int, text: str, finish: Finish | None) -> RequestOutput:
        """An output with the tokens and the text that have not been given out yet."""
        start, self._given_out = self._given_out, count
        shown = self._text.shown
        delta = text[len(shown) :] if text.startswith(shown) else ""
        self._text.shown = shown + delta
        if self.params.output_kind != RequestOutputKind.DELTA:
            start, delta = 0, text
        logprobs = self._logprobs[start:count] if self.params.logprobs is not None else None
        completion = CompletionOutput(
            index=self.index,
            text=delta,
            token_ids=self._tokens[start:count],
            cumulative_logprob=_cumulative(self._tokens[:count], self._logprobs[:count]),
            logprobs=logprobs,
            finish_reason=_REASONS.get(finish.reason, finish.reason) if finish else None,
            stop_reason=finish.stop_reason if finish else None,
            lora_request=self.given.arguments.get("lora_request"),
        )
        return self._output(completion, finish is not None)

    def _output(self, completion: CompletionOutput, finished: bool) -> RequestOutput:
        first = self._first
        return RequestOutput(
            request_id=self.given.request_id,
            prompt=None,
            prompt_token_ids=self.spec.prompt,
            prompt_logprobs=first.prompt_logprobs if first else None,
            outputs=[completion],
            finished=finished,
            metrics=first.metrics if first else None,
            lora_request=first.lora_request if first else None,
            num_cached_tokens=first.num_cached_tokens if first else 0,
        )

    def _end(self, step: Next) -> RequestOutput:
        """The last output. Raises `ModFailure` if the session failed."""
        if isinstance(step, Finish):
            self._passed = step.passed_ends
            self._replace(step.keep, step.tokens)
            self._text.follow(self._tokens, self._passed)
            text = self._text.finished(step.stop_reason, step.reason, step.replaced)
            if not self._streams or text.startswith(self._text.shown):
                self.call.choices[self.choice] = Choice(step.usage, step.tool_calls)
                for origin in ("sampled", "forced", "erased"):
                    metrics.TOKENS.labels(origin=origin).inc(getattr(step.usage, origin))
                return self._give(len(self._tokens), text, step)
            step = Fail(
                ReachExceededError.status,
                ReachExceededError.type,
                "the output was replaced by one that does not begin with the text already shown",
                Usage(),
            )
        assert isinstance(step, Fail)
        self.call.failure = self.call.failure or step
        raise ModFailure(step)

    def _abandon(self) -> RequestOutput:
        """The last output of an aborted session: no more than what may be shown."""
        count = min(len(self._tokens), max(self._given_out, self._floor()))
        self._text.follow(self._tokens[:count], self._passed)
        self.call.choices[self.choice] = Choice(Usage(sampled=count))
        return self._give(count, self._text.upto(count), Finish(count, [], "abort", Usage()))

    def _floor(self) -> int:
        return self.call.host.floor(self.spec.session)

    def _take_back(self, keep: int) -> None:
        """Text that was shown goes: only where the client asked to be told of it."""
        if not self.call.show_at_once:
            raise HostError(f"tokens before position {self._given_out} were shown already")
        before = self._text.shown
        kept = self._text.upto(keep)[: len(before)]
        self.call.removed.append(Removed(self.choice, before[len(kept) :], self._given_out - keep))
        self._text.shown, self._given_out = kept, keep


def _cumulative(tokens: list[int], logprobs: list[Any]) -> float | None:
    scored = [entry[token].logprob for token, entry in zip(tokens, logprobs, strict=True) if entry]
    return sum(scored) if scored else None
