"""One step of the batch: feed every row to its host, wait at most the soft deadline, edit logits.

What both runners share. A row whose host is late, lost or answers nonsense ends its segment:
the session then waits outside the engine. Nothing that happens here may raise into vLLM's step.
"""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mods.runtime.decisions import END_SEGMENT, LEAVE, Decision, Sureness
from mods.runtime.host.feed import Feeds
from processors import environment
from processors.confidence import sureness
from processors.constraints import Masks
from processors.decisions import Edits
from processors.grammars import Grammars
from processors.rows import Row
from processors.upload import to_host
from processors.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from vllm.config import VllmConfig

SOFT_DEADLINE = 0.020
"""Seconds that one step waits for all hosts together, counted from when the last was fed."""

Verdict = tuple[Decision, NDArray[np.float32] | None]
"""A row's decision, and the whole row of logits where it refers to one."""

log = logging.getLogger("concordance.processor")


class Batch:
    """Rows by index, and the feeds of the step under way."""

    def __init__(
        self, feeds: Feeds, soft_deadline: float = SOFT_DEADLINE, masks: Masks | None = None
    ) -> None:
        self.rows: dict[int, Row] = {}
        self.forced: set[int] = set()
        """The rows whose token the last step gave, ended ones among them: their draw is void."""
        self.late = 0
        """Rows ended because their host missed the soft deadline."""
        self.refused = 0
        """Rows ended because their host's decision was bad."""
        self._feeds = feeds
        self._soft_deadline = soft_deadline
        self._masks = masks
        self._sent: dict[str, list[int]] = {}

    @classmethod
    def from_environment(cls, vllm_config: VllmConfig) -> Batch:
        """As the server that started this worker wants it. Begins to listen for grammars."""
        folder = os.environ.get(environment.RUN_DIR)
        run_dir = Path(folder) if folder else None
        deadline = float(os.environ.get(environment.SOFT_DEADLINE, SOFT_DEADLINE))
        grammars = Grammars(lambda: vocabulary_of(vllm_config))
        if run_dir is not None:
            grammars.listen(run_dir)
        masks = Masks(grammars)
        return cls(Feeds(run_dir), deadline, masks)

    def begin(self) -> None:
        """Feed the rows whose mods do not look at logits, as early as their tokens are known."""
        try:
            unfinished, self._sent = self._sent, {}
            if unfinished:
                self._feeds.collect(0.0)
            if self._masks is not None:
                self._masks.begin(self.rows)
            asked = ((i, row) for i, row in self.rows.items() if row.asked)
            self._send(i for i, row in asked if not row.args.looks)
        except Exception:
            log.exception("feeding mods failed; their rows end their segments")

    def apply(self, logits: torch.Tensor, skip: Collection[int] = ()) -> torch.Tensor:
        """Feed the rows whose mods look at logits, wait, and edit logits [rows, vocabulary].

        skip: rows whose sample will be thrown away. On any error every row with mods ends.
        """
        self.forced = set(self.rows)
        if not self.rows:
            return logits
        try:
            asked = [i for i, row in self.rows.items() if row.asked and i not in skip]
            self._send((i for i in asked if self.rows[i].args.reads_logits), logits)
            self._send_sureness([i for i in asked if self.rows[i].args.needs_confidence], logits)
            self._edit(logits, self._decide(skip))
        except Exception:
            log.exception("applying mods failed; their rows end their segments")
            self.end_all(logits)
        return logits

    def end_all(self, logits: torch.Tensor) -> torch.Tensor:
        """End every row's segment, whatever was decided."""
        self.forced = set(self.rows)
        try:
            self._edit(logits, dict.fromkeys(self.rows, (END_SEGMENT, None)))
        except Exception:
            log.exception("ending segments failed")
        return logits

    def _decide(self, skip: Collection[int]) -> dict[int, Verdict]:
        """Verdicts by row. A row that nobody decided ends, unless it is skipped."""
        answers = self._feeds.collect(time.monotonic() + self._soft_deadline)
        sent, self._sent = self._sent, {}
        decided: dict[int, Verdict] = {}
        for host, indices in sent.items():
            decisions = answers.get(host, [])
            if len(decisions) == len(indices):
                for slot, (index, decision) in enumerate(zip(indices, decisions, strict=True)):
                    decided[index] = (decision, self._whole(host, slot, decision))
            else:
                self.late += len(indices)
        for index, row in self.rows.items():
            if index not in decided and index not in skip:
                decided[index] = (END_SEGMENT if row.asked else LEAVE, None)
        return decided

    def _whole(self, host: str, slot: int, decision: Decision) -> NDArray[np.float32] | None:
        return self._feeds.row(host, slot) if getattr(decision, "row", False) else None

    def _edit(self, logits: torch.Tensor, decided: dict[int, Verdict]) -> None:
        edits = Edits()
        for index, (decision, whole) in decided.items():
            edits.add(index, self.rows[index], decision, whole)
        for index, words in self._masks.collect().items() if self._masks is not None else ():
            if index in decided:
                edits.mask(index, words)
        edits.apply(logits)
        self.forced = set(edits.forced)
        self.refused += len(edits.refused)
        for index, wrong in edits.refused.items():
            args = self.rows[index].args
            log.error("session %d: its host decided nonsense: %s", args.session, wrong)

    def _send_sureness(self, indices: Sequence[int], logits: torch.Tensor) -> None:
        """Tell how sure the model is of these rows: found out for all hosts together."""
        if indices:
            self._send(indices, sure=dict(zip(indices, sureness(logits, indices), strict=True)))

    def _send(
        self,
        indices: Iterable[int],
        logits: torch.Tensor | None = None,
        sure: Mapping[int, Sureness] | None = None,
    ) -> None:
        by_host: dict[str, list[int]] = defaultdict(list)
        for index in indices:
            by_host[self.rows[index].args.host].append(index)
        for host, members in by_host.items():
            wanted = None if logits is None else to_host(logits, members)
            self._sent[host] = members
            try:
                known = sure or {}
                told = [self.rows[index].feed(known.get(index)) for index in members]
                self._feeds.send(host, told, wanted)
            except Exception:
                log.exception("feeding one host failed; its rows end their segments")
