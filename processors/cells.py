"""Token ids that rows of the batch were given, as parallel arrays of row and column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Cells:
    """Cells of the logits by row, each row once."""

    rows: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)

    def add(self, row: int, columns: Collection[int]) -> None:
        """columns: at least one."""
        self.rows.append(row)
        self.lengths.append(len(columns))
        self.columns.extend(columns)

    def arrays(self, vocabulary: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of every cell; the column is -1 where it is outside the vocabulary."""
        rows = np.array(self.rows, dtype=np.int64)
        if len(self.columns) > len(self.rows):
            rows = np.repeat(rows, self.lengths)
        try:
            columns = np.array(self.columns, dtype=np.int64)
        except OverflowError:
            known = [column if 0 <= column < vocabulary else -1 for column in self.columns]
            columns = np.array(known, dtype=np.int64)
        if columns.max() >= vocabulary:
            columns[columns >= vocabulary] = -1
        return rows, columns
