"""What vLLM's worker does, for one request at a time: the model, the row's edits, the draw.

All of it belongs to one thread. A segment of a session goes on in the context that the one before
left behind, and with its random numbers.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import torch
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import (
    EngineCoreEvent,
    EngineCoreEventType,
    EngineCoreOutput,
    EngineCoreRequest,
    FinishReason,
)
from vllm.v1.metrics.stats import PrefillStats
from vllm.v1.outputs import LogprobsLists

from processors.batch import Batch
from processors.rows import Row, read_row
from server.engine.reference.backend import Backend
from server.engine.reference.drawing import Drawing, Drawn, bring
from server.engine.reference.session import generator_of

KEPT_SESSIONS = 4096
"""Sessions whose random numbers are kept between segments, 5 kB each; the oldest goes first."""


@dataclass(frozen=True)
class Ticket:
    """A request on its way through the engine. queued: `time.monotonic()` of its arrival."""

    name: str
    prompt: list[int]
    params: SamplingParams
    queued: float

    @classmethod
    def of(cls, request: EngineCoreRequest) -> Ticket:
        assert request.prompt_token_ids is not None, "prompts of embeddings are refused before"
        assert request.sampling_params is not None, "there is no pooling"
        return cls(
            request.request_id,
            request.prompt_token_ids,
            request.sampling_params,
            time.monotonic(),
        )


class ReferenceWorker:
    """`begin` a request, then `step` until its output says that it has finished."""

    def __init__(self, backend: Backend, config: VllmConfig) -> None:
        self._backend = backend
        self._max_context = config.model_config.max_model_len
        self._batch = Batch.from_environment(config)
        self._generators: OrderedDict[int, torch.Generator] = OrderedDict()
        self._drawing: Drawing | None = None
        self._output = EngineCoreOutput("", [])
        """The next output, empty but for what the first one tells beside its token."""

    def begin(self, ticket: Ticket) -> None:
        """Compute the request's prompt. Whatever request was under way is forgotten."""
        started = EngineCoreEvent.new_event(EngineCoreEventType.SCHEDULED)
        queued = EngineCoreEvent.new_event(EngineCoreEventType.QUEUED, ticket.queued)
        prompt, params = ticket.prompt, ticket.params
        self._drawing = drawing = Drawing(self._backend, prompt, params, self._max_context)
        row = read_row(params, prompt)
        if row is None:
            drawing.generator = generator_of(params, self._backend.device)
        else:
            drawing.watch(self._batch, row)
            drawing.generator = self._generator(row, params)
        known = bring(self._backend, prompt, afresh=row is None or row.args.segment == 1)
        computed = PrefillStats()
        computed.set(len(prompt), known, 0)
        self._output = EngineCoreOutput(
            ticket.name, [], events=[queued, started], prefill_stats=computed
        )

    def step(self) -> EngineCoreOutput:
        """Draw one token."""
        assert self._drawing is not None, "begin comes first"
        params, drawn = self._drawing.params, self._drawing.draw()
        output, self._output = self._output, EngineCoreOutput(self._output.request_id, [])
        output.new_token_ids = [drawn.token]
        if params.num_logprobs is not None:
            output.new_logprobs = logprobs(drawn, params.num_logprobs)
        if drawn.end is not None:
            output.finish_reason = _REASONS[drawn.end]
            if drawn.end == "stop" and drawn.token != params.eos_token_id:
                output.stop_reason = drawn.token
        return output

    def _generator(self, row: Row, params: SamplingParams) -> torch.Generator | None:
        """The session's own: its segments draw one row of random numbers."""
        session = row.args.session
        generator = self._generators.pop(session, None)
        if generator is None:
            generator = generator_of(params, self._backend.device)
        if generator is not None:
            self._generators[session] = generator
        if len(self._generators) > KEPT_SESSIONS:
            self._generators.popitem(last=False)
        return generator


_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


def logprobs(drawn: Drawn, count: int) -> LogprobsLists:
    """Of the drawn token, with its rank, and of the likeliest `count` (-1: all), from the row."""
    scores = drawn.row.log_softmax(dim=-1)
    own = scores[drawn.token]
    best = scores.topk(scores.shape[0] if count < 0 else min(count, scores.shape[0]))
    tokens = torch.cat([best.indices.new_tensor([drawn.token]), best.indices])
    values = torch.cat([own.unsqueeze(0), best.values])
    rank = (scores >= own).sum().unsqueeze(0)
    return LogprobsLists(
        tokens.unsqueeze(0).cpu().numpy(), values.unsqueeze(0).cpu().numpy(), rank.cpu().numpy()
    )
