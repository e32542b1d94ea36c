"""Rows of logits in a shared file: too large for a socket, 600 kB each at some vocabularies.

The worker makes the file and grows it by powers of two; the host maps it. The worker writes and
reads with `pwrite` and `pread`, because a map whose file another process truncates is a bus error,
and the worker carries everybody's requests.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""float32, shape [rows, vocabulary]."""


class ArenaFile:
    """The worker's end. Owns the file: `close` unlinks it."""

    def __init__(self, path: Path, rows: int, vocabulary: int) -> None:
        self.path = path
        self.rows = 1 << max(0, rows - 1).bit_length()
        self.vocabulary = vocabulary
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, self.rows * vocabulary * 4)

    def holds(self, rows: int, vocabulary: int) -> bool:
        return rows <= self.rows and vocabulary == self.vocabulary

    def write(self, logits: Rows) -> None:
        """Put these rows into the first slots. Raises OSError if the file takes no more."""
        data = np.ascontiguousarray(logits, dtype=np.float32).data.cast("B")
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], written)

    def read(self, index: int) -> Rows:
        """Slot number `index` as a copy, shape [vocabulary]. Zeros where the file was cut."""
        row = np.zeros(self.vocabulary, dtype=np.float32)
        os.preadv(self._fd, [row.data], index * self.vocabulary * 4)
        return row

    def close(self) -> None:
        os.close(self._fd)
        with suppress(OSError):
            self.path.unlink()


class ArenaMap:
    """The host's end: the whole file as an array, and as one that mods cannot write to."""

    def __init__(self, path: str, rows: int, vocabulary: int) -> None:
        with open(path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), rows * vocabulary * 4)
        self.rows: Rows = np.frombuffer(memory, dtype=np.float32).reshape(rows, vocabulary)
        self.logits = self.rows.view()
        self.logits.flags.writeable = False
