"""The adapter for vLLM's V1 model runner (vLLM on CPU): a logits processor and its worker.

The processor learns of rows in `update_state` (before the forward pass) and edits logits in
`apply` (after it). Two things it cannot see from there, which rows have an unfinished prompt
and their random generators, the worker shows it by handing it the runner.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality
from vllm.v1.worker.cpu_worker import CPUWorker

from processors.batch import Batch
from processors.rows import Row, read_row
from processors.seeds import Seeds

if TYPE_CHECKING:
    from vllm.config import VllmConfig

log = logging.getLogger("concordance.processor")


class ModsProcessor(LogitsProcessor):
    """vLLM's interface on one side, a `Batch` on the other. Nothing raises into vLLM's step."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self.batch = Batch.from_environment(vllm_config)
        self.seeds = Seeds()
        self.runner: Any = None
        """The model runner, once the worker has shown it."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is not None:
            _update_rows(self.batch.rows, batch_update)
        if self.batch.rows:
            self.batch.begin()

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit logits [rows, vocabulary]."""
        unfinished = self._unfinished()
        logits = self.batch.apply(logits, unfinished)
        try:
            self._seed(unfinished)
        except Exception:
            log.exception("continuing seeded draws failed; this step draws from new ones")
        return logits

    def _unfinished(self) -> Sequence[int]:
        """Rows whose prompt is not fully computed: vLLM throws their sample away."""
        if self.runner is None:
            return ()
        mask = self.runner.discard_request_mask.np[: self.runner.input_batch.num_reqs]
        return [int(index) for index in mask.nonzero()[0]]

    def _seed(self, unfinished: Sequence[int]) -> None:
        generators = self.runner.input_batch.generators if self.runner is not None else {}
        if generators:
            self.seeds.before_draw(
                generators, self.batch.rows, unfinished, sorted(self.batch.forced)
            )


def _update_rows(rows: dict[int, Row], update: BatchUpdate) -> None:
    """Follow the batch: removed, then added, then moved, as vLLM prescribes."""
    for index in update.removed:
        rows.pop(index, None)
    for index, params, prompt, output in update.added:
        rows.pop(index, None)
        row = read_row(params, prompt or (), output)
        if row is not None:
            rows[index] = row
    for source, target, direction in update.moved:
        moving, standing = rows.pop(source, None), rows.pop(target, None)
        if moving is not None:
            rows[target] = moving
        if direction == MoveDirectionality.SWAP and standing is not None:
            rows[source] = standing


class ModsCPUWorker(CPUWorker):
    """vLLM's CPU worker, with the model runner shown to the processor."""

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        super().load_model(*args, **kwargs)
        runner = self.model_runner
        for processor in runner.input_batch.logitsprocs.all:
            if isinstance(processor, ModsProcessor):
                processor.runner = runner
                _keep_seeds(runner, processor.seeds)


def _keep_seeds(runner: Any, seeds: Seeds) -> None:
    """Undo thrown-away draws ourselves: CPU generators have no offset for vLLM to turn back."""
    bookkeeping = runner._bookkeeping_sync

    def without_offsets(*args: Any, **kwargs: Any) -> Any:
        generators = runner.input_batch.generators
        unfinished = runner.discard_request_mask.np[: runner.input_batch.num_reqs].nonzero()[0]
        aside = {int(i): generators.pop(int(i)) for i in unfinished if int(i) in generators}
        try:
            return bookkeeping(*args, **kwargs)
        finally:
            generators.update(aside)
            seeds.after_draw()

    runner._bookkeeping_sync = without_offsets
