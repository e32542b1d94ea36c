"""The adapter for vLLM's V1 model runner (vLLM on CPU): a logits processor and its worker.

The processor learns of rows in `update_state` (before the forward pass) and edits logits in
`apply` (after it). Two things it cannot see from there, which rows have an unfinished prompt
and their random generators, the worker shows it by handing it the runner.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality
from vllm.v1.worker.cpu_worker import CPUWorker

from mods.runtime.decisions import EndSegment, Force
from mods.runtime.host.feed import Feeds
from processors import environment
from processors.batch import SOFT_DEADLINE, Batch
from processors.rows import Row, SegmentArgs
from processors.seeds import Seeds

if TYPE_CHECKING:
    from vllm.config import VllmConfig

log = logging.getLogger("concordance.processor")


class ModsProcessor(LogitsProcessor):
    """vLLM's interface on one side, a `Batch` on the other."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        run_dir = os.environ.get(environment.RUN_DIR)
        deadline = float(os.environ.get(environment.SOFT_DEADLINE, SOFT_DEADLINE))
        self.batch = Batch(Feeds(Path(run_dir) if run_dir else None), deadline)
        self.seeds = Seeds()
        self.runner: Any = None
        """The model runner, once the worker has shown it."""

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is not None:
            _update_rows(self.batch.rows, batch_update)
        if self.batch.rows:
            try:
                self.batch.send_early()
            except Exception:
                log.exception("feeding mods failed; their rows end their segments")

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit logits [rows, vocabulary]. On any error every row with mods ends its segment."""
        unfinished = self._unfinished()
        ending: list[int] = list(self.batch.rows)
        if self.batch.rows:
            try:
                self.batch.send_with_logits(logits, unfinished)
                decided = self.batch.decide()
                ending = [i for i, (d, _) in decided.items() if isinstance(d, (EndSegment, Force))]
                logits = self.batch.edit(logits, decided)
            except Exception:
                log.exception("applying mods failed; their rows end their segments")
                logits = _end_all(logits, self.batch.rows)
        self._seed(unfinished, ending)
        return logits

    def _unfinished(self) -> Sequence[int]:
        """Rows whose prompt is not fully computed: vLLM throws their sample away."""
        if self.runner is None:
            return ()
        mask = self.runner.discard_request_mask.np[: self.runner.input_batch.num_reqs]
        return [int(index) for index in mask.nonzero()[0]]

    def _seed(self, unfinished: Sequence[int], ending: Sequence[int]) -> None:
        generators = self.runner.input_batch.generators if self.runner is not None else {}
        if generators:
            self.seeds.before_draw(generators, self.batch.rows, unfinished, ending)


def _update_rows(rows: dict[int, Row], update: BatchUpdate) -> None:
    """Follow the batch: removed, then added, then moved, as vLLM prescribes."""
    for index in update.removed:
        rows.pop(index, None)
    for index, params, prompt, output in update.added:
        rows.pop(index, None)
        args = SegmentArgs.from_extra_args(params.extra_args)
        if args is not None:
            rows[index] = Row(args, prompt or [], output)
    for source, target, direction in update.moved:
        moving, standing = rows.pop(source, None), rows.pop(target, None)
        if moving is not None:
            rows[target] = moving
        if direction == MoveDirectionality.SWAP and standing is not None:
            rows[source] = standing


def _end_all(logits: torch.Tensor, rows: dict[int, Row]) -> torch.Tensor:
    for index, row in rows.items():
        logits[index].fill_(float("-inf"))
        logits[index, row.args.sentinel] = 0.0
    return logits


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
