"""One request in the reference loop: segments, drawn token by token without any lag.

It does in one place and in order what the engine, its worker, a mods' host and `ModEngine` do
together. The parts are theirs: the machine, the worker's batch, the answer. What is plain here,
and intricate there, is who waits for whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams

from mods.runtime.decisions import Fail, Finish, Next, Resume, SessionSpec
from mods.runtime.machine import Machine
from mods.runtime.seat import LoadedMod
from mods.sdk.errors import ModError
from processors.batch import Batch
from processors.rows import read_row
from server.engine.answer import Answer
from server.engine.call import Call
from server.engine.given import Given
from server.engine.reference.drawing import Drawing, Drawn, bring
from server.engine.reference.generation import Generation, Piece
from server.engine.reference.machine_feeds import ADDRESS, MachineFeeds
from server.engine.segment import SegmentParams

if TYPE_CHECKING:
    from server.engine.reference.loop import ReferenceLoop


class ReferenceSession:
    """Run it once: `pieces()` is its life; `generation` is what came.

    params: with the model's own ends. streams: whether anything is shown before the end.
    """

    def __init__(
        self,
        loop: ReferenceLoop,
        spec: SessionSpec,
        params: SamplingParams,
        mods: Sequence[LoadedMod],
        streams: bool = True,
    ) -> None:
        self.spec = spec
        self.generation = Generation(spec.request_id, spec.prompt)
        self._backend, self._grammars = loop.backend, loop.grammars
        self._machine = Machine(spec, mods, loop.mods_tokenizer, matchers=loop.grammars)
        self._batch = Batch(MachineFeeds(self._machine), masks=loop.grammars.masks)
        self._prompt, self._max_tokens = spec.prompt, spec.max_tokens
        self._kept = 0
        self._held: list[tuple[str, int, bool]] = []
        self._aborted = False
        params.output_kind = RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY
        params.logprobs = params.logprobs or 0
        self._answer = _answer(loop.tokenizer, spec, params)
        reads_logits = any(mod.traits.logits for mod in mods)
        seed = params.seed if params.seed is not None else spec.session
        self._segments = SegmentParams(
            params,
            loop.tokenizer,
            ADDRESS,
            spec.session,
            spec.sentinel,
            reads_logits,
            seed,
            streams,
            spec.reasoning_end,
            reads_confidence=any(mod.traits.confidence for mod in mods),
        )
        self._generator = generator_of(params, loop.backend.device)

    def pieces(self) -> Iterator[Piece]:
        """Run to the end, showing what nothing can take back any more.

        A session that fails says so in `generation`. Closing the iterator aborts the session.
        """
        reason = "aborted"
        try:
            step = self._machine.open()
            while isinstance(step, Resume) and not self._aborted:
                self._begin(step)
                failed = self._prepare(step)
                if failed is not None:
                    step = failed
                    break
                yield from self._segment(step)
                if not self._aborted:
                    step = self._tail(step)
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

    def _begin(self, resume: Resume) -> None:
        """Take in what the machine made of the last segment."""
        if resume.prompt is not None:
            self._prompt = self.generation.prompt = resume.prompt
        if resume.max_tokens is not None:
            self._max_tokens = resume.max_tokens
        self._answer.replace(resume.keep, resume.tokens, resume.passed_ends)
        self._kept = len(self._answer.tokens)

    def _prepare(self, resume: Resume) -> Fail | None:
        """Have the constraints in force ready."""
        try:
            self._held = self._grammars.ready(resume.held)
        except ModError as error:
            return Fail(422, error.type, str(error))
        return None

    def _segment(self, resume: Resume) -> Iterator[Piece]:
        """Draw until the segment ends. The sentinel, where it ends by one, is no token."""
        drawing = self._drawing(resume)
        while not self._aborted:
            drawn = drawing.draw()
            if drawn.token == self.spec.sentinel and self._batch.forced and drawn.end:
                return
            self._answer.take(_output(drawn))
            if drawn.end:
                return
            if self._answer.streams:
                yield from self._shown(self._answer.show(self._floor(resume), resume.quiet))

    def _drawing(self, resume: Resume) -> Drawing:
        prompt = self._prompt + self._answer.tokens
        params = self._segments.make(resume, self._kept, self._max_tokens, self._held)
        drawing = Drawing(self._backend, prompt, params, self.spec.max_context)
        drawing.generator = self._generator
        row = read_row(params, prompt)
        assert row is not None
        drawing.watch(self._batch, row)
        bring(self._backend, prompt, afresh=resume.segment == 1)
        return drawing

    def _tail(self, resume: Resume) -> Next:
        """What comes next. Where nobody was asked, the machine is told of every token now."""
        new = self._answer.tokens[self._kept :]
        untold = new[:-1] if resume.quiet else []
        position, newest = len(self._answer.tokens), new[-1] if new else -1
        return self._machine.tail(resume.segment, position, newest, untold)

    def _floor(self, resume: Resume) -> int:
        """How many tokens nobody may take back any more."""
        floor = self._machine.floor
        if resume.quiet and resume.reach is not None:
            return max(floor, len(self._answer.tokens) - resume.reach)
        return floor

    def _end(self, step: Next) -> Iterator[Piece]:
        if isinstance(step, Finish):
            try:
                yield from self._shown(self._answer.finish(step))
            except ModError as error:
                step = Fail(error.status, error.type, str(error), step.usage)
            else:
                self.generation.finish(step)
                return
        assert isinstance(step, Fail)
        self.generation.fail(step)

    def _shown(self, output: RequestOutput | None) -> Iterator[Piece]:
        if output is None:
            return
        (shown,) = output.outputs
        tokens, scored = list(shown.token_ids), list(shown.logprobs or ())
        if not self._answer.tokens:  # vLLM's streams want a token to end on
            tokens, scored = [], []
        pairs = zip(tokens, scored, strict=True)
        self.generation.logprobs += [entry[t].logprob if entry else None for t, entry in pairs]
        self.generation.text += shown.text
        yield Piece(tokens, shown.text)

    def _close(self, reason: str) -> None:
        self.generation.record = self._machine.close(reason)
        self.generation.tokens = self._answer.tokens


def generator_of(params: SamplingParams, device: torch.device) -> torch.Generator | None:
    """A session's own random numbers, over all its segments; None without a seed."""
    if params.seed is None:
        return None
    return torch.Generator(device).manual_seed(params.seed)


def _answer(tokenizer: Any, spec: SessionSpec, params: SamplingParams) -> Answer:
    """An answer to nobody's call: what it is given of engine and host stays unused."""
    nothing: Any = None
    eos = getattr(tokenizer, "eos_token_id", None)
    end = spec.sentinel if eos is None else int(eos)
    given = Given(nothing, nothing, nothing, tokenizer, spec.request_id, {}, None, None, None, end)
    return Answer(given, Call([], nothing), spec.prompt, params, 0, 0)


def _output(drawn: Drawn) -> RequestOutput:
    """One token as the engine hands it out."""
    logprob = Logprob(float(drawn.row.log_softmax(dim=-1)[drawn.token]))
    token = CompletionOutput(0, "", [drawn.token], None, [{drawn.token: logprob}])
    return RequestOutput("", None, [], None, [token], finished=False)
