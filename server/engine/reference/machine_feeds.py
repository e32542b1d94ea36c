"""A machine in this process where the worker looks for hosts: no socket, and no deadline.

For mods that are trusted. The decisions are those of the same machine; they are only never late.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mods.runtime.decisions import Decision
from mods.runtime.host.feed import Feeds
from mods.runtime.host.protocol import FeedRow
from mods.runtime.machine import Machine

ADDRESS = "this process"
"""Stands for a host's address: a row without one is nobody's to decide."""


class MachineFeeds(Feeds):
    """One session's machine, for a batch of one row."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._decided: dict[str, list[Decision]] = {}

    def send(
        self, address: str, rows: Sequence[FeedRow], logits: NDArray[np.float32] | None = None
    ) -> None:
        (row,) = rows
        seen = None if logits is None else logits[0].copy()
        decision = self._machine.decide(
            row.segment, row.position, row.token, seen, row.earlier, row.sureness
        )
        self._decided[address] = [decision]

    def collect(self, deadline: float) -> dict[str, list[Decision]]:
        decided, self._decided = self._decided, {}
        return decided

    def row(self, address: str, index: int) -> NDArray[np.float32]:
        row = self._machine.row
        return np.zeros(0, dtype=np.float32) if row is None else row
