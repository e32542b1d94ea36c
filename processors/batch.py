"""One step of the batch: feed every row to its host, wait at most the soft deadline, edit logits.

What both runners share. A row whose host is late, lost or answers nonsense ends its segment:
the session then waits outside the engine. Nothing that happens here may raise into vLLM's step.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mods.runtime.decisions import END_SEGMENT, Decision
from mods.runtime.host.feed import Feeds
from processors.decisions import Edits
from processors.rows import Row

SOFT_DEADLINE = 0.020
"""Seconds that one step waits for all hosts together, counted from when logits are ready."""


class Batch:
    """Rows by index, and the feeds of the step under way."""

    def __init__(self, feeds: Feeds, soft_deadline: float = SOFT_DEADLINE) -> None:
        self.rows: dict[int, Row] = {}
        self._feeds = feeds
        self._soft_deadline = soft_deadline
        self._sent: dict[str, list[int]] = {}
        self.late = 0
        """Rows ended because their host missed the soft deadline."""

    def send_early(self) -> None:
        """Before the forward pass: feed the rows whose mods need no logits."""
        self._sent = {}
        self._send([i for i, row in self.rows.items() if not row.args.reads_logits], None)

    def send_with_logits(self, logits: torch.Tensor, skip: Sequence[int]) -> None:
        """After it: feed the rows whose mods read logits, with those; `skip` are not ready."""
        skipped = set(skip)
        indices = [i for i, row in self.rows.items() if row.args.reads_logits and i not in skipped]
        self._send(indices, logits)

    def decide(self) -> dict[int, tuple[Decision, NDArray[np.float32] | None]]:
        """Collect decisions by row index, with the whole row where one was given."""
        answers = self._feeds.collect(time.monotonic() + self._soft_deadline)
        decided: dict[int, tuple[Decision, NDArray[np.float32] | None]] = {}
        for host, indices in self._sent.items():
            decisions = answers.get(host)
            if decisions is None or len(decisions) != len(indices):
                self.late += len(indices)
                decided.update((index, (END_SEGMENT, None)) for index in indices)
                continue
            for slot, (index, decision) in enumerate(zip(indices, decisions, strict=True)):
                whole = self._feeds.row(host, slot) if getattr(decision, "row", False) else None
                decided[index] = (decision, whole)
        self._sent = {}
        return decided

    def edit(
        self,
        logits: torch.Tensor,
        decided: Mapping[int, tuple[Decision, NDArray[np.float32] | None]],
    ) -> torch.Tensor:
        """Apply the decisions to logits [rows, vocabulary], in place."""
        edits = Edits()
        for index, (decision, whole) in decided.items():
            edits.add(index, self.rows[index], decision, whole)
        return edits.apply(logits)

    def _send(self, indices: Sequence[int], logits: torch.Tensor | None) -> None:
        by_host: dict[str, list[int]] = defaultdict(list)
        for index in indices:
            by_host[self.rows[index].args.host].append(index)
        for host, members in by_host.items():
            self._sent[host] = members
            wanted = None if logits is None else logits[members].float().cpu().numpy()
            self._feeds.send(host, [self.rows[index].feed() for index in members], wanted)
