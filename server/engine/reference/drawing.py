"""One request of the engine's, drawn token by token: what vLLM does for one row of its batch.

The reference loop and the served reference engine both draw with it, and both let the worker's own
`Batch` edit the row. They differ in whom that batch asks: a machine in this process, or hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from vllm.sampling_params import SamplingParams

from processors.batch import Batch
from processors.rows import Row
from server.engine.reference.backend import Backend
from server.engine.reference.sampling import shape_by_history, shape_by_request


@dataclass(frozen=True)
class Drawn:
    """One token, and how it ends its request: None if it does not.

    row: what the model gave, float32 [vocabulary], before any edit.
    """

    token: int
    end: Literal["stop", "length"] | None
    row: torch.Tensor


@dataclass
class Drawing:
    """The context of `backend` is `prompt`; see `bring`. `output` grows with every draw.

    batch: who edits the one row, None for a request that no mod watches. max_context: prompt and
    output, in tokens.
    """

    backend: Backend
    prompt: Sequence[int]
    params: SamplingParams
    max_context: int
    batch: Batch | None = None
    generator: torch.Generator | None = None
    output: list[int] = field(default_factory=list)

    def watch(self, batch: Batch, row: Row) -> None:
        """Let the mods of this row have their say."""
        row.output = self.output
        batch.rows = {0: row}
        self.batch = batch

    def draw(self) -> Drawn:
        """Compute a row, edit it, draw. Not to be called again after an end."""
        if self.batch is not None:
            self.batch.begin()
        row = self.backend.forward_pass(self.output[-1] if self.output else None)
        token = self._choose(self._edited(row))
        self.output.append(token)
        return Drawn(token, self._end(token), row)

    def _edited(self, row: torch.Tensor) -> torch.Tensor:
        scores = row.clone()
        shape_by_request(scores, self.params, len(self.output))
        if self.batch is not None:
            # Mods see the row as the request shaped it. Penalties and bad words come with the
            # edits: they count the session, which this request is only a part of.
            return self.batch.apply(scores.unsqueeze(0))[0]
        shape_by_history(scores, self.params, self.prompt, self.output)
        return scores

    def _choose(self, scores: torch.Tensor) -> int:
        """A forced token takes no random number, so that a seed's draws are the engine's."""
        if self.batch is not None and self.batch.forced:
            return int(scores.argmax())
        return self.backend.sample(scores, self.params, self.generator)

    def _end(self, token: int) -> Literal["stop", "length"] | None:
        """Where vLLM ends a request by itself: it looks at no text and knows no session."""
        params, length = self.params, len(self.output)
        if token == params.eos_token_id or token in (params.stop_token_ids or ()):
            return "stop"
        full = len(self.prompt) + length >= self.max_context
        return "length" if full or length >= (params.max_tokens or length) else None


def bring(backend: Backend, tokens: Sequence[int], afresh: bool) -> int:
    """Make `tokens` the backend's context. Returns how many of them were computed before.

    afresh: compute all of them, whatever is there, as for a request that nobody has seen.
    """
    if afresh:
        backend.prefill(tokens)
        return 0
    pairs = enumerate(zip(backend.context, tokens, strict=False))
    shorter = min(len(backend.context), len(tokens))
    same = next((i for i, (have, want) in pairs if have != want), shorter)
    backend.rewind_kv_cache(same)
    backend.add_tokens(tokens[same:])
    return same
