"""One request in the reference loop: segments, drawn token by token without any lag.

It does what the engine, its worker and `ModEngine` do together, in one place and in order: a
segment begins with the session's tokens in its context; each draw is decided by the machine; a
segment ends where vLLM would end it, or where the machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from vllm.sampling_params import SamplingParams

from mods.runtime.decisions import (
    Decision,
    EndSegment,
    Fail,
    Finish,
    Next,
    PassedEnd,
    Resume,
    SessionSpec,
)
from mods.sdk.errors import ReachExceededError
from processors.decisions import Edits
from processors.rows import Row, SegmentArgs
from server.engine.reference.backend import Backend
from server.engine.reference.driver import Chain
from server.engine.reference.generation import Generation, Piece
from server.engine.reference.sampling import shape_by_request
from server.engine.segment import SegmentParams
from server.engine.text import SessionText


class ReferenceSession:
    """Run it once: `pieces()` as a stream, or to the end at once; `generation` is what came."""

    def __init__(
        self,
        backend: Backend,
        tokenizer: Any,
        spec: SessionSpec,
        params: SamplingParams,
        chain: Chain,
    ) -> None:
        self.spec = spec
        self.generation = Generation(spec.request_id, spec.prompt)
        self._backend, self._reads_logits = backend, chain.reads_logits
        self._driver = chain.start(spec)
        self._max_tokens = spec.max_tokens
        self._tokens: list[int] = []
        self._logprobs: list[float | None] = []
        self._passed: list[PassedEnd] = []
        self._text = SessionText(tokenizer, spec.prompt, params)
        self._shown = 0
        self._said = ""
        """The text that has been shown."""
        self._streams = self._aborted = False
        seed = params.seed if params.seed is not None else spec.session
        self._segments = SegmentParams(
            params, tokenizer, "", spec.session, spec.sentinel, self._reads_logits, seed, False
        )
        self._generator = _generator(params, backend.device)

    def pieces(self, streams: bool = True) -> Iterator[Piece]:
        """Run to the end, showing what nothing can take back any more.

        streams: False shows nothing before the end. Closing the iterator aborts the session.
        """
        self._streams = streams
        reason = "aborted"
        try:
            step = self._driver.open()
            while isinstance(step, Resume) and not self._aborted:
                self._begin(step)
                for newest in self._segment(step):
                    yield from self._show(newest)
                if not self._aborted:
                    step = self._driver.tail(step.segment, len(self._tokens), self._newest)
            if not self._aborted:
                reason = "error" if isinstance(step, Fail) else "done"
                yield from self._end(step)
        except Exception:
            reason = "error"
            raise
        finally:
            self._close(reason)

    def abort(self) -> None:
        """End before the next draw. Any thread may call it."""
        self._aborted = True

    # A segment.

    def _begin(self, resume: Resume) -> None:
        """Take in what the machine made of the last segment, and bring the context there."""
        if resume.prompt is not None:
            self.generation.prompt = resume.prompt
        if resume.max_tokens is not None:
            self._max_tokens = resume.max_tokens
        self._passed = resume.passed_ends
        self._replace(resume.keep, resume.tokens)
        self._kept = len(self._tokens)
        self._newest = -1
        whole = self.generation.prompt + self._tokens
        if resume.segment == 1:
            self._backend.prefill(whole)
            return
        same = min(len(self._backend.context), len(whole) - len(resume.tokens))
        self._backend.rewind_kv_cache(same)
        self._backend.add_tokens(whole[same:])

    def _segment(self, resume: Resume) -> Iterator[int]:
        """Draw until the segment ends. Yields the number of tokens that the machine let pass."""
        params = self._segments.make(resume, self._kept, self._max_tokens)
        args = SegmentArgs.from_extra_args(params.extra_args)
        assert args is not None
        row = Row(args, self.generation.prompt + self._tokens, [])
        logits = self._backend.forward_pass()
        while not self._aborted:
            scores = logits.clone()
            shape_by_request(scores, params, len(row.output))
            decision = self._decide(resume.segment, scores)
            if isinstance(decision, EndSegment):
                return
            yield len(self._tokens)
            token = self._draw(scores, row, decision, params)
            self._enter(token, row, logits)
            if self._ended(token, row, params):
                return
            logits = self._backend.forward_pass(token)

    def _decide(self, segment: int, scores: torch.Tensor) -> Decision:
        """What the machine says of the next draw. Mods see the row as the request shaped it."""
        seen = scores.cpu().numpy().copy() if self._reads_logits else None
        return self._driver.decide(segment, len(self._tokens), self._newest, seen)

    def _draw(
        self, scores: torch.Tensor, row: Row, decision: Decision, params: SamplingParams
    ) -> int:
        """Edit the row by the decision, as the worker does, and draw.

        A forced token is drawn too, from a row that leaves nothing else: so a seed's draws stay
        in step with the engine's.
        """
        edits = Edits()
        edits.add(0, row, decision, self._driver.row if getattr(decision, "row", False) else None)
        edited = edits.apply(scores.unsqueeze(0))
        return self._backend.sample(edited[0], params, self._generator)

    def _enter(self, token: int, row: Row, logits: torch.Tensor) -> None:
        self._newest = token
        self._tokens.append(token)
        self._logprobs.append(float(logits.log_softmax(dim=-1)[token]))
        row.output.append(token)  # type: ignore[attr-defined]

    def _ended(self, token: int, row: Row, params: SamplingParams) -> bool:
        """Where vLLM ends a request by itself: it knows no stop strings and no session."""
        if token == params.eos_token_id or token in (params.stop_token_ids or ()):
            return True
        length = len(row.output)
        return length >= params.max_tokens or len(row.prompt) + length >= self.spec.max_context

    # What the client gets.

    def _show(self, passed: int) -> Iterator[Piece]:
        count = min(passed, self._driver.floor)
        if self._streams and count > self._shown:
            self._text.follow(self._tokens, count)
            yield self._piece(count, self._text.safe(count))

    def _piece(self, count: int, text: str) -> Piece:
        start, self._shown = self._shown, count
        more = text[len(self._said) :] if text.startswith(self._said) else ""
        self._said += more
        return Piece(self._tokens[start:count], more)

    def _end(self, step: Next) -> Iterator[Piece]:
        if isinstance(step, Finish):
            self._passed = step.passed_ends
            self._replace(step.keep, step.tokens)
            self._text.follow(self._tokens, len(self._tokens))
            text = self._text.finished(step.stop_reason, step.reason, step.replaced)
            if text.startswith(self._said):
                self.generation.finish(step, text)
                yield self._piece(len(self._tokens), text)
                return
            step = Fail(
                ReachExceededError.status,
                ReachExceededError.type,
                "the output was replaced by one that does not begin with the text already shown",
                step.usage,
            )
        assert isinstance(step, Fail)
        self.generation.fail(step)

    def _close(self, reason: str) -> None:
        made = self.generation
        made.record = self._driver.close(reason)
        made.tokens, made.logprobs, made.passed_ends = self._tokens, self._logprobs, self._passed

    def _replace(self, keep: int, tokens: list[int]) -> None:
        """The session's output is the first `keep` tokens that we have, then these."""
        del self._tokens[keep:], self._logprobs[keep:]
        self._text.cut(keep, self._passed)
        self._tokens.extend(tokens)
        self._logprobs.extend([None] * len(tokens))


def _generator(params: SamplingParams, device: torch.device) -> torch.Generator:
    """The session's own random numbers, over all its segments."""
    generator = torch.Generator(device)
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    return generator
