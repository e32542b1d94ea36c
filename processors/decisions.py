"""Decisions as tensor edits: one operation of each kind for the whole batch.

Edits are gathered row by row as plain lists, then applied to logits [rows, vocabulary] in this
order: whole rows, biases, bans, allows, session penalties, temperatures, constraints' masks, own
draws, forced tokens. Python never loops over the vocabulary, and the host never waits for the
device. Nothing lifts a mask: a row that it leaves without a token gets its sentinel.

A decision comes from a process that runs strangers' code, so nothing in it is believed. A bad
one ends its own row's segment: forcing comes last, and wipes whatever else the row was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mods.runtime.decisions import Decision, EndSegment, Force, Leave, Shape
from processors.cells import Cells
from processors.draws import draw, draw_key, keep_one, take_likeliest
from processors.masks import lay
from processors.penalties import completing, penalise, penalised
from processors.rows import Row
from processors.upload import Arrays, to_device

NEVER = float("-inf")
_GREEDY = 1e-5
"""vLLM samples greedily below this temperature."""
_MOST_IDS = 2**19
"""More token ids in one list than any vocabulary has are not even looked at."""
_FAR = 1e30
"""Bounds for temperatures and factors: past it float32 would turn a ban into a NaN."""


@dataclass
class Edits:
    """All edits of one step. What was refused is known once they are applied."""

    forced: dict[int, int] = field(default_factory=dict)
    """The rows that get one certain token: a forced one, or the sentinel that ends the segment."""
    refused: dict[int, str] = field(default_factory=dict)
    """Rows whose decision was bad, and what was wrong with it."""
    _whole: dict[int, NDArray[np.float32] | None] = field(default_factory=dict)
    _biased: Cells = field(default_factory=Cells)
    _amounts: list[float] = field(default_factory=list)
    _banned: Cells = field(default_factory=Cells)
    _allowed: Cells = field(default_factory=Cells)
    _scales: dict[int, float] = field(default_factory=dict)
    _greedy: list[int] = field(default_factory=list)
    _drawn: dict[int, float] = field(default_factory=dict)
    _sampled: dict[int, Row] = field(default_factory=dict)
    """Rows that will be drawn, not forced: the ones that penalties and bans concern."""
    _sentinels: dict[int, int] = field(default_factory=dict)
    _masked: dict[int, NDArray[np.int32]] = field(default_factory=dict)

    # Gathering.

    def add(
        self, index: int, row: Row, decision: Decision, whole: NDArray[np.float32] | None = None
    ) -> None:
        """Gather one row's decision. `whole` is the row of logits that a `Shape` refers to."""
        self._sentinels[index] = row.args.sentinel
        if isinstance(decision, Force):
            self.forced[index] = decision.token
        elif isinstance(decision, Leave):
            self._sample(index, row, ())
        elif isinstance(decision, Shape):
            wrong = _wrong(row, decision)
            if wrong:
                self._refuse(index, wrong)
            else:
                self._sample(index, row, decision.ban)
                self._shape(index, row, decision, whole)
        else:
            assert isinstance(decision, EndSegment)
            self._end(index)

    def mask(self, index: int, words: NDArray[np.int32]) -> None:
        """A constraint's mask over a row that was added: int32 [ceil(vocabulary / 32)]."""
        self._masked[index] = words

    def _end(self, index: int) -> None:
        self.forced[index] = self._sentinels[index]

    def _refuse(self, index: int, wrong: str) -> None:
        self.refused[index] = wrong
        self._end(index)

    def _sample(self, index: int, row: Row, banned: Sequence[int]) -> None:
        """This row is drawn: never its sentinel, nor what would complete a bad word."""
        self._sampled[index] = row
        barred = row.args.barred if not len(row.output) else ()
        self._banned.add(index, [row.args.sentinel, *banned, *barred, *completing(row)])

    def _shape(self, index: int, row: Row, shape: Shape, whole: NDArray[np.float32] | None) -> None:
        if shape.row:
            self._whole[index] = whole
        if shape.bias:
            self._biased.add(index, shape.bias)
            self._amounts.extend(shape.bias.values())
        if shape.allow is not None:
            self._allowed.add(index, shape.allow)
        if shape.temperature is not None:
            self._temper(index, row.args.temperature, shape.temperature)

    def _temper(self, index: int, requested: float, wanted: float) -> None:
        """Make one draw happen at another temperature than the request's.

        vLLM divides by the request's temperature later; a greedy request it will not draw from
        at all, so that draw is made here.
        """
        if wanted < _GREEDY:
            self._greedy.append(index)
        elif requested >= _GREEDY:
            self._scales[index] = min(max(requested / wanted, 1 / _FAR), _FAR)
        else:
            self._drawn[index] = min(wanted, _FAR)

    # Applying.

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit float32 logits [rows, vocabulary] in place."""
        arrays = self._arrays(logits.shape[1])
        if arrays:
            _apply(logits, to_device(arrays, logits.device))
        return logits

    def _arrays(self, vocabulary: int) -> Arrays:
        """Every edit as arrays by name, those of a kind that nobody asked for left out."""
        sampled = list(self._sampled.items())
        arrays = self._whole_rows(vocabulary)
        arrays |= self._biases(vocabulary)
        arrays |= self._cells("banned", self._banned, vocabulary)
        arrays |= self._cells("allowed", self._allowed, vocabulary)
        if self._allowed.rows:
            arrays["allowed_only"] = np.array(self._allowed.rows, dtype=np.int64)
        arrays |= penalised(sampled, vocabulary)
        if self._scales:
            arrays["scaled_rows"] = np.array(list(self._scales), dtype=np.int64)
            arrays["scales"] = np.array(list(self._scales.values()), dtype=np.float32)
        if self._masked:
            sentinels = [self._sentinels[index] for index in self._masked]
            arrays["masked_rows"] = np.array(list(self._masked), dtype=np.int64)
            arrays["masks"] = list(self._masked.values())
            arrays["mask_fallbacks"] = np.array(sentinels, dtype=np.int64)
        if self._greedy:
            arrays["greedy_rows"] = np.array(self._greedy, dtype=np.int64)
        if self._drawn:
            keys = [draw_key(self._sampled[index]) for index in self._drawn]
            arrays["drawn_rows"] = np.array(list(self._drawn), dtype=np.int64)
            arrays["draw_keys"] = np.array(keys, dtype=np.int64)
            arrays["temperatures"] = np.array(list(self._drawn.values()), dtype=np.float32)
        self._refuse_forced(vocabulary)
        if self.forced:
            arrays["forced_rows"] = np.array(list(self.forced), dtype=np.int64)
            arrays["forced_tokens"] = np.array(list(self.forced.values()), dtype=np.int64)
        return arrays

    def _whole_rows(self, vocabulary: int) -> Arrays:
        good: dict[int, NDArray[np.float32]] = {}
        for index, whole in self._whole.items():
            if whole is None or whole.shape != (vocabulary,) or whole.dtype != np.float32:
                self._refuse(index, "a whole row of another width than the vocabulary's")
            elif not math.isfinite(whole.max()):
                self._refuse(index, "a whole row without a finite maximum")
            else:
                good[index] = whole
        if not good:
            return {}
        return {
            "whole_rows": np.array(list(good), dtype=np.int64),
            "whole": list(good.values()),
        }

    def _biases(self, vocabulary: int) -> Arrays:
        if not self._amounts:
            return {}
        rows, columns = self._biased.arrays(vocabulary)
        with np.errstate(over="ignore"):
            amounts = np.array(self._amounts, dtype=np.float64).astype(np.float32)
        good = (columns >= 0) & (amounts < np.inf)
        if not good.all():
            self._refuse_all(rows[~good], "a bias outside the vocabulary, or not a finite one")
            rows, columns, amounts = rows[good], columns[good], amounts[good]
        return {"biased_rows": rows, "biased_columns": columns, "amounts": amounts}

    def _cells(self, kind: str, cells: Cells, vocabulary: int) -> Arrays:
        if not cells.columns:
            return {}
        rows, columns = cells.arrays(vocabulary)
        if columns.min() < 0:
            good = columns >= 0
            self._refuse_all(rows[~good], f"a {kind} token outside the vocabulary")
            rows, columns = rows[good], columns[good]
        return {f"{kind}_rows": rows, f"{kind}_columns": columns}

    def _refuse_forced(self, vocabulary: int) -> None:
        for index, token in list(self.forced.items()):
            if not 0 <= token < vocabulary:
                self._refuse(index, f"token {token} is outside the vocabulary")

    def _refuse_all(self, rows: NDArray[np.int64], wrong: str) -> None:
        for index in set(rows.tolist()):
            self._refuse(index, wrong)


def _wrong(row: Row, shape: Shape) -> str | None:
    """What is wrong with a shape in itself; its ids and rows are looked at all together."""
    for given in (shape.bias, shape.ban, shape.allow or ()):
        if len(given) > _MOST_IDS:
            return f"{len(given)} token ids, more than any vocabulary has"
    if shape.temperature is not None and not 0.0 <= shape.temperature < math.inf:
        return f"temperature {shape.temperature}"
    if shape.allow is not None and _nothing_left(row, shape.allow, shape.ban):
        return "nothing is left that could be drawn"
    return None


def _nothing_left(row: Row, allowed: Sequence[int], banned: Sequence[int]) -> bool:
    if len(allowed) > len(banned) + len(row.args.bad_words) + 1:
        return False
    return set(allowed) <= {row.args.sentinel, *banned, *completing(row)}


def _apply(logits: torch.Tensor, on: dict[str, torch.Tensor]) -> None:
    """One operation of each kind that is there. on: the arrays, on the logits' device."""
    never = logits.new_full((), NEVER)
    if "whole" in on:
        logits.index_copy_(0, on["whole_rows"], on["whole"])
    if "amounts" in on:
        at = (on["biased_rows"], on["biased_columns"])
        logits.index_put_(at, logits[at] + on["amounts"])
    if "banned_rows" in on:
        logits.index_put_((on["banned_rows"], on["banned_columns"]), never)
    if "allowed_rows" in on:
        at = (on["allowed_rows"], on["allowed_columns"])
        kept = logits[at]
        logits.index_fill_(0, on["allowed_only"], NEVER)
        logits.index_put_(at, kept)
    if "counts" in on:
        penalise(logits, on)
    if "scales" in on:
        scaled = logits.index_select(0, on["scaled_rows"]) * on["scales"][:, None]
        logits.index_copy_(0, on["scaled_rows"], scaled)
    if "masks" in on:
        lay(logits, on["masked_rows"], on["masks"], on["mask_fallbacks"])
    if "greedy_rows" in on:
        take_likeliest(logits, on["greedy_rows"])
    if "drawn_rows" in on:
        draw(logits, on["drawn_rows"], on["draw_keys"], on["temperatures"])
    if "forced_rows" in on:
        keep_one(logits, on["forced_rows"], on["forced_tokens"])
