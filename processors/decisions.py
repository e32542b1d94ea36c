"""Decisions as tensor edits: one operation of each kind for the whole batch.

Edits are gathered row by row as plain lists, then applied to logits [rows, vocabulary] in this
order: whole rows, biases, bans, allows, session penalties, temperatures, forced tokens. Python
never loops over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mods.runtime.decisions import Decision, EndSegment, Force, Shape
from processors.penalties import apply_bad_words, apply_penalties
from processors.rows import Row

NEVER = float("-inf")
_GREEDY = 1e-5
"""vLLM samples greedily below this temperature."""


@dataclass
class Pairs:
    """Cells of the logits: parallel lists of row and column."""

    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)

    def add(self, row: int, columns: Sequence[int]) -> None:
        self.rows.extend([row] * len(columns))
        self.columns.extend(columns)

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.tensor(self.rows, dtype=torch.long, device=device),
            torch.tensor(self.columns, dtype=torch.long, device=device),
        )


@dataclass
class Edits:
    """All edits of one step."""

    whole: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    biased: Pairs = field(default_factory=Pairs)
    bias: list[float] = field(default_factory=list)
    banned: Pairs = field(default_factory=Pairs)
    allowed: dict[int, list[int]] = field(default_factory=dict)
    temperatures: dict[int, tuple[Row, float]] = field(default_factory=dict)
    forced: Pairs = field(default_factory=Pairs)
    sampled: list[tuple[int, Row]] = field(default_factory=list)
    """Rows that will be drawn, not forced: the ones that penalties and bans concern."""

    def add(
        self, index: int, row: Row, decision: Decision, whole: NDArray[np.float32] | None = None
    ) -> None:
        """Gather one row's decision. `whole` is the row of logits that a `Shape` refers to."""
        if isinstance(decision, Force):
            self.forced.add(index, [decision.token])
        elif isinstance(decision, EndSegment):
            self.forced.add(index, [row.args.sentinel])
        else:
            self.sampled.append((index, row))
            self.banned.add(index, [row.args.sentinel])
            if isinstance(decision, Shape):
                self._shape(index, row, decision, whole)

    def _shape(self, index: int, row: Row, shape: Shape, whole: NDArray[np.float32] | None) -> None:
        if shape.row and whole is not None:
            self.whole[index] = whole
        self.biased.add(index, list(shape.bias))
        self.bias.extend(shape.bias.values())
        self.banned.add(index, shape.ban)
        if shape.allow is not None:
            self.allowed[index] = shape.allow
        if shape.temperature is not None:
            self.temperatures[index] = (row, shape.temperature)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit float32 logits [rows, vocabulary] in place."""
        device = logits.device
        for index, whole in self.whole.items():
            logits[index] = torch.from_numpy(whole).to(device)
        if self.bias:
            values = torch.tensor(self.bias, dtype=logits.dtype, device=device)
            logits.index_put_(self.biased.tensors(device), values, accumulate=True)
        if self.banned.rows:
            logits.index_put_(self.banned.tensors(device), _scalar(NEVER, logits))
        for index, allowed in self.allowed.items():
            _keep_only(logits, index, allowed)
        apply_bad_words(logits, self.sampled)
        apply_penalties(logits, self.sampled)
        for index, (row, temperature) in self.temperatures.items():
            _retemper(logits, index, row, temperature)
        if self.forced.rows:
            rows, columns = self.forced.tensors(device)
            logits.index_fill_(0, rows, NEVER)
            logits.index_put_((rows, columns), _scalar(0.0, logits))
        return logits


def _scalar(value: float, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def _keep_only(logits: torch.Tensor, index: int, allowed: Sequence[int]) -> None:
    columns = torch.tensor(allowed, dtype=torch.long, device=logits.device)
    kept = logits[index, columns]
    logits[index].fill_(NEVER)
    logits[index, columns] = kept


def _retemper(logits: torch.Tensor, index: int, row: Row, temperature: float) -> None:
    """Make one draw happen at another temperature than the request's.

    vLLM divides by the request's temperature later; a greedy request it will not draw from at
    all, so that draw is made here (Gumbel noise, then the row's only token).
    """
    requested = row.args.temperature
    if temperature < _GREEDY:
        _only(logits, index, int(logits[index].argmax()))
    elif requested >= _GREEDY:
        logits[index] *= requested / temperature
    else:
        noise = torch.from_numpy(_gumbel(row, logits.shape[1])).to(logits.device)
        _only(logits, index, int((logits[index] / temperature + noise).argmax()))


def _only(logits: torch.Tensor, index: int, token: int) -> None:
    logits[index].fill_(NEVER)
    logits[index, token] = 0.0


def _gumbel(row: Row, vocabulary: int) -> NDArray[np.float32]:
    """Gumbel noise [vocabulary]: of the seed, the position, and what was taken back before it."""
    key = (row.args.seed, row.args.erased, row.position)
    generator = np.random.default_rng([part & 0xFFFFFFFF for part in key])
    return generator.gumbel(size=vocabulary).astype(np.float32)
