"""The adapter for vLLM's Model Runner V2 (the default on GPUs): a logits processor.

What V2 shows is less than V1. A row is not a request: rows are ordered anew in every step, and a
slot's number is what stays. Nobody says when a request has gone: its slot is given to another.
One that was preempted comes back as an added one, whose output is partly in what is prefilled.
And the newest token is known only when the device has come that far, so that everything happens
in `apply`, which the host reaches while the device computes the forward pass.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from vllm.v1.worker.gpu.sample.logits_processor import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
)

from processors.batch import Batch
from processors.history import History
from processors.rows import Row, read_row

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams

log = logging.getLogger("concordance.processor")


class ModsProcessor(LogitsProcessor):
    """vLLM's interface on one side, a `Batch` on the other. Nothing raises into vLLM's step."""

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        if getattr(vllm_config, "speculative_config", None) is not None:
            raise ValueError("speculative decoding is not supported together with mods yet")
        self.batch = Batch.from_environment(vllm_config)
        self._history = History(req_states)
        self._prefill_lengths: NDArray[np.int32] = req_states.prefill_len.np
        self._slots: dict[int, Row] = {}
        self._watched = np.zeros(req_states.max_num_reqs, dtype=np.bool_)
        """Whether a mod watches the request in this slot, or watched the last one there."""

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """A request takes this slot. Returns whether a mod watches it."""
        self._slots.pop(req_idx, None)
        row = read_row(sampling_params)
        if row is not None:
            self._slots[req_idx] = row
        self._watched[req_idx] = row is not None
        return row is not None

    def apply_staged_writes(self) -> None:
        if self._slots:
            self._history.mark()

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Edit logits [rows, vocabulary]."""
        lengths = self._drawn(ctx)
        self.batch.rows = {row: self._slots[int(ctx.idx_mapping_np[row])] for row in lengths}
        if not lengths:
            return logits
        try:
            self._catch_up(ctx, lengths)
        except Exception:
            log.exception("reading tokens failed; the rows with mods end their segments")
            return self.batch.end_all(logits)
        self.batch.begin()
        return self.batch.apply(logits)

    def _drawn(self, ctx: LogitsContext) -> dict[int, int]:
        """Rows with mods whose sample will count, and how many tokens each has so far.

        A row whose prompt is not finished is none of them: vLLM throws its sample away.
        """
        slots = ctx.idx_mapping_np
        lengths = ctx.seq_lens_upper_bound_np[: len(slots)]
        drawn = self._watched[slots] & (lengths >= self._prefill_lengths[slots])
        return {int(row): int(lengths[row]) for row in np.flatnonzero(drawn)}

    def _catch_up(self, ctx: LogitsContext, lengths: dict[int, int]) -> None:
        """Give every row its tokens, and forget those whose segment has ended.

        vLLM plans a step ahead of what it knows: a segment that ended with its sentinel is
        computed once more, for nothing. Its host hears of the end from the session.
        """
        self._history.wait()
        for index, length in lengths.items():
            slot = int(ctx.idx_mapping_np[index])
            row, tokens = self._slots[slot], self._history.tokens(slot, length)
            prompt = self._history.prompt_length(slot)
            row.prompt, row.output = tokens[:prompt], tokens[prompt:]
            if row.newest == row.args.sentinel:
                del self.batch.rows[index]
