"""Penalties and bad words over a whole session, for rows whose output is partly in the prompt.

vLLM counts only the tokens that a request drew itself; a restarted segment's kept tokens look
like prompt to it. The session's parameters therefore reach vLLM neutral, and are applied here
with vLLM's own formulas: repetition first, then frequency, then presence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from processors.rows import Row, Tokens
from processors.upload import Arrays


class Tally:
    """How often each token stands in a session's output; 0 for those of its prompt.

    Kept up to date with the new tokens alone, so that a step's work does not grow with the
    output. `columns` and `counts` have the same length.
    """

    def __init__(self, row: Row, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._seats: dict[int, int] = {}
        self._columns = np.zeros(64, dtype=np.int64)
        self._counts = np.zeros(64, dtype=np.float32)
        self._followed = 0
        penalties = row.args.penalties
        if penalties is not None and penalties.repetition != 1.0:
            self._count(row.session_prompt(), 0)
        self._count(row.kept_output(), 1)

    @property
    def columns(self) -> NDArray[np.int64]:
        return self._columns[: len(self._seats)]

    @property
    def counts(self) -> NDArray[np.float32]:
        return self._counts[: len(self._seats)]

    def follow(self, row: Row) -> None:
        """Count the output tokens that are new since the last time."""
        if len(row.output) > self._followed:
            self._count(row.output[self._followed :], 1)
            self._followed = len(row.output)

    def _count(self, tokens: Tokens, times: int) -> None:
        found, counts = np.unique(np.asarray(tokens, dtype=np.int64), return_counts=True)
        for token, count in zip(found.tolist(), counts.tolist(), strict=True):
            if 0 <= token < self._vocabulary:
                seat = self._seat(token)
                self._counts[seat] += times * count

    def _seat(self, token: int) -> int:
        seat = self._seats.get(token)
        if seat is None:
            seat = self._seats[token] = len(self._seats)
            if seat == len(self._columns):
                self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._columns[seat], self._counts[seat] = token, 0
        return seat


def penalised(rows: Iterable[tuple[int, Row]], vocabulary: int) -> Arrays:
    """The cells that penalties touch, as parallel arrays by name; empty if there are none."""
    members = [(index, row) for index, row in rows if row.args.penalties is not None]
    tallies = [_tally(row, vocabulary) for _, row in members]
    lengths = [len(tally.columns) for tally in tallies]
    if not sum(lengths):
        return {}
    factors = np.array(
        [
            (p.presence, p.frequency, p.repetition)
            for _, row in members
            if (p := row.args.penalties)
        ],
        dtype=np.float32,
    )
    presence, frequency, repetition = np.repeat(factors, lengths, axis=0).T
    return {
        "penalty_rows": np.repeat(np.array([index for index, _ in members]), lengths),
        "penalty_columns": np.concatenate([tally.columns for tally in tallies]),
        "counts": np.concatenate([tally.counts for tally in tallies]),
        "presence": np.ascontiguousarray(presence),
        "frequency": np.ascontiguousarray(frequency),
        "repetition": np.ascontiguousarray(repetition),
    }


def penalise(logits: torch.Tensor, cells: Mapping[str, torch.Tensor]) -> None:
    """Edit logits [rows, vocabulary] in place. cells: of `penalised`, on the logits' device."""
    at = (cells["penalty_rows"], cells["penalty_columns"])
    counts, repetition = cells["counts"], cells["repetition"]
    values = logits[at]
    values *= torch.where(values > 0, 1.0 / repetition, repetition)
    values -= cells["frequency"] * counts
    values -= cells["presence"] * (counts > 0)
    logits.index_put_(at, values)


def completing(row: Row) -> list[int]:
    """The tokens that would complete a bad word now."""
    return [word[-1] for word in row.args.bad_words if word and row.ends_with(word[:-1])]


def _tally(row: Row, vocabulary: int) -> Tally:
    if row.tally is None:
        row.tally = Tally(row, vocabulary)
    tally: Tally = row.tally
    tally.follow(row)
    return tally
